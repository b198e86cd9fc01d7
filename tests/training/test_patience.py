"""Training stops when validations get no better, the same way after a resume; callbacks of the user do not disturb."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping

from cornernet.data.source import DataSource
from cornernet.errors import InputError
from cornernet.evaluation.ap import coco_metrics
from cornernet.recipes.load import load_recipe
from cornernet.training import trainer, validation
from cornernet.weights.store import load_weights
from small import cornernet, write_data, write_recipe

FIGURES = (0.1, 0.3, 0.3, 0.2, 0.25, 0.4, 0.1, 0.2)  # AP of the epochs: with a patience of 2 the fourth is the last


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("patience") / "data", train=20, val=2)


@pytest.fixture(autouse=True)
def figures(monkeypatch):
    """AP as planned, by the epoch."""

    def planned(truth, results):
        metrics = coco_metrics(truth, results)
        return replace(metrics, figures=metrics.figures | {"AP": FIGURES[planned.epoch]})

    write = validation.EpochResults.write

    def noted(self, trainer, module, epoch, stop):
        planned.epoch = epoch
        write(self, trainer, module, epoch, stop)

    monkeypatch.setattr(validation, "coco_metrics", planned)
    monkeypatch.setattr(validation.EpochResults, "write", noted)


def recipe_of(folder, **changes):
    return load_recipe(str(write_recipe(folder, **{"workers": 0, "epochs": 8, "patience": 2} | changes)))


def outcome(run):
    return [(run / name).read_bytes() for name in ("log.jsonl", "last.safetensors", "best.safetensors")]


def validated(run):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [line["epoch"] for line in lines if line["kind"] == "validation"]


SAID = "patience 2: no AP above the 0.300 of epoch 2 in 2 validations; stopped after epoch 4 of 8"


def test_it_stops_with_one_line_and_keeps_the_best(data, tmp_path, capsys):
    run = tmp_path / "run"
    result = trainer.train(recipe_of(tmp_path), DataSource(str(data)), run)
    assert sum(SAID in line for line in capsys.readouterr().err.splitlines()) == 1
    assert validated(run) == [0, 1, 2, 3]
    assert load_weights(run / "best.safetensors").info["epochs"] == 2
    assert load_weights(run / "last.safetensors").info["epochs"] == 4
    assert result.metrics is not None
    before = outcome(run)
    trainer.resume(run)  # says it again, and changes nothing
    assert SAID in capsys.readouterr().err
    assert outcome(run) == before
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("patience: 2", "patience: 3"))
    trainer.resume(run)
    assert validated(run) == [0, 1, 2, 3, 4]
    recipe.write_text(recipe.read_text().replace("patience: 3", "patience: 0"))
    trainer.resume(run)
    assert validated(run) == [*range(8)]
    assert load_weights(run / "best.safetensors").info["epochs"] == 6


@pytest.mark.parametrize("patience", [0, None])
def test_no_patience_is_no_end(data, tmp_path, patience):
    trainer.train(recipe_of(tmp_path, patience=patience, epochs=5), DataSource(str(data)), tmp_path / "run")
    assert validated(tmp_path / "run") == [*range(5)]


@pytest.mark.parametrize("killed", [2, 3], ids=["before the last", "the last"])
def test_killed_in_a_validation_it_stops_at_the_same_place(data, tmp_path, monkeypatch, killed):
    source = DataSource(str(data))
    trainer.train(recipe_of(tmp_path), source, tmp_path / "whole", name="small")
    predict, calls = validation.predict_dataset, []

    def dies(*arguments, **options):
        calls.append(1)
        if len(calls) == killed + 1:
            raise SystemExit("killed")
        return predict(*arguments, **options)

    monkeypatch.setattr(validation, "predict_dataset", dies)
    with pytest.raises(SystemExit):
        trainer.train(recipe_of(tmp_path), source, tmp_path / "parts", name="small")
    trainer.resume(tmp_path / "parts")
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")


def test_patience_needs_validations(data, tmp_path):
    with pytest.raises(InputError, match=r"^patience 2: needs validations; give a val split, or leave patience out$"):
        trainer.train(recipe_of(tmp_path), DataSource(str(data), val_split=None), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="patience"):
        recipe_of(tmp_path, patience=-1)


def test_the_command_line_writes_the_report(data, tmp_path):
    recipe = write_recipe(tmp_path, epochs=6, workers=0)
    done = cornernet("train", recipe, "--data", data, "--patience", 1, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "stopped after epoch 3 of 6" in done.stderr
    assert (tmp_path / "run/report.html").is_file()


class Counter(Callback):
    """Draws random numbers, and has a state."""

    def __init__(self, extra=None):
        self.batches, self.seen, self.extra = 0, [], extra

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        torch.rand(3), np.random.random(3)  # noqa: NPY002 - what a program of its own may do
        self.batches += 1

    def on_validation_end(self, trainer, pl_module):
        self.seen.append(round(float(trainer.callback_metrics["AP"]), 6))

    def state_dict(self):
        return {"batches": self.batches, "seen": list(self.seen)} | ({"extra": self.extra} if self.extra else {})

    def load_state_dict(self, state_dict):
        self.batches, self.seen = state_dict["batches"], list(state_dict["seen"])


class Opaque:
    """Something that only running its own code would bring back."""


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_callbacks_are_told_and_their_state_is_resumed(data, tmp_path, monkeypatch, ema, capsys):
    recipe, source = recipe_of(tmp_path, epochs=3, patience=0), DataSource(str(data))
    recipe.optimization.ema = ema
    trainer.train(recipe, source, tmp_path / "plain", name="small")
    first = Counter()
    trainer.train(recipe, source, tmp_path / "whole", name="small", callbacks=[first])
    assert (first.batches, first.seen) == (30, [0.1, 0.3, 0.3])
    assert outcome(tmp_path / "whole") == outcome(tmp_path / "plain")
    predict, calls = validation.predict_dataset, []

    def dies(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise SystemExit("killed")
        return predict(*arguments, **options)

    monkeypatch.setattr(validation, "predict_dataset", dies)
    with pytest.raises(SystemExit):
        trainer.train(recipe, source, tmp_path / "parts", name="small", callbacks=[Counter()])
    second = Counter()
    trainer.resume(tmp_path / "parts", callbacks=[second])
    assert (second.batches, second.seen) == (30, [0.1, 0.3, 0.3])
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")
    assert "warning: callback" not in capsys.readouterr().err


def test_a_callback_whose_state_cannot_be_read_again_does_not_spoil_the_checkpoint(data, tmp_path, capsys):
    class Adder(Callback):
        def on_save_checkpoint(self, trainer, pl_module, checkpoint):
            checkpoint["mine"], checkpoint["good"] = Opaque(), 3

    recipe, source = recipe_of(tmp_path, epochs=2, patience=0), DataSource(str(data))
    run = tmp_path / "run"
    trainer.train(recipe, source, run, callbacks=[Counter(Opaque()), Adder()])
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: callback state")]
    assert len(warnings) == 2
    assert "Counter is not saved" in warnings[0]
    assert "mine is not saved" in warnings[1]
    assert torch.load(run / "state.ckpt", weights_only=True)["good"] == 3
    trainer.resume(run)


def test_two_callbacks_of_one_key_are_named(data, tmp_path):
    recipe, source = recipe_of(tmp_path, epochs=1), DataSource(str(data))
    with pytest.raises(InputError, match=r"^callbacks: two callbacks have the state_key 'Counter'; "):
        trainer.train(recipe, source, tmp_path / "run", callbacks=[Counter(), Counter()])


def test_early_stopping_of_lightning(data, tmp_path):
    """It may stop after an epoch whose validation is not due otherwise; that is validated then."""
    stop = EarlyStopping("AP", mode="max", patience=2, check_on_train_epoch_end=False)
    recipe, source = recipe_of(tmp_path, patience=None), DataSource(str(data))
    trainer.train(recipe, source, tmp_path / "run", callbacks=[stop])
    assert validated(tmp_path / "run") == [0, 1, 2, 3]

    class After(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            trainer.should_stop = trainer.current_epoch == 1

    recipe.validate_every = 5
    result = trainer.train(recipe, source, tmp_path / "short", callbacks=[After()])
    assert validated(tmp_path / "short") == [1]
    assert result.metrics is not None
