"""A training from its recipe to its run folder."""

from __future__ import annotations

import gc
import logging
import math
import shutil
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.callbacks import Checkpoint, EMAWeightAveraging, ProgressBar, TQDMProgressBar
from lightning.pytorch.loggers import Logger

from cornernet.config import Recipe
from cornernet.data.dataset import CocoDataset
from cornernet.data.loading import TrainingLoader
from cornernet.data.source import DataSource
from cornernet.devices import find_device, is_on_gpu
from cornernet.errors import InputError, first_line
from cornernet.evaluation.ap import Metrics
from cornernet.files import atomic_write, make_folder, read_own_json
from cornernet.inference.detector import Detector, load_detector
from cornernet.recipes.load import flat_recipe, load_recipe, recipe_yaml
from cornernet.training.checkpoints import CHECKPOINT_SECONDS, STATE_FILE, Keeper, check_state
from cornernet.training.distributed import World, connect, find_world
from cornernet.training.log import BOARD_FOLDER, EVERY, LOG_FILE, OPENMMLAB_LOG_FILE, RunLog
from cornernet.training.loggers import LOGGER_FOLDERS, check_loggers, open_loggers, start_loggers
from cornernet.training.module import TrainingModule, training_network
from cornernet.training.run_file import RUN_FILE, RunInfo
from cornernet.training.validation import METRICS_FILE, EpochResults
from cornernet.weights.store import Weights
from cornernet.weights.transfer import transfer
from cornernet.weights.zoo import open_weights

RECIPE_FILE = "recipe.yaml"


@dataclass
class TrainingResult:
    """The run's ``folder`` and the ``metrics`` of the last validation, if there was one."""

    folder: Path
    metrics: Metrics | None

    @property
    def weights(self) -> Path:
        """The file of the best weights by validation AP, or of the last ones if there was no validation."""
        best = self.folder / "best.safetensors"
        return best if best.is_file() else self.folder / "last.safetensors"

    def load(self, **options: Any) -> Detector:
        """A detector with these weights; ``options`` are those of ``load_detector``."""
        return load_detector(self.weights, **options)


def train(
    recipe: Recipe,
    source: DataSource,
    folder: Path,
    *,
    name: str = "",
    strict: bool = False,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    report: Callable[[CocoDataset], None] = lambda dataset: None,
    loggers: Sequence[Logger | str] = (),
    callbacks: Sequence[pl.Callback] = (),
    will_report: bool = True,
) -> TrainingResult:
    """Train a network by ``recipe`` on the data of ``source``; all files are written to ``folder``.

    With ``recipe.weights``, their preprocessing replaces that of the recipe. ``report`` is called with each data set.
    ``loggers`` are Lightning's, or names such as ``"wandb"``; one that raises is switched off. ``callbacks`` are
    Lightning's too: ``on_validation_end`` is called after each validation, with COCO's figures in
    ``trainer.callback_metrics``; their state is part of the checkpoints. ``will_report`` is kept for a resumed run.
    Raises ``InputError`` for data or folders that cannot be used, ``DivergedError`` if a loss is not finite,
    ``InterruptedRun`` on Ctrl-C or SIGTERM.
    """
    world = find_world()
    own, named = _split_loggers(loggers)
    callbacks = _checked(callbacks)
    if recipe.optimization.sync_batchnorm and not is_on_gpu():
        raise InputError("needs GPUs", "optimization.sync_batchnorm", "leave it out on this machine")
    if recipe.precision == "16-mixed" and not is_on_gpu():
        raise InputError("16-mixed needs a GPU", "precision", "on this CPU use --precision bf16-mixed or 32-true")
    data = source.load(strict=strict)
    if recipe.patience and not data[1]:
        raise InputError("needs validations", f"patience {recipe.patience}", "give a val split, or leave patience out")
    if world.is_first:
        for dataset in filter(None, data):
            report(dataset)
    for dataset in filter(None, data):
        dataset.refuse_losses()
    start = open_weights(recipe.weights) if recipe.weights else None
    if start:
        given = recipe.preprocessing
        sizes = {"pad_mask": given.pad_mask, "pad_multiple": given.pad_multiple, "max_size": given.max_size}
        recipe = replace(recipe, preprocessing=replace(start.preprocessing, **sizes))
    run = RunInfo(name, source, data[0].class_names, len(data[0].images), world.size, dict.fromkeys(named), will_report)
    if world.is_first:
        if start and "licence" in start.info:
            print(f"weights {recipe.weights}: licence {start.info['licence']}", file=sys.stderr)
        make_folder(folder)
        _clear_false_start(folder)
        if any(folder.iterdir()):
            raise InputError("not empty", folder, f"go on with --resume {folder}, or choose another --out")
        atomic_write(folder / RECIPE_FILE, recipe_yaml(recipe).encode())
        run.write(folder)
    more = _Additions(own, callbacks)
    while True:
        try:
            return _fit(recipe, *data, folder, run, checkpoint_seconds, None, world, more, start)
        except torch.OutOfMemoryError as error:
            recipe = _smaller_batch(recipe, folder, world, error)
            run.loggers = dict.fromkeys(named)
        gc.collect()  # frees what the failed training still holds, now that its error is gone
        torch.cuda.empty_cache()


def resume(
    folder: Path,
    data: str | None = None,
    *,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    loggers: Sequence[Logger | str] = (),
    callbacks: Sequence[pl.Callback] = (),
) -> TrainingResult:
    """Go on exactly from the last checkpoint of the run in ``folder``; ``data`` is the data set's new place.

    Loggers that the run was given by name are used again, unless ``loggers`` names others. Objects, loggers and
    callbacks, have to be given anew.
    """
    run = _read_run(folder)
    own, named = _split_loggers(loggers)
    callbacks = _checked(callbacks)
    if named:
        run.loggers = {logger: run.loggers.get(logger) for logger in named}
    check_loggers(run.loggers)
    check_state(folder / STATE_FILE)
    recipe = load_recipe(str(folder / RECIPE_FILE))
    if data:
        run.source.folder = data
    training, validation = run.source.load()
    if training.class_names != run.class_names or len(training.images) != run.images:
        raise InputError(
            f"other classes or images than the run in {folder} began with",
            training.json_path,
            "give the data set that it began with",
        )
    world = find_world()
    if world.size != run.world:
        raise InputError(f"the run began with {run.world} processes, not {world.size}", folder, "go on with as many")
    state, more = folder / STATE_FILE, _Additions(own, callbacks)
    return _fit(recipe, training, validation, folder, run, checkpoint_seconds, state, world, more)


@dataclass
class _Additions:
    """What a program adds to a training: loggers and callbacks of Lightning."""

    loggers: Sequence[Logger]
    callbacks: Sequence[pl.Callback]


def _split_loggers(loggers: Sequence[Logger | str]) -> tuple[list[Logger], list[str]]:
    """The objects and the names among them. Raises ``InputError`` for a name that cannot be used."""
    for logger in loggers:
        if not isinstance(logger, (str, Logger)):
            raise InputError(f"neither a name nor a logger of Lightning: {logger!r}", "logger")
    names = [logger for logger in loggers if isinstance(logger, str)]
    check_loggers(names)
    return [logger for logger in loggers if not isinstance(logger, str)], names


def read_result(folder: Path) -> TrainingResult:
    """The result of the training in ``folder``, from its files."""
    path, fix = folder / METRICS_FILE, "remove it, and resume the run"
    if not path.is_file():
        return TrainingResult(folder, None)
    try:
        return TrainingResult(folder, Metrics.from_dict(read_own_json(path, fix)))
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"damaged ({error!r})", path, fix) from None


def _checked(callbacks: Sequence[pl.Callback]) -> list[pl.Callback]:
    """The callbacks; ``InputError`` if they are none of Lightning's."""
    for callback in callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]:
        if not isinstance(callback, pl.Callback):
            raise InputError(f"not a callback of Lightning: {callback!r}", "callbacks", "give a list of them")
    return [callbacks] if isinstance(callbacks, pl.Callback) else list(callbacks)


def processes_of(folder: Path) -> int:
    """How many processes the run in ``folder`` began with; ``InputError`` if it cannot be resumed."""
    return _read_run(folder).world


def has_report(folder: Path) -> bool:
    """Whether the run in ``folder`` began with a report at its end."""
    return _read_run(folder).report


def _read_run(folder: Path) -> RunInfo:
    """What the run in ``folder`` began with; ``InputError`` if it cannot be resumed."""
    for file in (RECIPE_FILE, RUN_FILE, STATE_FILE):
        if not (folder / file).is_file():
            raise InputError(f"no {file}", folder, "--resume needs the folder of a run that has saved its state")
    return RunInfo.read(folder)


def _fit(
    recipe: Recipe,
    training: CocoDataset,
    validation: CocoDataset | None,
    folder: Path,
    run: RunInfo,
    checkpoint_seconds: float,
    state: Path | None,
    world: World,
    more: _Additions,
    start: Weights | None = None,
) -> TrainingResult:
    connect(world)
    if world.is_first:
        _warn_of_scaled_rate(recipe, world)
    pl.seed_everything(recipe.seed, verbose=False)
    model = training_network(recipe, len(training.class_names))
    is_frozen = recipe.freeze != "none"
    notes = transfer(model, training.class_names, start, is_frozen) if start else []
    for note in notes if world.is_first else []:
        print(f"weights: {note}", file=sys.stderr)
    loader = TrainingLoader(training, recipe, world.rank, world.size)
    if not len(loader):
        raise InputError(
            f"{len(training.images)} images are too few for {world.size} x {recipe.batch_size} a step",
            training.json_path,
            "choose fewer --devices" if world.size > 1 else "choose a smaller --batch_size",
        )
    module = TrainingModule(model, recipe, len(loader), world.size)
    ema = EMAWeightAveraging(decay=recipe.optimization.ema) if recipe.optimization.ema else None
    loggers = open_loggers(more.loggers, run.loggers if world.is_first else {}, folder)
    log = RunLog(folder, writes=world.is_first, loggers=loggers)
    template = Weights(
        {}, recipe.model, training.class_names, recipe.preprocessing, recipe.decoding, info={"recipe": run.name}
    )
    results = EpochResults(folder, log, template, validation, ema, more.callbacks)
    keeper = Keeper(folder, results, checkpoint_seconds)
    # averaged before it is logged; logged, and seen by the user's callbacks, before it is saved
    callbacks = [*([ema] if ema else []), log, *more.callbacks, keeper]
    exit_code = 1
    with _quiet_lightning():
        try:
            trainer = _lightning_trainer(recipe, world, callbacks, loggers, folder)
            if world.is_first:
                run.loggers = start_loggers(loggers, run.loggers, {"recipe": run.name} | flat_recipe(recipe))
                run.write(folder)
            trainer.fit(module, loader, ckpt_path=str(state) if state else None, weights_only=True)
            keeper.finish(trainer, module)
            exit_code = 0
        except (AttributeError, EOFError, LookupError, RuntimeError, TypeError, UnpicklingError, ValueError) as error:
            if state and not keeper.has_begun:
                what = f"is not the state of this run ({first_line(error)})"
                raise InputError(what, state, "restore it from a copy, or start the run anew") from error
            raise
        finally:
            loader.close()
            for logger in loggers:
                logger.end_run(exit_code)
    return TrainingResult(folder, results.metrics)


def _lightning_trainer(
    recipe: Recipe, world: World, callbacks: list[pl.Callback], loggers: list[Any], folder: Path
) -> pl.Trainer:
    """Lightning's trainer by the recipe, on all devices of the world."""
    device = find_device()
    if device.type not in AcceleratorRegistry.available_accelerators():
        raise InputError("Lightning cannot train there", f"--device {device}", "choose cpu, cuda or mps")
    has_bar = any(isinstance(callback, ProgressBar) for callback in callbacks)  # the user's
    shows_bar = world.is_first and sys.stdout.isatty() and not has_bar
    stateful = [callback for callback in callbacks if type(callback).state_dict is not pl.Callback.state_dict]
    keys = Counter(callback.state_key for callback in stateful)
    if twice := [key for key, count in keys.items() if count > 1]:
        what = f"two callbacks have the state_key {twice[0]!r}"
        raise InputError(what, "callbacks", "give yours a property state_key that returns another text")
    return pl.Trainer(
        accelerator=device.type,
        devices=world.local_size if device.index is None else [device.index],
        num_nodes=world.nodes,
        strategy="ddp" if world.environment else "auto",
        plugins=[world.environment] if world.environment else None,
        sync_batchnorm=recipe.optimization.sync_batchnorm,
        precision=recipe.precision,
        max_epochs=recipe.epochs,
        accumulate_grad_batches=recipe.accumulate,
        callbacks=[*callbacks, *([TQDMProgressBar()] if shows_bar else [])],
        logger=loggers,
        log_every_n_steps=EVERY,
        default_root_dir=folder,
        enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
        enable_model_summary=False,
        enable_progress_bar=shows_bar or has_bar,
        use_distributed_sampler=False,
        benchmark=device.type == "cuda",
    )


def _smaller_batch(recipe: Recipe, folder: Path, world: World, error: torch.OutOfMemoryError) -> Recipe:
    """The recipe with half the batch and twice the accumulation, written to ``folder``, if memory is not enough at the
    start; ``InputError`` if that cannot help."""
    fix = "choose a smaller --size, --augmentation.crop_size or --batch-size, or --activation_checkpointing true"
    if recipe.batch_size == 1 or world.size > 1 or (folder / STATE_FILE).exists():
        raise InputError(f"out of memory at {recipe.batch_size} images a step on a device", fix=fix) from error
    half = recipe.batch_size // 2
    smaller = replace(recipe, batch_size=half, accumulate=math.ceil(recipe.batch_size * recipe.accumulate / half))
    print(
        f"out of memory: batch {recipe.batch_size} is now {half}, {smaller.accumulate} of them a step of the weights",
        file=sys.stderr,
    )
    atomic_write(folder / RECIPE_FILE, recipe_yaml(smaller).encode())
    shutil.rmtree(folder / BOARD_FOLDER, ignore_errors=True)
    for name in (LOG_FILE, OPENMMLAB_LOG_FILE):
        (folder / name).unlink(missing_ok=True)
    return smaller


def _warn_of_scaled_rate(recipe: Recipe, world: World) -> None:
    """Print a warning if the batch in use is not the one that the recipe's rate is meant for."""
    settings = recipe.optimization
    batch = recipe.batch_size * recipe.accumulate * world.size
    if batch != settings.base_batch_size:
        parts = f"{world.size} x {recipe.batch_size}" + (f" x {recipe.accumulate}" if recipe.accumulate > 1 else "")
        rate = settings.lr * batch / settings.base_batch_size
        print(
            f"warning: batch {batch} ({parts}) is not the recipe's {settings.base_batch_size}: learning rate scaled"
            f" from {settings.lr:g} to {rate:g}",
            file=sys.stderr,
        )


def _clear_false_start(folder: Path) -> None:
    """Remove the files of a run that ended before its first checkpoint, so that it can begin again."""
    ours = {RECIPE_FILE, RUN_FILE, LOG_FILE, OPENMMLAB_LOG_FILE, BOARD_FOLDER, *LOGGER_FOLDERS}
    if {path.name for path in folder.iterdir()} <= ours:
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Without Lightning's notices and advice on the terminal."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")  # 1x1 weights
            yield
    finally:
        logger.setLevel(level)
