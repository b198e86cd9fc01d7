// One image at a time: sent once, answered with every box; threshold and choice of a box are this page's own affair.
import { drawBoxes, drawLegend, showBox, sizeStages } from "/page/draw.js";

const find = (id) => document.getElementById(id);
const slider = find("threshold");
const token = find("token");
let server = null; // what /health says
let answer = null;
let chosen = null; // a detection of the answer
let request = new AbortController();

async function start() {
  try {
    server = await (await fetch("/health")).json();
  } catch {
    return fail("The server does not answer. Is it still running? Then load this page again.");
  }
  find("model").textContent = `${server.model} on ${server.device}, ${server.classes.length} classes`;
  slider.value = server.threshold;
  showThreshold();
  find("token-form").hidden = !server.needs_token;
  token.value = sessionStorage.getItem("token") ?? ""; // until this tab is closed
}

// With the token, if the server wants one; no header holds other letters than these.
function headers(type) {
  if (!server.needs_token) return { "Content-Type": type };
  sessionStorage.setItem("token", token.value);
  return { "Content-Type": type, Authorization: `Bearer ${token.value.replace(/[^!-~]/g, "")}` };
}

async function look(file) {
  if (!server || !file) return;
  request.abort();
  request = new AbortController();
  const { signal } = request;
  fail("");
  find("status").textContent = `Looking at ${file.name} …`;
  try {
    const path = server.explains ? "/explain" : "/predict?threshold=0";
    const type = file.type.startsWith("image/") ? file.type : "image/*";
    const reply = await fetch(path, { method: "POST", body: file, headers: headers(type), signal });
    const found = await reply.json();
    if (reply.status === 401) {
      token.focus();
      return refuse("type this server's token, and choose the image again");
    }
    if (!reply.ok) return refuse(inWords(found, file.name));
    show(found, file);
  } catch (error) {
    if (!signal.aborted) refuse(`no answer from the server (${error.message}); is it still running?`);
  }
}

function inWords({ error, what, where, fix }, name) {
  return where === "image" ? `${name}: ${[what, fix].filter(Boolean).join("; ")}` : error; // the server knows no name
}

function refuse(reason) {
  answer = null;
  find("result").hidden = true;
  find("status").textContent = "";
  fail(`No boxes: ${reason}.`);
}

function fail(text) {
  find("error").textContent = text;
  find("error").hidden = !text;
}

function show(found, file) {
  answer = found;
  chosen = null;
  const photo = find("photo");
  URL.revokeObjectURL(photo.src);
  photo.src = URL.createObjectURL(file);
  photo.onerror = () => fail("This browser cannot show this kind of image; its boxes are right all the same.");
  for (const copy of document.querySelectorAll(".dim")) copy.src = photo.src;
  find("result").hidden = false;
  find("heatmaps").hidden = !found.heatmaps;
  if (found.heatmaps) {
    const [topLeft, bottomRight] = document.querySelectorAll(".heat");
    topLeft.src = found.heatmaps.top_left;
    bottomRight.src = found.heatmaps.bottom_right;
  }
  sizeStages(answer);
  update();
}

function update() {
  if (!answer) return;
  const lowest = Number(slider.value);
  const shown = answer.detections.filter((detection) => detection.score >= lowest);
  if (!shown.includes(chosen)) chosen = null;
  drawBoxes(find("boxes"), shown, answer, server.classes, chosen, choose);
  drawLegend(find("legend"), shown, server.classes);
  showBox(find("details"), chosen, shown.indexOf(chosen) + 1, answer);
  const objects = shown.length === 1 ? "1 object" : `${shown.length} objects`;
  find("status").textContent = `${objects} in ${answer.width}×${answer.height} pixels`;
}

function choose(detection) {
  chosen = chosen === detection ? null : detection;
  update();
}

function showThreshold() {
  find("threshold-value").textContent = Number(slider.value).toFixed(2);
}

slider.addEventListener("input", () => {
  showThreshold();
  update();
});
find("file").addEventListener("change", (event) => {
  look(event.target.files[0]);
  event.target.value = ""; // so that the same file can be chosen again
});
find("token-form").addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("paste", (event) => look(event.clipboardData.files[0]));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  if (event.dataTransfer.files.length) look(event.dataTransfer.files[0]);
  else fail("That was no file: drop an image from this computer.");
});
window.addEventListener("resize", () => answer && sizeStages(answer));

start();
