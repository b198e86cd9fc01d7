"""One process of several, for the tests: a training, then gradients of one step; every rank writes what it has."""

import os
import sys
from pathlib import Path

import torch
from torch.nn.parallel import DistributedDataParallel

from cornernet.config import Architecture, HourglassConfig, LossSettings
from cornernet.model.cornernet import CornerNet
from cornernet.model.criterion import batch_losses
from cornernet.training.distributed import find_world

SMALL = Architecture(
    HourglassConfig(num_stacks=2, channels=(4, 4, 6), blocks=(1, 1, 1), feature_channels=4),
    corner_channels=4,
    branch_channels=4,
)
CLASSES, IMAGES, SIZE = 3, 2, 32
OBJECTS = (5, 0, 1, 3, 2, 2, 4, 1)  # of the images of all ranks in turn: uneven, and one without


def network() -> CornerNet:
    """Drawn weights in float64; batch normalisation frozen, its averages away from 0 and 1."""
    torch.manual_seed(0)
    model = CornerNet(SMALL, CLASSES).double()
    for buffer in model.buffers():
        if buffer.is_floating_point():
            buffer.copy_(0.5 + torch.rand_like(buffer))
    return model.eval()


def batch(first: int, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images ``first`` to ``first + count`` with their boxes and labels."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(len(OBJECTS), 3, SIZE, SIZE, generator=generator, dtype=torch.float64)
    boxes = torch.rand(len(OBJECTS), max(OBJECTS), 4, generator=generator) * SIZE / 2
    boxes[..., 2:] += boxes[..., :2] + 2
    labels = torch.randint(CLASSES, (len(OBJECTS), max(OBJECTS)), generator=generator)
    for row, objects in zip(labels, OBJECTS, strict=True):
        row[objects:] = -1
    part = slice(first, first + count)
    return images[part], boxes[part], labels[part]


class Losses(torch.nn.Module):
    """The sum of the losses, as a forward pass that gradients can be averaged behind."""

    def __init__(self, normalize: str) -> None:
        super().__init__()
        self.model, self.settings = network(), LossSettings(pull=0.3, push=0.7, normalize=normalize)

    def forward(self, *parts: torch.Tensor) -> torch.Tensor:
        return torch.stack(list(batch_losses(self.model, *parts, self.settings).values())).sum()


def gradients(out: Path) -> None:
    """Every rank's gradients, after they were averaged, for both ways of weighting; the training has connected them."""
    world, found = find_world(), {}
    for normalize in ("device", "world"):
        losses = DistributedDataParallel(Losses(normalize))
        losses(*batch(world.rank * IMAGES, IMAGES)).backward()
        found[normalize] = {name: p.grad for name, p in losses.module.model.named_parameters()}
    torch.save(found, out / f"gradients_{world.rank}.pt")
    torch.distributed.barrier()


def training(out: Path, recipe: str, data: str) -> None:
    """A training in ``out / "run"``; afterwards every rank writes its weights."""
    from cornernet.data.source import DataSource
    from cornernet.recipes.load import load_recipe
    from cornernet.training import trainer

    class Keeper(trainer.Keeper):
        def finish(self, trainer, module):
            super().finish(trainer, module)
            torch.save(module.model.state_dict(), out / f"state_{trainer.global_rank}.pt")

    trainer.Keeper = Keeper
    trainer.train(load_recipe(recipe), DataSource(data), out / "run")


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    sys.stderr = open(folder / f"errors_{os.environ.get('RANK', '')}.txt", "w")  # noqa: SIM115
    training(folder, *sys.argv[2:])
    gradients(folder)
