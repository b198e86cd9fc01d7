"""Logs of ours and of OpenMMLab on one picture."""

import json

import pytest

from cornernet.cli import main
from cornernet.errors import InputError
from cornernet.report.logs import loss_parts, read_log

OURS = [
    {"kind": "train", "epoch": e, "step": 4 * e + s, "lr": 1e-3, "loss": 3 - e, "heatmap": 2, "offset": 1, "pull": 0.1,
     "push": 0.2}
    for e in range(3) for s in (2, 4)
]  # fmt: skip
OURS.insert(2, {"kind": "validation", "epoch": 0, "step": 4, "AP": 0.25, "AP50": 0.5, "AP75": None})
THEIRS_2 = [
    {"env_info": "python 3.7", "seed": 1},
    {"mode": "train", "epoch": 1, "iter": 50, "lr": 5e-4, "memory": 13000, "data_time": 0.1, "det_loss": 2.0,
     "off_loss": 0.3, "pull_loss": 0.1, "push_loss": 0.2, "loss": 2.6, "grad_norm": 9.0, "time": 1.0},
    {"mode": "train", "epoch": 2, "iter": 50, "lr": 5e-4, "loss": 2.5, "det_loss": 1.9},
    {"mode": "val", "epoch": 2, "iter": 100, "bbox_mAP": 0.41, "bbox_mAP_50": 0.6, "bbox_mAP_75": 0.4},
]  # fmt: skip
THEIRS_3 = [
    {"lr": 5e-4, "loss": 2.6, "det_loss": 2.0, "epoch": 1, "iter": 50, "step": 50},
    {"coco/bbox_mAP": 0.3, "coco/bbox_mAP_50": 0.5, "step": 1},
]


def write(path, entries, tail=""):
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries) + tail)
    return path


def test_all_dialects_get_the_same_names(tmp_path):
    training, validation = read_log(write(tmp_path / "a.jsonl", OURS))
    assert [entry["x"] for entry in training] == [0.5, 1, 1.5, 2, 2.5, 3]
    assert [(v["x"], v["AP"], v["AP50"]) for v in validation] == [(1, 0.25, 0.5)]
    for entries in (THEIRS_2, THEIRS_3):
        training, validation = read_log(write(tmp_path / "b.log.json", entries))
        assert (training[0]["heatmap"], training[0]["loss"], training[0]["x"]) == (2.0, 2.6, 1)
    assert (validation[0]["AP"], validation[0]["x"]) == (0.3, 1)
    training, validation = read_log(write(tmp_path / "b.log.json", THEIRS_2))
    assert (validation[0]["AP75"], validation[0]["x"], training[0]["push"]) == (0.4, 2, 0.2)


def test_the_parts_of_the_loss_are_those_of_the_log(tmp_path):
    size = [{"kind": "train", "epoch": 0, "step": 1, "lr": 1, "loss": 3, "heatmap": 2, "offset": 0.5, "size": 0.5}]
    assert loss_parts(read_log(write(tmp_path / "a.jsonl", OURS))[0]) == ["heatmap", "offset", "pull", "push"]
    assert loss_parts(read_log(write(tmp_path / "a.jsonl", size))[0]) == ["heatmap", "offset", "size"]
    assert loss_parts(read_log(write(tmp_path / "b.json", THEIRS_2))[0]) == ["heatmap", "offset", "pull", "push"]
    written = [{"mode": "train", "epoch": 1, "iter": 1, "loss": 3, "det_loss": 2, "size_loss": 0.5}]
    assert loss_parts(read_log(write(tmp_path / "b.json", written))[0]) == ["heatmap", "size"]


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_a_picture_of_both(tmp_path, suffix, capsys):
    pytest.importorskip("matplotlib")
    ours, theirs = write(tmp_path / "a.jsonl", OURS, '{"kind": "tra'), write(tmp_path / "b.log.json", THEIRS_2)
    out = tmp_path / "new" / f"picture.{suffix}"
    assert main(["plot", str(ours), str(theirs), "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert "8 training and 2 validation lines" in printed.out
    assert "line 8 is cut off" in printed.err
    assert out.stat().st_size > 5000


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "no line of training"),
        ("hello\nworld\n", "line 1 is no JSON"),
        ('{"a": 1}\n', "no line of training"),
        ("[1]\n[2]\n", "line 1 is no JSON object"),
    ],
)
def test_other_files_are_refused(tmp_path, content, match):
    path = tmp_path / "x.jsonl"
    path.write_text(content)
    with pytest.raises(InputError, match=match):
        read_log(path)
    with pytest.raises(InputError, match="no log to read"):
        read_log(tmp_path / "absent")
    assert main(["plot", str(path), "--out", "a.txt"]) == 2


def test_a_log_without_losses_is_drawn(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    short = [{"kind": "validation", "epoch": 0, "step": 1, "AP": 0.0, "AP50": 0.0, "AP75": 0.0}]
    assert main(["plot", str(write(tmp_path / "log.jsonl", short)), "--out", str(tmp_path / "a.png")]) == 0
    assert (tmp_path / "a.png").is_file()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"loss": "low"}, "loss is no number"),
        ({"lr": [1]}, "lr is no number"),
        ({"heatmap": True}, "heatmap is no number"),
        ({"epoch": "1"}, "has no epoch, or one that is no number"),
        ({"epoch": None}, "has no epoch, or one that is no number"),
        ({"epoch": 2**40}, "has no epoch, or one that is no number"),
        ({"kind": None, "epoch": "1"}, "has no epoch, or one that is no number"),
    ],
)
def test_fields_of_another_type_are_named(tmp_path, changes, said):
    log = write(tmp_path / "a.jsonl", [OURS[0], OURS[0] | changes])
    with pytest.raises(InputError, match=f"line 2: {said}"):
        read_log(log)
