"""Loggers are told everything, and none of them can end a run or change it."""

from __future__ import annotations

import csv
import json
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cornernet.commands.train import train as train_command
from cornernet.data.source import DataSource
from cornernet.errors import InputError
from cornernet.recipes.load import flat_recipe, load_recipe
from cornernet.training import loggers as loggers_module
from cornernet.training import trainer, validation
from cornernet.training.loggers import HeldLogger, parse_loggers
from cornernet.training.validation import is_picture_due
from small import start, write_data, write_recipe


class Recorder(Logger):
    """Keeps what it is told."""

    name, version = "recorder", "7"

    def __init__(self):
        super().__init__()
        self.hyperparameters, self.metrics, self.pictures, self.ended = [], [], [], []
        self.experiment = SimpleNamespace(tag="mine")

    def log_hyperparams(self, params):
        self.hyperparameters.append(params)

    def log_metrics(self, metrics, step=None):
        self.metrics.append((step, metrics))

    def log_image(self, key, images, step=None):
        self.pictures.append((key, images, step))

    def finalize(self, status):
        self.ended.append(status)


class Raiser(Logger):
    """Raises whatever it is asked."""

    def fail(self, *_, **__):
        raise SystemExit("the server\nis gone")

    name = version = save_dir = root_dir = log_dir = experiment = group_separator = property(fail)
    log_metrics = log_hyperparams = log_graph = log_image = save = finalize = after_save_checkpoint = fail


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("loggers") / "data", train=20, val=6)


def recipe_of(folder, **changes):
    return load_recipe(str(write_recipe(folder, **{"workers": 0, "epochs": 2} | changes)))


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    trainer.train(recipe_of(folder), DataSource(str(data)), folder / "run", name="small")
    return folder / "run"


def outcome(run):
    return (run / "log.jsonl").read_text(), (run / "last.safetensors").read_bytes()


def test_a_logger_gets_recipe_losses_figures_and_pictures(data, tmp_path, alone):
    recipe, mine = recipe_of(tmp_path), Recorder()
    trainer.train(recipe, DataSource(str(data)), tmp_path / "run", name="small", loggers=[mine])
    assert mine.hyperparameters == [{"recipe": "small"} | flat_recipe(recipe)]
    assert mine.hyperparameters[0]["model.backbone.num_stacks"] == 1
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [step for step, _ in mine.metrics] == [line["step"] for line in lines]
    for line, (_, told) in zip(lines, mine.metrics, strict=True):
        kind = line["kind"]
        figures = {f"{kind}/{name}": value for name, value in line.items() if name not in ("kind", "epoch", "step")}
        told.pop("train/images_per_second", None)
        assert told == {name: value for name, value in figures.items() if value is not None}
    assert mine.ended == ["success"]
    assert [(key, step) for key, _, step in mine.pictures] == [("validation", 10), ("validation", 20)]
    board = EventAccumulator(str(tmp_path / "run/tensorboard")).Reload()
    assert len(board.Images("validation")) == 2
    (picture,) = mine.pictures[0][1]
    assert (picture.dtype, picture.shape) == (np.uint8, (4 * 64 + 3 * 4, 2 * 64 + 4, 3))
    assert outcome(tmp_path / "run") == outcome(alone)


@pytest.mark.parametrize("begins", [Raiser, lambda: None], ids=["in every method", "in the middle"])
def test_a_logger_that_raises_is_switched_off_with_one_line(begins, data, tmp_path, alone, capsys):
    mine = begins() or Recorder()
    if isinstance(mine, Recorder):
        mine.log_image = None  # a plain attribute: calling it raises
    watch = [LearningRateMonitor("step")]
    source, recipe, other = DataSource(str(data)), recipe_of(tmp_path), Recorder()
    trainer.train(recipe, source, tmp_path / "run", name="small", loggers=[mine, other], callbacks=watch)
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: logger")]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"warning: logger {type(mine).__name__}: ")
    assert warnings[0].endswith("; it is switched off, the training goes on")
    if isinstance(mine, Raiser):
        assert "the server is gone" in warnings[0]
    assert other.ended == ["success"]
    assert any("lr-Muon" in "".join(values) for _, values in other.metrics)  # what callbacks log comes through
    assert outcome(tmp_path / "run") == outcome(alone)


def test_a_held_logger_looks_like_the_logger():
    mine = Recorder()
    held = HeldLogger(mine, "mine")
    assert isinstance(held, Recorder)
    assert held.experiment.tag == "mine"
    assert (held.name, held.metrics) == ("recorder", [])
    assert not hasattr(held, "no_such_attribute")
    gone = HeldLogger(Raiser(), "gone")
    assert (gone.version, gone.name, gone.log_metrics({}), gone.save()) == (None, None, None, None)
    gone.experiment.add_anything("at all")


def test_ctrl_c_inside_a_logger_is_no_failure_of_it():
    class Slow(Recorder):
        def log_metrics(self, metrics, step=None):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        HeldLogger(Slow(), "slow").log_metrics({})


def test_csv_by_name_and_again_after_resume(data, tmp_path):
    recipe = recipe_of(tmp_path)
    source, run = DataSource(str(data)), tmp_path / "run"
    trainer.train(recipe, source, run, name="small", loggers=["csv", "tensorboard"])
    rows = list(csv.DictReader((run / "csv/version_0/metrics.csv").open()))
    assert {row["step"] for row in rows} == {"10", "20"}
    assert any(row["validation/AP"] for row in rows)
    assert yaml.safe_load((run / "csv/version_0/hparams.yaml").read_text())["epochs"] == 2
    assert json.loads((run / "run.json").read_text())["loggers"] == {"csv": None, "tensorboard": None}
    trainer.resume(run)
    assert (run / "csv/version_1/metrics.csv").is_file()
    trainer.resume(run, loggers=["tensorboard"])
    assert not (run / "csv/version_2").exists()
    assert json.loads((run / "run.json").read_text())["loggers"] == {"tensorboard": None}


def test_a_resumed_run_goes_on_with_the_run_of_its_logger(data, tmp_path, monkeypatch):
    made = []

    def make(name, folder, version):
        made.append((name, version))
        return Recorder()

    monkeypatch.setattr(loggers_module, "_make_logger", make)
    monkeypatch.setattr(loggers_module, "find_spec", lambda name: True)
    run = tmp_path / "run"
    trainer.train(recipe_of(tmp_path), DataSource(str(data)), run, loggers=["mlflow"])
    trainer.resume(run)
    assert made == [("mlflow", None), ("mlflow", "7")]


def test_a_logger_that_cannot_even_be_made(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(loggers_module, "find_spec", lambda name: True)

    def broken(*_):
        raise ImportError("libsomething.so is absent")

    monkeypatch.setattr(loggers_module, "_make_logger", broken)
    trainer.train(recipe_of(tmp_path, epochs=1), DataSource(str(data)), tmp_path / "run", loggers=["wandb"])
    assert "warning: logger wandb: libsomething.so is absent; it is switched off" in capsys.readouterr().err
    assert json.loads((tmp_path / "run/run.json").read_text())["loggers"] == {"wandb": None}


def test_names_are_checked_at_once(monkeypatch, tmp_path):
    monkeypatch.setattr(loggers_module, "find_spec", lambda name: None)
    assert parse_loggers(None) == []
    assert parse_loggers("csv, tensorboard,csv") == ["csv", "tensorboard"]
    with pytest.raises(InputError, match=r"^logger wanbd: there is no such logger; did you mean wandb\?$"):
        parse_loggers("csv,wanbd")
    for name in ("wandb", "mlflow"):
        with pytest.raises(InputError, match=rf"^logger {name}: .* not installed; pip install 'cornernet\[{name}\]'$"):
            train_command("shapes", data=str(tmp_path / "absent"), logger=name)
    with pytest.raises(InputError, match="pip install trackio"):
        parse_loggers("trackio")


def test_a_false_start_with_loggers_can_begin_again(data, tmp_path):
    run = tmp_path / "run"
    (run / "csv" / "version_0").mkdir(parents=True)
    (run / "recipe.yaml").touch()
    trainer.train(recipe_of(tmp_path, epochs=1), DataSource(str(data)), run)
    assert not (run / "csv").exists()


def test_checkpoints_and_loggers_of_the_user(data, tmp_path):
    """Lightning's own callback saves by AP; its folder is the logger's."""
    best = ModelCheckpoint(monitor="AP", mode="max", filename="{epoch}", save_on_train_epoch_end=False)
    mine = CSVLogger(tmp_path / "mine", name="")
    trainer.train(recipe_of(tmp_path), DataSource(str(data)), tmp_path / "run", loggers=[mine], callbacks=[best])
    assert best.best_model_path.startswith(str(tmp_path / "mine"))
    assert best.best_model_score is not None


def test_pictures_are_few():
    recipe = load_recipe("shapes-demo", {"epochs": "95", "validate_every": "3"})
    due = [epoch for epoch in range(95) if (epoch + 1) % 3 == 0 or epoch == 94]
    shown = [epoch for epoch in due if is_picture_due(epoch, recipe)]
    assert len(shown) <= 11
    assert shown[-1] == 94


def test_the_picture_has_truth_left_and_detections_right(data):
    dataset = DataSource(str(data)).load()[1]
    record = dataset.images[0]
    x1, y1, x2, y2 = (float(value) for value in record.boxes[0])
    result = {"image_id": record.id, "category_id": dataset.category_ids[0], "bbox": [x1, y1, x2 - x1, y2 - y1]}
    pictures = [validation.validation_picture(dataset, [result | {"score": score}]) for score in (0.2, 0.9)]
    changed = (pictures[0] != pictures[1]).any(axis=2)
    assert changed[:64, 68:].any()
    assert not changed[:, :68].any()
    assert not changed[64:].any()


def run_with(package, data, tmp_path, name, **environment):
    """A training with a logger, in a process of its own: loggers stay loaded, with their threads and settings."""
    pytest.importorskip(package)
    recipe = write_recipe(tmp_path, epochs=1, workers=0)
    with pytest.MonkeyPatch.context() as patch:
        for key, value in environment.items():
            patch.setenv(key, value)
        words = "train", recipe, "--data", data, "--out", tmp_path / "run", "--no-report", "--logger", name
        process = start(*words)
    output, errors = process.communicate(timeout=300)
    return subprocess.CompletedProcess(words, process.returncode, output, errors)


def test_wandb_offline(data, tmp_path):
    done = run_with("wandb", data, tmp_path, "wandb", WANDB_MODE="offline")
    assert done.returncode == 0, done.stderr
    assert "warning: logger" not in done.stderr
    (offline,) = (tmp_path / "run/wandb").glob("offline-run-*")
    assert list(offline.glob("files/media/images/validation*.png"))
    assert not list(offline.glob("files/requirements.txt"))
    assert not list(offline.glob("files/output.log"))
    assert offline.name.endswith(json.loads((tmp_path / "run/run.json").read_text())["loggers"]["wandb"])


DEAD = {
    "WANDB_BASE_URL": "http://127.0.0.1:9",
    "WANDB_API_KEY": "0" * 40,
    "WANDB_INIT_TIMEOUT": "5",
    "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
}


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_server_out_of_reach(name, data, tmp_path):
    done = run_with(name, data, tmp_path, name, **DEAD)
    assert done.returncode == 0, done.stderr
    assert sum(line.startswith(f"warning: logger {name}: ") for line in done.stderr.splitlines()) == 1
    assert (tmp_path / "run/best.safetensors").is_file()


def test_mlflow_beside_the_run(data, tmp_path):
    pytest.importorskip("sqlalchemy")
    done = run_with("mlflow", data, tmp_path, "mlflow")
    assert done.returncode == 0, done.stderr
    assert "warning: logger" not in done.stderr
    assert (tmp_path / "mlflow.db").is_file()
    assert json.loads((tmp_path / "run/run.json").read_text())["loggers"]["mlflow"]


def test_trackio_stays_on_this_machine(data, tmp_path):
    done = run_with("trackio", data, tmp_path, "trackio", TRACKIO_DIR=str(tmp_path / "trackio"))
    assert done.returncode == 0, done.stderr
    assert "warning: logger" not in done.stderr
    assert (tmp_path / "trackio/cornernet.db").is_file()
    assert list((tmp_path / "trackio/media").rglob("*.png"))
