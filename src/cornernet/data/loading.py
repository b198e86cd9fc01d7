"""Training batches: (seed, epoch, index) decide every sample, so that a training can be repeated and resumed.

An image that an epoch has several times has a number for each further copy behind its index.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from cornernet.config import Recipe
from cornernet.data.augment import augment
from cornernet.data.dataset import CocoDataset
from cornernet.data.mixing import LabelledImage, mosaic, paste_boxes
from cornernet.data.sampling import epoch_length, repeat_factors, repeated_order
from cornernet.devices import is_on_gpu
from cornernet.errors import InputError
from cornernet.hardware import usable_cores
from cornernet.media.scaling import shrink
from cornernet.model.targets import OccupiedMaps, find_occupied_maps

_GRACE = 300  # seconds that a worker goes on after SIGTERM: time to save the training's state


class Batch(NamedTuple):
    """``images`` uint8 (B, 3, S, S) RGB, channels-last; ``boxes`` (B, N, 4) in pixels of the crop; ``labels`` (B, N),
    -1 after an image's last box; ``occupied_maps`` the heatmaps that have an object; ``names`` the images' file names.
    """

    images: Tensor
    boxes: Tensor
    labels: Tensor
    occupied_maps: OccupiedMaps
    names: list[str]


class TrainingImages(Dataset[Any]):
    """Augmented samples; the key is (epoch, index), or (epoch, index, copy). Crowd boxes are left out.

    The sample of an image that cannot be used is its ``InputError``, which workers can send to the training process.
    """

    def __init__(self, dataset: CocoDataset, recipe: Recipe) -> None:
        self.images, self.recipe = dataset.images, recipe
        self.fill = recipe.preprocessing.fill_rgb
        # glibc keeps freed memory only up to the largest size that was freed before. Without this line it requests each
        # image's memory from the system again, page by page. Workers inherit this size.
        np.empty(31 * 2**20, np.uint8)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray, str] | InputError:
        epoch, index, *copy = key
        settings = self.recipe.augmentation
        rng = np.random.Generator(np.random.PCG64([self.recipe.seed, epoch, index, *copy]))
        indices = [index]
        try:
            image = self._read(index)
            if settings.copy_paste and rng.random() < settings.copy_paste:
                image = paste_boxes(image, self._read(int(rng.integers(len(self)))), rng)
            if settings.mosaic and rng.random() < settings.mosaic:
                indices += (int(other) for other in rng.integers(len(self), size=3))
                parts = [image, *map(self._read, indices[1:])]
                sample = mosaic(parts, settings, self.fill, rng)
            else:
                sample = augment(*image, settings, self.fill, rng)
        except InputError as error:
            return error
        return *sample, " + ".join(self.images[each].file_name for each in indices)

    def _read(self, index: int) -> LabelledImage:
        record = self.images[index]
        image, scale = shrink(record.read(), self.recipe.preprocessing.max_size)
        keep = ~record.crowd
        return LabelledImage(image, record.boxes[keep] * np.float32(scale), record.labels[keep])


def collate(samples: list[Any]) -> Batch | InputError:
    """A batch of samples of one size, or the first error among the samples."""
    for sample in samples:
        if isinstance(sample, InputError):
            return sample
    images, boxes, labels, names = zip(*samples, strict=True)
    most = max(1, max(len(b) for b in boxes))
    all_boxes = torch.zeros(len(boxes), most, 4)
    all_labels = torch.full((len(boxes), most), -1)
    for i, (b, label) in enumerate(zip(boxes, labels, strict=True)):
        all_boxes[i, : len(b)] = torch.from_numpy(b)
        all_labels[i, : len(b)] = torch.from_numpy(label)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)  # channels-last without a copy
    return Batch(pixels, all_boxes, all_labels, find_occupied_maps(all_labels), list(names))


class EpochSampler(Sampler[list[tuple[int, ...]]]):
    """Batches of (epoch, index) in a random order by (seed, epoch); an incomplete last batch is left out.

    With ``factors``, how often each image is seen, further copies of an image are (epoch, index, 1) and so on.

    After resuming, the first ``start`` batches of the current epoch are skipped. Each of ``world`` processes takes
    every ``world``-th image, from image ``rank`` on.
    """

    def __init__(
        self,
        images: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        factors: np.ndarray | None = None,
    ) -> None:
        if factors is not None:
            images = epoch_length(factors)
        self.images, self.seed, self.rank, self.world, self.factors = images, seed, rank, world, factors
        self.batch_size = min(batch_size, max(1, images // world))
        self.epoch = self.start = 0

    def set_epoch(self, epoch: int) -> None:
        """Called at the start of every epoch."""
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0

    def __len__(self) -> int:
        return self.images // self.world // self.batch_size

    def __iter__(self) -> Iterator[list[tuple[int, ...]]]:
        mine = self._keys()[self.rank :: self.world]
        for batch in range(self.start, len(self)):
            yield mine[batch * self.batch_size : (batch + 1) * self.batch_size]

    def _keys(self) -> list[tuple[int, ...]]:
        """Those of the epoch, for all processes."""
        rng = np.random.Generator(np.random.PCG64([self.seed, self.epoch]))
        if self.factors is None:
            return [(self.epoch, int(index)) for index in rng.permutation(self.images)]
        copies: Counter[int] = Counter()
        keys: list[tuple[int, ...]] = []
        for index in repeated_order(self.factors, rng).tolist():
            keys.append((self.epoch, index, copies[index]) if copies[index] else (self.epoch, index))
            copies[index] += 1
        return keys


class TrainingLoader:
    """Batches of an epoch; its position, exact to the batch, can be saved and restored.

    ``recipe.workers`` processes prepare them, at most one per core. Iterating raises ``InputError`` if an image of the
    batch cannot be used.
    """

    def __init__(self, dataset: CocoDataset, recipe: Recipe, rank: int = 0, world: int = 1) -> None:
        self.progress = {"epoch": 0, "batches": 0}
        threshold, classes = recipe.repeat_threshold, len(dataset.class_names)
        factors = repeat_factors(dataset.images, classes, threshold) if threshold else None
        self.sampler = EpochSampler(len(dataset.images), recipe.batch_size, recipe.seed, rank, world, factors)
        workers = min(recipe.workers, max(1, int(usable_cores())))  # more would slow each other down
        self._loader = DataLoader(
            TrainingImages(dataset, recipe),
            batch_sampler=self.sampler,
            num_workers=workers,
            collate_fn=collate,
            worker_init_fn=_start_worker,
            persistent_workers=workers > 0,
            pin_memory=is_on_gpu(),
        )

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._loader:
            if isinstance(batch, InputError):
                # A copy: an error that is a local variable of its own traceback is a reference cycle, and workers that
                # are freed with a cycle take five seconds to stop.
                raise batch.at(batch.where) from batch
            yield batch

    def close(self) -> None:
        """End the worker processes."""
        iterator: Any = self._loader._iterator  # PyTorch has no public way
        if iterator is not None:
            iterator._shutdown_workers()
            for worker in iterator._workers:
                worker.kill()  # SIGTERM does not end a worker at once

    def state_dict(self) -> dict[str, int]:
        """The epoch and the number of its batches that are done; the training loop sets ``progress``."""
        return dict(self.progress)

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue after ``state``; if its epoch is complete, with the next epoch."""
        is_complete = state["batches"] >= len(self.sampler)
        self.sampler.epoch = state["epoch"] + is_complete
        self.sampler.start = 0 if is_complete else state["batches"]
        self.progress = dict(state)


def _start_worker(_: int) -> None:
    cv2.setNumThreads(0)  # one thread per worker; the loader does the same for torch
    # Both signals may reach all processes: the training process decides when to stop, and ends its workers (`close`).
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_GRACE))
