"""A training from its recipe to its run folder."""

from __future__ import annotations

import gc
import json
import logging
import math
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.callbacks import EMAWeightAveraging, TQDMProgressBar
from lightning.pytorch.loggers import Logger

from cornernet.config import Recipe
from cornernet.data.dataset import CocoDataset
from cornernet.data.loading import TrainingLoader
from cornernet.data.source import DataSource
from cornernet.devices import find_device, is_on_gpu
from cornernet.errors import InputError
from cornernet.evaluation.ap import Metrics
from cornernet.files import atomic_write, atomic_write_json, make_folder
from cornernet.inference.detector import Detector, load_detector
from cornernet.recipes.load import load_recipe, recipe_yaml
from cornernet.training.checkpoints import CHECKPOINT_SECONDS, STATE_FILE, Keeper
from cornernet.training.distributed import World, connect, find_world
from cornernet.training.log import BOARD_FOLDER, LOG_FILE, OPENMMLAB_LOG_FILE, RunLog
from cornernet.training.module import TrainingModule, training_network
from cornernet.training.validation import METRICS_FILE, EpochResults
from cornernet.weights.store import Weights
from cornernet.weights.transfer import transfer
from cornernet.weights.zoo import open_weights

RECIPE_FILE, RUN_FILE = "recipe.yaml", "run.json"
RUN_FORMAT = 2  # of run.json; a run of another format cannot be resumed


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
    callbacks: Sequence[pl.Callback] = (),
    loggers: Sequence[Logger] = (),
) -> TrainingResult:
    """Train a network by ``recipe`` on the data of ``source``; all files are written to ``folder``.

    With ``recipe.weights``, their preprocessing replaces that of the recipe. ``report`` is called with each data set.
    Raises ``InputError`` for data or folders that cannot be used, ``DivergedError`` if a loss is not finite,
    ``InterruptedRun`` on Ctrl-C or SIGTERM.
    """
    world = find_world()
    if recipe.optimization.sync_batchnorm and not is_on_gpu():
        raise InputError("needs GPUs", "optimization.sync_batchnorm", "leave it out on this machine")
    if recipe.precision == "16-mixed" and not is_on_gpu():
        raise InputError("16-mixed needs a GPU", "precision", "on this CPU use --precision bf16-mixed or 32-true")
    data = source.load(strict=strict)
    if world.is_first:
        for dataset in filter(None, data):
            report(dataset)
    for dataset in filter(None, data):
        dataset.refuse_losses()
    start = open_weights(recipe.weights) if recipe.weights else None
    if start:
        own = recipe.preprocessing
        sizes = {"pad_mask": own.pad_mask, "pad_multiple": own.pad_multiple, "max_size": own.max_size}
        recipe = replace(recipe, preprocessing=replace(start.preprocessing, **sizes))
    if world.is_first:
        if start and "licence" in start.info:
            print(f"weights {recipe.weights}: licence {start.info['licence']}", file=sys.stderr)
        make_folder(folder)
        _clear_false_start(folder)
        if any(folder.iterdir()):
            raise InputError("not empty", folder, f"go on with --resume {folder}, or choose another --out")
        atomic_write(folder / RECIPE_FILE, recipe_yaml(recipe).encode())
        run = {"format": RUN_FORMAT, "name": name, "source": asdict(source), "class_names": data[0].class_names}
        atomic_write_json(folder / RUN_FILE, run | {"images": len(data[0].images), "world": world.size})
    while True:
        try:
            mine = {"callbacks": callbacks, "loggers": loggers}
            return _fit(recipe, *data, folder, name, checkpoint_seconds, state=None, world=world, start=start, **mine)
        except torch.OutOfMemoryError as error:
            recipe = _smaller_batch(recipe, folder, world, error)
        gc.collect()  # frees what the failed training still holds, now that its error is gone
        torch.cuda.empty_cache()


def resume(
    folder: Path,
    data: str | None = None,
    *,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    callbacks: Sequence[pl.Callback] = (),
    loggers: Sequence[Logger] = (),
) -> TrainingResult:
    """Go on exactly from the last checkpoint of the run in ``folder``; ``data`` is the data set's new place."""
    source, name, classes, images, size = _read_run(folder)
    recipe = load_recipe(str(folder / RECIPE_FILE))
    if data:
        source.folder = data
    training, validation = source.load()
    if list(training.class_names) != classes or len(training.images) != images:
        raise InputError(
            f"other classes or images than the run in {folder} began with",
            training.json_path,
            "give the data set that it began with",
        )
    world = find_world()
    if world.size != size:
        raise InputError(f"the run began with {size} processes, not {world.size}", folder, "go on with as many")
    state = folder / STATE_FILE
    mine = {"callbacks": callbacks, "loggers": loggers}
    return _fit(recipe, training, validation, folder, name, checkpoint_seconds, state=state, world=world, **mine)


def read_result(folder: Path) -> TrainingResult:
    """The result of the training in ``folder``, from its files."""
    path = folder / METRICS_FILE
    return TrainingResult(folder, Metrics.from_dict(json.loads(path.read_text())) if path.is_file() else None)


def processes_of(folder: Path) -> int:
    """How many processes the run in ``folder`` began with; ``InputError`` if it cannot be resumed."""
    return _read_run(folder)[-1]


def _read_run(folder: Path) -> tuple[DataSource, str, list[str], int, int]:
    """The data source, name, class names, number of training images and of processes of the run in ``folder``."""
    for file in (RECIPE_FILE, RUN_FILE, STATE_FILE):
        if not (folder / file).is_file():
            raise InputError(f"no {file}", folder, "--resume needs the folder of a run that has saved its state")
    try:
        run = json.loads((folder / RUN_FILE).read_text())
        if run.get("format") != RUN_FORMAT:
            raise InputError(
                "another version of cornernet began this run", folder, "go on with that version, or start the run anew"
            )
        source, name = DataSource(**run["source"]), str(run["name"])
        return source, name, list(run["class_names"]), int(run["images"]), int(run["world"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"damaged ({error!r})", folder / RUN_FILE, "start the run anew") from None


def _fit(
    recipe: Recipe,
    training: CocoDataset,
    validation: CocoDataset | None,
    folder: Path,
    name: str,
    checkpoint_seconds: float,
    state: Path | None,
    world: World,
    start: Weights | None = None,
    callbacks: Sequence[pl.Callback] = (),
    loggers: Sequence[Logger] = (),
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
    log = RunLog(folder, writes=world.is_first)
    template = Weights(
        {}, recipe.model, training.class_names, recipe.preprocessing, recipe.decoding, info={"recipe": name}
    )
    results = EpochResults(folder, log, template, validation, ema)
    keeper = Keeper(folder, results, checkpoint_seconds)
    own = [*([ema] if ema else []), log, keeper]  # averaged before it is logged, logged before it is saved
    with _quiet_lightning():
        trainer = _lightning_trainer(recipe, world, [*callbacks, *own], loggers)
        try:
            trainer.fit(module, loader, ckpt_path=str(state) if state else None, weights_only=True)
            keeper.finish(trainer, module)
        finally:
            loader.close()
    return TrainingResult(folder, results.metrics)


def _lightning_trainer(
    recipe: Recipe, world: World, callbacks: Sequence[pl.Callback], loggers: Sequence[Logger]
) -> pl.Trainer:
    """Lightning's trainer by the recipe, on all devices of the world."""
    device = find_device()
    if device.type not in AcceleratorRegistry.available_accelerators():
        raise InputError("Lightning cannot train there", f"--device {device}", "choose cpu, cuda or mps")
    shows_bar = world.is_first and sys.stdout.isatty()
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
        logger=list(loggers) or False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=shows_bar,
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
    if {path.name for path in folder.iterdir()} <= {RECIPE_FILE, RUN_FILE, LOG_FILE, OPENMMLAB_LOG_FILE, BOARD_FOLDER}:
        shutil.rmtree(folder / BOARD_FOLDER, ignore_errors=True)
        for path in folder.iterdir():
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
