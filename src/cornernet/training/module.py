"""The training step: images to losses, and how the weights move."""

from __future__ import annotations

import math
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from cornernet.corners.losses import Counts, corner_losses, count_targets
from cornernet.corners.targets import Planes, Targets, make_targets
from cornernet.data.loading import Batch
from cornernet.data.pad import normalize
from cornernet.errors import DivergedError
from cornernet.network.cornernet import CornerNet
from cornernet.recipe import Optimization, Recipe
from cornernet.structures import LossSettings

LOSSES = ("heatmap", "offset", "pull", "push")


def batch_losses(
    model: CornerNet,
    images: Tensor,
    boxes: Tensor,
    labels: Tensor,
    weights: LossSettings = LossSettings(),
    planes: Planes | None = None,
) -> dict[str, Tensor]:
    """The four weighted losses, summed over all stacks, of normalised images (B, 3, S, S) and their objects.

    Offsets and embeddings are computed at the objects' corners alone, the only places where the losses read them. With
    ``normalize`` ``"world"`` the mean of all devices' losses is the loss of all their images in one batch. ``planes``
    of these labels, on the same device, save a GPU from waiting.
    """
    outputs = model(images)
    (height, width), (rows, columns) = images.shape[-2:], outputs[0].tl_heatmap.shape[-2:]
    targets = make_targets(boxes, labels, (height, width), (rows, columns), weights.penalty_reduction, planes)
    counts = _world_counts(targets) if weights.normalize == "world" else None
    total: dict[str, Tensor] = {}
    for output in outputs:
        values = output.head.values_at(output.features, targets.tl_cells, targets.br_cells)
        losses = corner_losses(
            output.tl_heatmap,
            output.br_heatmap,
            values.tl_offsets,
            values.br_offsets,
            values.tl_embeddings,
            values.br_embeddings,
            targets,
            weights,
            counts,
        )
        total = {name: total.get(name, 0) + value for name, value in losses.items()}
    return total


def _world_counts(targets: Targets) -> Counts:
    """The counts of all devices' batches together, per device: gradients are averaged over devices afterwards."""
    counts, world = torch.stack(count_targets(targets)), 1
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(counts)
        world = torch.distributed.get_world_size()
    return Counts(*(counts.clamp_min(1) / world))


def rate_factor(step: int, settings: Optimization, steps_per_epoch: int, epochs: int) -> float:
    """What the learning rate is multiplied with at a step: warm-up, then steps down or a cosine."""
    warmup = settings.warmup_iterations
    rise = settings.warmup_factor + (1 - settings.warmup_factor) * min(1.0, step / warmup) if warmup else 1.0
    if settings.schedule == "cosine":
        progress = min(1.0, step / max(1, steps_per_epoch * epochs))
        return rise * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)
    return rise * 0.1 ** sum(step >= epoch * steps_per_epoch for epoch in settings.milestones)


class TrainingModule(pl.LightningModule):
    """Lightning's view of the training: loss of a batch, optimiser, rate."""

    def __init__(self, model: CornerNet, recipe: Recipe, steps_per_epoch: int, world: int = 1) -> None:
        super().__init__()
        self.model, self.recipe, self.world = model, recipe, world
        self.steps_per_epoch = math.ceil(steps_per_epoch / recipe.accumulate)
        self.unchecked: list[tuple[Tensor, int, list[str]]] = []
        self.grad_norm = torch.zeros(())
        if recipe.freeze == "backbone":
            model.backbone.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> TrainingModule:
        """Training mode; a frozen backbone's batch statistics stay as they are."""
        super().train(mode)
        if self.recipe.freeze == "backbone":
            self.model.backbone.eval()
        return self

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Pixels are normalised on the device: bytes travel."""
        return batch._replace(images=normalize(batch.images, self.recipe.preprocessing))

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Losses of one batch; Lightning minimises ``loss``."""
        losses = batch_losses(self.model, batch.images, batch.boxes, batch.labels, self.recipe.loss, batch.planes)
        loss = torch.stack(list(losses.values())).sum()
        self.unchecked.append((loss.detach(), self.global_step, batch.names))
        if self.device.type == "cpu" or len(self.unchecked) >= 16:  # reading a GPU's memory stalls it
            self.check_losses()
        parts = {name: value.detach() for name, value in losses.items()}
        self.log_dict({"loss": loss.detach(), **parts}, prog_bar=True, logger=False)
        return {"loss": loss, **parts}

    def check_losses(self) -> None:
        """Raise ``DivergedError`` naming the images of the first unchecked batch whose loss is not finite."""
        pending, self.unchecked = self.unchecked, []
        if not pending:
            return
        finite = torch.isfinite(torch.stack([loss for loss, _, _ in pending])).tolist()
        for (loss, step, names), good in zip(pending, finite, strict=True):
            if not good:
                raise DivergedError(
                    f"step {step}: the loss became {loss.item()} on the batch of {', '.join(names)}; look at these"
                    " images and their boxes, or lower the rate (--optimization.lr); the last state is as it was"
                )

    def check_weights(self) -> None:
        """Raise ``DivergedError`` where a weight is no longer finite; called before anything is saved."""
        self.check_losses()
        bad = [name for name, value in self.model.named_parameters() if not bool(torch.isfinite(value).all())]
        if bad:
            raise DivergedError(
                f"step {self.global_step}: {len(bad)} weights are no longer finite ({bad[0]} is the first); lower the"
                " rate (--optimization.lr); the last state is as it was"
            )

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """By norm; Lightning's own refuses fused optimisers. A step whose gradient is not finite moves nothing.

        That is decided on the device, by the fused optimiser: nobody waits for it. ``check_losses`` tells of it later.
        """
        self.grad_norm = torch.nn.utils.clip_grad_norm_(self.parameters(), self.recipe.optimization.gradient_clip)
        if optimizer.defaults.get("fused"):
            optimizer.found_inf = (~torch.isfinite(self.grad_norm)).float()

    def configure_optimizers(self) -> Any:
        """Adam at the recipe's rate, scaled linearly to the batch in use."""
        settings = self.recipe.optimization
        batch = self.recipe.batch_size * self.recipe.accumulate * self.world
        rate = settings.lr * batch / settings.base_batch_size
        # a fused optimiser would unscale float16's gradients itself, after clipping
        fused = self.recipe.precision != "16-mixed"
        learning = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.Adam(learning, rate, fused=fused)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: rate_factor(step, settings, self.steps_per_epoch, self.recipe.epochs)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
