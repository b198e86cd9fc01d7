"""A run that is killed, interrupted or resumed ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
import zipfile
from pathlib import Path

import pytest

from cornernet.cli import main
from cornernet.config import Recipe
from cornernet.data.source import DataSource
from cornernet.errors import InputError
from cornernet.recipes.load import load_recipe
from cornernet.training import validation
from cornernet.training.trainer import resume, train
from small import cornernet, start, write_data, write_recipe

STEPS_AN_EPOCH = 20


def train_arguments(root: Path, name: str, **changes: object) -> list[object]:
    recipe = write_recipe(root / name, **changes)
    where = ["--data", root / "data", "--out", root / name / "run"]
    return ["train", recipe, *where, "--no-report", "--checkpoint_seconds", 0]


def stop_at(process, trainer: Path, step: int, how: signal.Signals) -> tuple[int, str]:
    """Send a signal once the log has reached ``step``; the exit code and what was said."""
    log, deadline = trainer / "log.jsonl", time.monotonic() + 120
    while time.monotonic() < deadline:
        lines = log.read_text().splitlines() if log.exists() else []
        if any(json.loads(line).get("step", 0) >= step for line in lines if line.endswith("}")):
            break
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    os.killpg(process.pid, how)  # its workers too, as a terminal or a cluster does
    said = process.communicate(timeout=60)[1]
    return process.returncode, said


def outcome(trainer: Path) -> tuple[str, bytes]:
    return (trainer / "log.jsonl").read_text(), (trainer / "last.safetensors").read_bytes()


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("resume")
    write_data(folder / "data", train=2 * STEPS_AN_EPOCH)
    return folder


@pytest.fixture(scope="module")
def undisturbed(root) -> tuple[str, bytes]:
    done = cornernet(*train_arguments(root, "undisturbed"))
    assert done.returncode == 0, done.stderr
    return outcome(root / "undisturbed" / "run")


def test_the_log_and_the_tables_say_what_happened(undisturbed, root):
    entries = [json.loads(line) for line in undisturbed[0].splitlines()]
    steps = [entry["step"] for entry in entries if entry["kind"] == "train"]
    assert steps == list(range(10, 3 * STEPS_AN_EPOCH + 1, 10))
    assert [entry["epoch"] for entry in entries if entry["kind"] == "validation"] == [0, 1, 2]
    assert entries[-2]["loss"] < entries[0]["loss"]
    assert entries[-2]["lr"] == pytest.approx(2e-4)
    names = {path.name for path in (root / "undisturbed" / "run").iterdir()}
    assert names >= {"best.safetensors", "last.safetensors", "state.ckpt", "metrics.json", "recipe.yaml", "tensorboard"}
    assert not any(name.endswith(".tmp") for name in names)


@pytest.mark.parametrize("step", [10, 30], ids=["first epoch", "second epoch"])
def test_sigkill_in_mid_epoch(root, undisturbed, step):
    arguments = train_arguments(root, f"killed-{step}")
    trainer = root / f"killed-{step}" / "run"
    code, _ = stop_at(start(*arguments), trainer, step, signal.SIGKILL)
    assert code == -signal.SIGKILL
    resumed = cornernet("train", "--resume", trainer, "--no-report")
    assert resumed.returncode == 0, resumed.stderr
    assert outcome(trainer) == undisturbed


@pytest.mark.parametrize(("how", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_saves_and_says_how_to_go_on(root, undisturbed, how, expected):
    name = f"stopped-{expected}"
    trainer = root / name / "run"
    arguments = [*train_arguments(root, name)[:-1], 3600]  # nothing but the signal makes it save
    code, said = stop_at(start(*arguments), trainer, 10, how)
    assert code == expected
    assert f"--resume {trainer}" in said.splitlines()[-1]
    assert "Traceback" not in said
    resumed = cornernet("train", "--resume", trainer, "--no-report")
    assert resumed.returncode == 0, resumed.stderr
    assert outcome(trainer) == undisturbed


def test_moving_average_and_accumulation_resume_exactly(root):
    changes = {"accumulate": 2, "optimization": {"lr": 0.002, "base_batch_size": 4, "ema": 0.9, "milestones": [2]}}
    whole = cornernet(*train_arguments(root, "whole", **changes))
    assert whole.returncode == 0, whole.stderr
    trainer = root / "parts" / "run"
    stop_at(start(*train_arguments(root, "parts", **changes)), trainer, 10, signal.SIGKILL)
    resumed = cornernet("train", "--resume", trainer, "--no-report")
    assert resumed.returncode == 0, resumed.stderr
    assert outcome(trainer) == outcome(root / "whole" / "run")


@pytest.fixture(scope="module", params=[0.0, 0.9], ids=["plain", "average"])
def whole(request, root) -> tuple[Recipe, Path]:
    """A recipe, and the run folder of its undisturbed training."""
    folder = root / f"ema {request.param}"
    recipe = load_recipe(str(write_recipe(folder, workers=0)))
    recipe.optimization.ema = request.param
    train(recipe, DataSource(str(root / "data")), folder / "run", name="small")
    return recipe, folder / "run"


@pytest.mark.parametrize("epoch", [1, 2], ids=["second epoch", "last epoch"])
def test_killed_while_validating(root, whole, tmp_path, monkeypatch, epoch):
    recipe, undisturbed = whole
    predict, calls = validation.predict_dataset, []

    def dies(*arguments, **options):
        calls.append(1)
        if len(calls) == epoch + 1:
            raise SystemExit("killed")
        return predict(*arguments, **options)

    monkeypatch.setattr(validation, "predict_dataset", dies)
    with pytest.raises(SystemExit):
        train(recipe, DataSource(str(root / "data")), tmp_path / "run", name="small")
    resume(tmp_path / "run")
    assert outcome(tmp_path / "run") == outcome(undisturbed)
    assert (tmp_path / "run/best.safetensors").read_bytes() == (undisturbed / "best.safetensors").read_bytes()


def test_what_cannot_be_resumed_is_refused(root, undisturbed, tmp_path):
    assert cornernet("train", "--resume", tmp_path).returncode == 2
    trainer = root / "undisturbed" / "run"
    other = write_data(tmp_path / "data", train=6)
    refused = cornernet("train", "--resume", trainer, "--data", other)
    assert refused.returncode == 2
    assert "other classes or images" in refused.stderr
    run = json.loads((trainer / "run.json").read_text())
    shutil.copytree(trainer, tmp_path / "old")
    (tmp_path / "old" / "run.json").write_text(json.dumps({k: v for k, v in run.items() if k != "format"}))
    refused = cornernet("train", "--resume", tmp_path / "old")
    assert refused.returncode == 2
    assert "another version of cornernet began this run" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    again = cornernet(*train_arguments(root, "undisturbed"))
    assert again.returncode == 2
    assert "not empty" in again.stderr


@pytest.mark.parametrize(
    ("file", "damage", "said"),
    [
        ("state.ckpt", lambda content: content[:-100], "state.ckpt: damaged ("),
        ("state.ckpt", lambda content: b"", "state.ckpt: damaged ("),
        ("state.ckpt", lambda content: content[:40_000] + bytes([content[40_000] ^ 1]) + content[40_001:], "damaged ("),
        ("run.json", lambda content: content.replace(b'"train_split": "train"', b'"train_split": 1'), "train_split"),
        ("run.json", lambda content: content.replace(b'"images": ', b'"images": "a'), "damaged ("),
        ("run.json", lambda content: b"[]", "another version of cornernet began this run"),
        ("run.json", lambda content: b"\xff", "damaged ("),
    ],
)
def test_a_damaged_run_is_refused_in_a_line(root, undisturbed, tmp_path, file, damage, said):
    """One flipped bit of the weights too: PyTorch would read it."""
    run = shutil.copytree(root / "undisturbed" / "run", tmp_path / "run")
    (run / file).write_bytes(damage((run / file).read_bytes()))
    refused = cornernet("train", "--resume", run)
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert said in refused.stderr


def test_a_state_that_names_a_program_is_refused_and_does_not_run_it(root, undisturbed, tmp_path):
    run = shutil.copytree(root / "undisturbed" / "run", tmp_path / "run")
    text = f"touch {tmp_path}/canary".encode()
    with zipfile.ZipFile(run / "state.ckpt", "w") as file:
        call = b"\x80\x02cos\nsystem\nX" + len(text).to_bytes(4, "little") + text + b"\x85R."
        file.writestr("archive/data.pkl", call)
        file.writestr("archive/version", "3\n")
        file.writestr("archive/byteorder", "little")
    refused = cornernet("train", "--resume", run)
    assert refused.returncode == 2
    assert "state.ckpt: is not the state of this run (" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "canary").exists()


def test_the_state_of_another_network_is_refused(root, undisturbed, tmp_path):
    run = shutil.copytree(root / "undisturbed" / "run", tmp_path / "run")
    recipe = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(recipe.replace("corner_channels: 8", "corner_channels: 16"))
    refused = cornernet("train", "--resume", run)
    assert refused.returncode == 2
    assert "state.ckpt: is not the state of this run (" in refused.stderr


def test_an_archive_is_trained_on_evaluated_and_resumed_also_after_its_cache_is_emptied(tmp_path, monkeypatch):
    monkeypatch.setenv("CORNERNET_CACHE", str(tmp_path / "cache"))
    write_data(tmp_path / "data", train=8, val=2)
    archive = shutil.make_archive(str(tmp_path / "data"), "zip", tmp_path / "data")
    shutil.rmtree(tmp_path / "data")
    run = tmp_path / "run"
    recipe = load_recipe(str(write_recipe(tmp_path, epochs=1, workers=0)))
    train(recipe, DataSource(archive), run)
    weights = ["--weights", str(run / "last.safetensors"), "--out", str(tmp_path / "evaluated")]
    assert main(["evaluate", "--data", archive, *weights]) == 0
    assert json.loads((tmp_path / "evaluated/metrics.json").read_text())["settings"]["data"] == archive
    shutil.rmtree(tmp_path / "cache")
    (run / "recipe.yaml").write_text((run / "recipe.yaml").read_text().replace("epochs: 1", "epochs: 2"))
    resume(run)
    entries = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries if entry["kind"] == "validation"][-1] == 8
    Path(archive).unlink()
    with pytest.raises(InputError, match=r"data\.zip: no such folder or file"):
        resume(run)
