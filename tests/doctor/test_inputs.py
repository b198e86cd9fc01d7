"""Data that comes too slowly or is none, weights that will not do; the command and its exit code."""

import json

import pytest

from cornernet.cli import main
from cornernet.doctor import probe
from cornernet.doctor.inputs import Speed, check_dataset, check_weights, judge_speed
from small import write_data

FACTS = {"version": "2.13.0+cpu", "cuda": None, "threads": 2, "devices": [], "warnings": []}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("doctor") / "data", train=4, val=2)


@pytest.mark.parametrize(
    ("reading", "decoding", "cores", "mark", "fix"),
    [
        (1.0, 1.0, 8, "ok", ""),
        (60.0, 1.0, 8, "warn", "copy the data to a disk"),
        (1.0, 60.0, 8, "warn", "more --workers, up to 8"),
        (1.0, 60.0, 1, "warn", "save smaller copies"),
    ],
)
def test_speed(reading, decoding, cores, mark, fix):
    (finding,) = judge_speed(Speed(64, 64 << 20, reading, decoding, []), cores, need=12)
    assert finding.mark == mark
    assert fix in finding.fix
    assert f"{67 / reading:.0f} MB/s" in finding.said


def test_a_data_set_is_read_and_timed(data):
    found = check_dataset(str(data), 2, need=0.1)
    assert [(finding.mark, finding.what) for finding in found] == [("ok", "data"), ("ok", "data speed")]
    assert "COCO" in found[0].said
    assert "6 images at random" in found[1].said


def test_broken_images_and_no_data_set(tmp_path):
    data = write_data(tmp_path / "data", train=3, val=1)
    (data / "train" / "001.png").write_text("hello")
    found = check_dataset(str(data), 2, need=0.1)
    assert found[1].mark == "warn"
    assert "1 of 4 images cannot be read" in found[1].said
    assert "001.png" in found[1].said
    for path, fix in ((tmp_path / "nowhere", "give the data set's folder"), (tmp_path, f"{data} holds COCO")):
        (finding,) = check_dataset(str(path), 2, need=0.1)
        assert finding.mark == "FAIL"
        assert finding.said.startswith(f"{path}: no ")
        assert finding.fix.startswith(fix)


def test_images_that_lie_elsewhere_than_their_labels(tmp_path):
    data = write_data(tmp_path / "data", train=3, val=1)
    (tmp_path / "labels").mkdir()
    labels = (data / "annotations" / "instances_train.json").read_text()
    labels = labels.replace('"file_name": "', f'"file_name": "{data}/train/')
    (tmp_path / "labels" / "train.json").write_text(labels)
    found = check_dataset(str(tmp_path / "labels" / "train.json"), 2, need=0.1)
    assert [finding.mark for finding in found] == ["ok", "ok"]
    assert "3 images at random" in found[1].said


def test_weights(tmp_path):
    (finding,) = check_weights("shapes", probe._weights("shapes"))
    assert finding.mark == "ok"
    assert "10 classes" in finding.said
    (tmp_path / "bad.safetensors").write_text("these are no weights")
    bad = str(tmp_path / "bad.safetensors")
    (finding,) = check_weights(bad, probe.ask("weights", bad))
    assert finding.mark == "FAIL"
    assert finding.said.startswith(bad)


def test_weights_that_are_not_fetched_are_not_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("CORNERNET_CACHE", str(tmp_path))
    monkeypatch.setenv("CORNERNET_MIRROR", "http://127.0.0.1:9")
    name = "cornernet_hourglass104_8xb6"
    (finding,) = check_weights(name, probe._weights(name))
    assert (finding.mark, finding.fix) == ("warn", f"cornernet weights fetch {name}")
    assert not list(tmp_path.iterdir())


def test_the_command_says_it_all_and_its_exit_code_tells(data, monkeypatch, capsys):
    monkeypatch.setattr("cornernet.doctor.probe.ask", lambda *words: FACTS if words == ("torch",) else {"version": "1"})
    monkeypatch.setattr("cornernet.doctor.packages.ask", lambda *_: {"version": "1"})
    assert main(["doctor", "--data", str(data)]) == 0
    printed = capsys.readouterr().out
    for what in ("python", "packages", "torchvision", "imports", "gpu", "cores", "memory", "data speed"):
        assert f"  {what} " in printed
    assert "0 would stop a training" in printed
    monkeypatch.setattr("cornernet.doctor.probe.ask", lambda *_: {"error": "torch is broken"})
    assert main(["doctor", "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert {"mark": "FAIL", "what": "torch", "said": "torch is broken"}.items() <= next(
        finding.items() for finding in found if finding["what"] == "torch"
    )
