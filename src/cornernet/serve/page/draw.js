// Boxes, legend and the table of corners: a detection in, elements out.

const LABEL = 60; // pixels that a label is wide, roughly

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// Black or white, whichever is read more easily on a #rrggbb colour.
function inkOn(color) {
  const [red, green, blue] = [1, 3, 5].map((i) => (parseInt(color.slice(i, i + 2), 16) / 255) ** 2.2);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 ? "#000" : "#fff";
}

function paint(node, color) {
  node.style.setProperty("--class", color);
  node.style.setProperty("--on-class", inkOn(color));
}

const percent = (part, whole) => `${(100 * part) / whole}%`;

function place(node, { x, y }, { width, height }) {
  node.style.left = percent(x, width);
  node.style.top = percent(y, height);
  node.hidden = false;
}

// As large as there is room, in the image's shape, also where the browser cannot show the image.
export function sizeStages({ width, height }) {
  for (const stage of document.querySelectorAll(".stage")) {
    stage.style.aspectRatio = `${width} / ${height}`;
    stage.style.maxWidth = `${Math.max(160, (0.75 * window.innerHeight * width) / height)}px`;
  }
}

// One button a box, best first for Tab; smaller ones lie on top, so that every one can be clicked.
export function drawBoxes(parent, shown, answer, classes, chosen, choose) {
  const focused = [...parent.children].indexOf(document.activeElement);
  const area = ({ box: [x1, y1, x2, y2] }) => (x2 - x1) * (y2 - y1);
  const bySize = [...shown].sort((a, b) => area(b) - area(a));
  const scale = parent.parentElement.clientWidth / answer.width;
  const buttons = shown.map((detection, i) => {
    const [x1, y1, x2, y2] = detection.box;
    const name = `${detection.class} ${detection.score.toFixed(2)}`;
    const button = element("button", undefined, "box");
    button.append(element("span", name));
    button.type = "button";
    button.ariaLabel = `Box ${i + 1}: ${name}`;
    button.ariaPressed = String(detection === chosen);
    button.style.left = percent(x1, answer.width);
    button.style.top = percent(y1, answer.height);
    button.style.width = percent(x2 - x1, answer.width);
    button.style.height = percent(y2 - y1, answer.height);
    button.style.zIndex = 1 + bySize.indexOf(detection);
    button.classList.toggle("high", y1 * scale < 20);
    button.classList.toggle("right", (answer.width - x1) * scale < LABEL);
    paint(button, classes[detection.label].color);
    button.addEventListener("click", () => choose(detection));
    return button;
  });
  parent.replaceChildren(...buttons, ...(chosen?.top_left ? cornersOf(chosen, answer) : []));
  if (focused >= 0) buttons[focused]?.focus({ preventScroll: true });
}

function cornersOf(chosen, answer) {
  const corners = [element("i", undefined, "corner tl"), element("i", undefined, "corner br")];
  place(corners[0], chosen.top_left, answer);
  place(corners[1], chosen.bottom_right, answer);
  return corners;
}

export function drawLegend(parent, shown, classes) {
  const entries = classes.map(({ name, color }, label) => {
    const count = shown.filter((detection) => detection.label === label).length;
    if (!count) return null;
    const entry = element("li");
    const sample = element("i");
    paint(sample, color);
    entry.append(sample, `${name} × ${count}`);
    return entry;
  });
  parent.replaceChildren(...entries.filter(Boolean));
}

// The chosen box's corners as a table, and where they lie in the heatmaps.
export function showBox(parent, chosen, number, answer) {
  for (const [i, kind] of ["top_left", "bottom_right"].entries()) {
    const mark = document.querySelectorAll(".heatmaps .corner")[i];
    mark.hidden = true;
    if (chosen?.[kind]) place(mark, chosen[kind], answer);
  }
  if (!chosen) {
    parent.replaceChildren(element("h2", "No box chosen"), element("p", "Choose one to see its two corners.", "hint"));
    return;
  }
  const title = element("h2", `Box ${number}: ${chosen.class}, score ${chosen.score.toFixed(3)}`);
  const sides = chosen.box.map((v) => v.toFixed(1));
  const parts = [title, element("p", `from ${sides[0]}, ${sides[1]} to ${sides[2]}, ${sides[3]}`, "hint")];
  if (chosen.top_left) parts.push(cornerTable(chosen, answer.pairing));
  else parts.push(element("p", "An exported file does not tell its corners.", "hint"));
  parent.replaceChildren(...parts);
}

function cornerTable({ top_left, bottom_right, distance }, pairing) {
  const table = element("table");
  const head = table.createTHead().insertRow();
  for (const title of ["Corner", "x", "y", "score", pairing.name]) head.append(element("th", title));
  const body = table.createTBody();
  for (const [name, kind, corner] of [["top-left", "tl", top_left], ["bottom-right", "br", bottom_right]]) {
    const row = body.insertRow();
    const cell = element("th");
    cell.scope = "row";
    cell.append(element("i", undefined, `sign ${kind}`), ` ${name}`);
    const value = corner[pairing.name];
    const text = Array.isArray(value) ? value.map((v) => v.toFixed(0)).join(" x ") : value?.toFixed(3) ?? "–";
    row.append(cell, ...[corner.x.toFixed(1), corner.y.toFixed(1), corner.score.toFixed(3), text].map((v) => element("td", v)));
  }
  const row = body.insertRow();
  const cell = element("th", `distance: how far ${pairing.differ}`);
  cell.colSpan = 4;
  cell.scope = "row";
  row.append(cell, element("td", distance.toFixed(3)));
  return table;
}
