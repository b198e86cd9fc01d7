"""People who know other detectors are told what their words are called here; what is ours stays ours."""

from __future__ import annotations

import inspect
import re

import pytest

from cornernet.cli import COMMANDS, find_command, main
from cornernet.commands import foreign
from cornernet.config import Recipe
from cornernet.recipes.fields import field_groups

FIELDS = {field.name for group in field_groups() for field in group.fields}


def answer(capsys, words: str) -> str:
    capsys.readouterr()
    assert main(words.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("cornernet: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("predict x.jpg --conf 0.3", "predict: --conf is --threshold here"),
        ("predict --source x.jpg", "images, videos and folders are plain words: cornernet predict photo.jpg clip.mp4"),
        ("predict --model yolov8n.pt x.jpg", "predict: --model is --weights here"),
        ("predict x.jpg --iou=0.5", "--iou is no option; soft-NMS lowers the scores of boxes that overlap"),
        ("predict x.jpg --imgsz 640", "--imgsz is --max-size here"),
        ("predict x.jpg --save-txt", "--save-txt is --save yolo here"),
        ("predict x.jpg --save-crop", "--save-crop is --save crops here"),
        ("predict x.jpg --half", "--half is --precision fp16 here"),
        ("predict x.jpg --vid-stride 2", "--vid-stride is --every here"),
        ("predict x.jpg --line-thickness 2", "--line-thickness is --line-width here"),
        ("predict x.jpg --show", "no window is opened"),
        ("predict x.jpg --project a --name b", "--project is --out here"),
        ("predict x.jpg --nosave", "--nosave is --save json here"),
        ("predict x.jpg --max-det 300", "cornernet weights convert OLD NEW --num-corners 300"),
        ("predict x.jpg --batch 4", "--batch is --batch-size here"),
        ("predict x.jpg --score-thr 0.3", "--score-thr is --threshold here"),
        ("predict x.jpg --out-dir a", "--out-dir is --out here"),
        ("predict source=x.jpg", "source=x.jpg is no option; images, videos and folders are plain words"),
        ("predict x.jpg conf=0.3", "predict: conf=0.3 is --threshold 0.3 here"),
        ("predict x.jpg save_txt=True", "predict: save_txt=True is --save yolo here"),
        ("predict x.jpg max_size=640", "predict: max_size=640 is --max-size 640 here"),
        ("predict x.jpg hide_labels=True", "predict: hide_labels=True is --hide-labels here"),
        ("train data=coco.yaml epochs=3", "train: data=coco.yaml is --data coco.yaml here"),
        ("train --model yolov8n.pt", "a recipe is a plain word, and --weights begins with a file's weights"),
        ("train --data d --early-stopping 5", "train: --early-stopping is --patience here"),
        ("train --work-dir a", "train: --work-dir is --out here"),
        ("train lr0=0.01", "train: lr0=0.01 is --optimization.lr 0.01 here"),
        ("train --cfg-options a.b=3", "every field of the recipe is an option, such as --optimization.lr 0.001"),
        ("train --config-file x.yaml --num-gpus 8", "a recipe is a plain word: cornernet train mine.yaml"),
        ("evaluate --conf 0.001", "AP counts boxes of every score"),
        ("export --half --model w", "export: --half is --precision fp16 here"),
        ("export --dynamic", "the file takes images of every size"),
        ("serve --conf 0.3", "each request says it: /predict?threshold=0.3"),
        ("explain --source x.jpg", "the image is a plain word: cornernet explain photo.jpg"),
        ("val --data d", "val: no such command; that is evaluate here"),
    ],
)
def test_the_answer_names_what_it_is_called_here(words, said, capsys):
    assert said in answer(capsys, words)


def test_our_own_words_and_values_are_no_mistakes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert "nowhere.jpg" in answer(capsys, "predict nowhere.jpg --weights photos --out conf=0.3")  # a value
    (tmp_path / "conf=0.3.jpg").write_text("no image")
    assert "not an image" in answer(capsys, "predict conf=0.3.jpg --weights shapes --out out").splitlines()[0]
    assert "a=b.jpg" in answer(capsys, "predict a=b.jpg --weights shapes")  # no option of anyone
    assert main(["train", "shapes", "--model.pool-window=8", "--print-config"]) == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_named_exists(command):
    """Every answer of every command names an option that it has; none of its own options is called foreign."""
    function = find_command(command)
    options = {name for name, p in inspect.signature(function).parameters.items() if p.kind is p.KEYWORD_ONLY}
    known = options | ({*Recipe.__dataclass_fields__} if "recipe_flags" in options else set())
    for name in foreign._ANSWERS:
        if text := foreign._answer(name, command, known):
            for option in re.findall(r"--([\w.-]+)", text.split("cornernet weights convert")[0]):
                assert option.replace("-", "_") in known or option in FIELDS, (name, text)
        if name in known and name != "model":  # of a training: a group of fields
            foreign.refuse_foreign([f"--{name}"], command, known, ())
