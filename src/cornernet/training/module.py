"""The training as Lightning sees it: a step, its checks, the optimiser."""

from __future__ import annotations

import math
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from cornernet.config import Optimization, Recipe
from cornernet.data.loading import Batch
from cornernet.errors import DivergedError
from cornernet.inference.preprocess import normalize
from cornernet.model.checkpointing import checkpoint_activations, compile_parts
from cornernet.model.cornernet import CornerNet, channels_last, freeze
from cornernet.model.criterion import batch_losses
from cornernet.training.muon import Muon, hidden_convolutions
from cornernet.waiting import adapt_waiting


def training_network(recipe: Recipe, num_classes: int, device: torch.device | str = "cpu") -> CornerNet:
    """The recipe's network with random weights, ready for training: memory layout, recomputation, compilation."""
    adapt_waiting()
    model = channels_last(CornerNet(recipe.model, num_classes).to(device))
    if recipe.activation_checkpointing:
        checkpoint_activations(model)
    if recipe.compile:
        compile_parts(model)
    return model


def rate_factor(step: int, settings: Optimization, steps_per_epoch: int, epochs: int) -> float:
    """The factor of the learning rate at a step: warm-up, then steps down or a cosine."""
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
        self.unchecked: list[tuple[str, Tensor, int, list[str]]] = []
        self.names: list[str] = []  # of the current batch
        self.grad_norm = torch.zeros(())
        self.train()

    def train(self, mode: bool = True) -> TrainingModule:
        """Training mode; frozen batch statistics stay as they are."""
        super().train(mode)
        freeze(self.model, self.recipe.freeze)
        return self

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Normalise pixels on the device: uint8 is copied there faster."""
        return batch._replace(images=normalize(batch.images, self.recipe.preprocessing))

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Losses of one batch; Lightning minimises ``loss``."""
        losses = batch_losses(
            self.model, batch.images, batch.boxes, batch.labels, self.recipe.loss, batch.occupied_maps
        )
        loss = torch.stack(list(losses.values())).sum()
        self.names = batch.names
        self._watch("the loss", loss)
        parts = {name: value.detach() for name, value in losses.items()}
        self.log_dict({"loss": loss.detach(), **parts}, prog_bar=True, logger=False)
        return {"loss": loss, **parts}

    def _watch(self, what: str, value: Tensor) -> None:
        self.unchecked.append((what, value.detach(), self.global_step, self.names))
        if self.device.type == "cpu" or len(self.unchecked) >= 32:  # reading a GPU's memory stalls it
            self.check_losses()

    def check_losses(self) -> None:
        """Raise ``DivergedError`` naming the images of the first unchecked batch with a value that is not finite."""
        pending, self.unchecked = self.unchecked, []
        if not pending:
            return
        finite = torch.isfinite(torch.stack([value for _, value, _, _ in pending])).tolist()
        for (what, value, step, names), good in zip(pending, finite, strict=True):
            if not good:
                raise DivergedError(
                    f"step {step}: {what} became {value.item()} on the batch of {', '.join(names)}; check these"
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
        """By norm; Lightning's own refuses fused optimisers. A step whose gradient is not finite changes no weight.

        The fused optimiser decides that on the device, without synchronisation. ``check_losses`` reports it later.
        """
        self.grad_norm = torch.nn.utils.clip_grad_norm_(self.parameters(), self.recipe.optimization.gradient_clip)
        if optimizer.defaults.get("fused"):
            optimizer.found_inf = (~torch.isfinite(self.grad_norm)).float()
            self._watch("the gradient's norm", self.grad_norm)

    def configure_optimizers(self) -> Any:
        """The recipe's optimiser at its rate, scaled linearly to the batch in use."""
        settings = self.recipe.optimization
        batch = self.recipe.batch_size * self.recipe.accumulate * self.world
        rate = settings.lr * batch / settings.base_batch_size
        # a fused optimiser would unscale float16's gradients itself, after clipping
        fused = self.recipe.precision != "16-mixed"
        groups = self._groups(rate)
        make = Muon if settings.optimizer == "muon" else torch.optim.Adam
        optimizer = make(groups, rate, fused=fused)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: rate_factor(step, settings, self.steps_per_epoch, self.recipe.epochs)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _groups(self, rate: float) -> list[dict[str, Any]]:
        """The weights that learn, in groups by their rate, and by how Muon treats them.

        The backbone's pretrained part has groups of its own, the last ones, only if its rate differs. With frozen
        batch statistics Adam moves it: that takes a tenth of Muon's time there, and learns as much.
        """
        settings = self.recipe.optimization
        matrices = hidden_convolutions(self.model) if settings.optimizer == "muon" else set()
        pretrained = set(self.model.backbone.pretrained().parameters())
        backbone = pretrained if settings.backbone_lr != 1 else set()
        if self.recipe.freeze != "none":
            matrices -= pretrained
        groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
        for weight in self.model.parameters():
            if weight.requires_grad:
                groups.setdefault((weight in backbone, weight not in matrices), []).append(weight)
        return [
            {"params": groups[key], "lr": rate * (settings.backbone_lr if key[0] else 1), "matrices": not key[1]}
            for key in sorted(groups)
        ]
