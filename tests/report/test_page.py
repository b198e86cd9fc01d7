"""The report of a run: whole, escaped, alone; and what it leaves in the run's weights."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
import torch

from chromium import CHROMIUM, browser
from cornernet.cli import main
from cornernet.config import Preprocessing
from cornernet.inference.detector import load_detector
from cornernet.model.cornernet import CornerNet
from cornernet.recipes.load import load_recipe
from cornernet.tasks import run_report
from cornernet.training.trainer import RECIPE_FILE, RUN_FILE
from cornernet.weights.store import Weights, load_weights, save_weights
from small import write_data, write_recipe

NASTY = ("<script>alert(1)</script>", "a & \"b\" 'c' 🐱 {{ 7 * 7 }}")
LOG = [
    {"kind": "train", "epoch": e, "step": 10 * e + 10, "lr": 1e-3, "loss": 3 - e, "heatmap": 2, "offset": 1,
     "pull": 0.1, "push": 0.2}
    for e in range(2)
] + [{"kind": "validation", "epoch": 1, "step": 20, "AP": 0.25, "AP50": 0.5, "AP75": None}]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder as training leaves it, of a network that has learnt nothing, and class names that bite."""
    root = tmp_path_factory.mktemp("report")
    data, folder = write_data(root / "data", train=2, val=4), root / "run <1>"
    for split in ("train", "val"):
        path = data / "annotations" / f"instances_{split}.json"
        content = json.loads(path.read_text())
        for category, name in zip(content["categories"], NASTY, strict=True):
            category["name"] = name
        path.write_text(json.dumps(content))
    folder.mkdir()
    recipe_file = write_recipe(root)
    (folder / RECIPE_FILE).write_text(recipe_file.read_text())
    (folder / RUN_FILE).write_text(json.dumps({"source": {"folder": str(data)}}))
    (folder / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in LOG))
    torch.manual_seed(0)
    recipe = load_recipe(str(recipe_file))
    state = CornerNet(recipe.model, 2).state_dict()
    for name in ("best", "last"):
        weights = Weights(state, recipe.model, NASTY, Preprocessing(pad_mask=15), info={"recipe": "small", "epochs": 2})
        save_weights(folder / f"{name}.safetensors", weights)
    assert main(["report", str(folder), "--images", "3", "--device", "cpu"]) == 0
    return folder


class Reader(HTMLParser):
    """Tags with their attributes, and the text of all cells."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.cells, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data):
        if self.cells:
            self.cells[-1] += data


@pytest.fixture(scope="module")
def page(run):
    return (run / "report.html").read_text(encoding="utf-8")


def test_everything_is_in_the_page(page):
    reader = Reader(page)
    addresses = [a[name] for _, a in reader.tags for name in ("src", "href", "srcset", "action", "data") if name in a]
    assert len([a for a in addresses if a.startswith("data:image/jpeg;base64,")]) >= 8
    assert all(a.startswith(("data:image/jpeg;base64,", "#")) for a in addresses)
    assert not re.search(r"url\(|@import|<script|<link|<iframe|javascript:", page)
    ids = {a["id"] for _, a in reader.tags if "id" in a}
    assert {a[1:] for a in addresses if a.startswith("#")} == ids
    assert "default-src 'none'" in page


def test_texts_from_the_data_are_escaped(page):
    reader = Reader(page)
    cells = [" ".join(cell.split()) for cell in reader.cells]
    assert all(cells.count(name) >= 3 for name in NASTY)  # AP by class, matrix row and column
    assert not any(tag == "script" for tag, _ in reader.tags)
    assert "<title>run &lt;1&gt;: report</title>" in page


def test_what_it_says_of_the_run(page):
    cells = [" ".join(cell.split()) for cell in Reader(page).cells]
    for split, images, boxes in (("train", "2", "4"), ("val", "4", "8")):
        at = cells.index(split)
        assert cells[at : at + 4] == [split, images, boxes, "2"]
    assert cells[cells.index("epochs") + 1] == "2"
    assert "on 3 of 4" in " ".join(page.split())
    assert page.count("<svg") == 4 + 1 + 2  # curves; F1; a precision-recall curve a class
    assert "crop_size: 63" in page


def test_pictures_and_charts_are_described(page):
    reader = Reader(page)
    assert all(a.get("alt") for tag, a in reader.tags if tag == "img")
    assert all(a.get("aria-label") and a.get("role") == "img" for tag, a in reader.tags if tag == "svg")
    assert all(a.get("scope") for tag, a in reader.tags if tag == "th")


def test_an_untrained_network_leaves_the_threshold(run, page):
    assert "No detection is right" in page
    assert load_weights(run / "best.safetensors").threshold == 0.3


def learnt(monkeypatch):
    """As if the network found every object, the red ones with a score of 0.8, the blue ones with 0.6."""
    from cornernet.report import page as page_module
    from cornernet.structures import Detections

    predict_images = page_module.predict_images

    def found(detector, records, *, progress=None):
        perfect = []
        for s in predict_images(detector, records, progress=progress):
            scores = 0.8 - 0.2 * s.record.labels
            order = (-scores).argsort(kind="stable")
            boxes, labels = s.record.boxes[order], s.record.labels[order]
            perfect.append(s._replace(detections=Detections(boxes, scores[order], labels, NASTY, (64, 64))))
        return perfect

    monkeypatch.setattr(page_module, "predict_images", found)


def test_the_best_threshold_is_stored_and_used(run, tmp_path, monkeypatch, capsys):
    learnt(monkeypatch)
    before = load_weights(run / "last.safetensors")
    assert main(["report", str(run), "--out", str(tmp_path / "good.html"), "--device", "cpu"]) == 0
    assert "threshold 0.31 stored in best.safetensors and last.safetensors" in capsys.readouterr().err
    assert "there is no mistake in any image" in (tmp_path / "good.html").read_text(encoding="utf-8")
    for name in ("best", "last"):
        after = load_weights(run / f"{name}.safetensors")
        assert (after.threshold, after.info, after.class_names) == (0.31, before.info, before.class_names)
        assert all(torch.equal(value, before.state[key]) for key, value in after.state.items())
    assert load_detector(run / "best.safetensors").threshold == 0.31
    assert not [path for path in run.iterdir() if path.suffix == ".tmp"]


def test_weights_without_a_run(run, tmp_path, monkeypatch):
    learnt(monkeypatch)
    weights, data = run / "last.safetensors", json.loads((run / RUN_FILE).read_text())["source"]["folder"]
    bytes_before = weights.read_bytes()
    out = tmp_path / "r.html"
    assert main(["report", "--weights", str(weights), "--data", data, "--out", str(out), "--device", "cpu"]) == 0
    assert out.read_text(encoding="utf-8").count("<svg") == 1 + 2
    assert weights.read_bytes() == bytes_before  # only a run's own files are changed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["RUN", "--images", "0"], "--images 0: at least 1"),
        (["RUN", "--weights", "shapes"], "a run has its own weights"),
        (["RUN", "--out", "report.pdf"], "ends in .html"),
        ([], "name a run's folder, or --weights and --data"),
        (["--weights", "shapes"], "name a run's folder, or --weights and --data"),
        (["no/such/run"], "no best.safetensors and no last.safetensors"),
    ],
)
def test_what_cannot_be_is_said(run, words, message, capsys):
    assert main(["report", *(str(run) if word == "RUN" else word for word in words)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_a_run_without_validation_is_told_what_to_do(run, tmp_path, capsys):
    for name in ("best.safetensors", RECIPE_FILE, "log.jsonl"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    source = json.loads((run / RUN_FILE).read_text())["source"]
    (tmp_path / RUN_FILE).write_text(json.dumps({"source": source | {"val_split": None}}))
    assert main(["report", str(tmp_path)]) == 2
    assert "no validation images" in capsys.readouterr().err


def test_training_writes_a_report_and_survives_one_that_fails(tmp_path, monkeypatch, capsys):
    data, recipe = write_data(tmp_path / "data", train=4, val=2), write_recipe(tmp_path, epochs=1, workers=0)
    train = ["train", str(recipe), "--data", str(data), "--out"]
    assert main([*train, str(tmp_path / "a")]) == 0
    assert "<h1>a</h1>" in (tmp_path / "a" / "report.html").read_text(encoding="utf-8")
    assert main([*train, str(tmp_path / "b"), "--no-report"]) == 0
    assert not (tmp_path / "b" / "report.html").exists()

    def fail(*args, **kwargs):
        raise RuntimeError("a bug\nin the report")

    monkeypatch.setattr(run_report, "report_run", fail)
    capsys.readouterr()
    assert main([*train, str(tmp_path / "c")]) == 0
    assert f"warning: no report (a bug in the report); cornernet report {tmp_path / 'c'}" in capsys.readouterr().err
    assert (tmp_path / "c" / "best.safetensors").is_file()


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH")
def test_a_browser_has_nothing_to_complain_of(run, page, tmp_path):
    address = (run / "report.html").as_uri()
    with browser(tmp_path) as chromium:
        for width, scheme in ((1200, "light"), (400, "dark")):
            chromium("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
            chromium("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            chromium.open(address)
            assert chromium.complaints() == []
            assert chromium.requests() == [address]
            assert chromium.value("document.documentElement.scrollWidth") <= width
            assert chromium.value("[...document.images].every(image => image.naturalWidth > 0)")
        dark = "rgb(20, 23, 27)"
        assert chromium.value("getComputedStyle(document.body).backgroundColor") == dark
        assert chromium.value("document.querySelectorAll('h2').length") == 8
