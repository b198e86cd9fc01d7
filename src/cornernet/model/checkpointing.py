"""Training in less memory or less time, at equal values: recomputing activations, compiling parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from cornernet.model.cornernet import CornerNet


def checkpoint_activations(model: CornerNet) -> None:
    """Make training keep only the inputs of ``CornerNet.recomputed_parts``, and compute their activations again.

    This costs another forward pass. Weights, gradients and batch statistics do not change.
    """
    for part in model.recomputed_parts():
        part.forward = partial(_recomputed, part, part.forward)


def _recomputed(module: nn.Module, forward: Callable[..., Any], *inputs: Any) -> Any:
    if not (module.training and torch.is_grad_enabled()):
        return forward(*inputs)
    return checkpoint(
        forward,
        *inputs,
        use_reentrant=False,
        preserve_rng_state=False,  # nothing in the network is random
        context_fn=lambda: (nullcontext(), _statistics_kept(module)),
    )


@contextmanager
def _statistics_kept(module: nn.Module) -> Iterator[None]:
    """For the block, running statistics of batch normalisation do not change."""
    layers = [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]
    kept = [(layer.momentum, layer.num_batches_tracked) for layer in layers]
    for layer in layers:
        layer.momentum, layer.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for layer, (momentum, count) in zip(layers, kept, strict=True):
            layer.momentum, layer.num_batches_tracked = momentum, count


def compile_parts(model: CornerNet, **options: Any) -> None:
    """Compile the dense parts with ``torch.compile`` and its ``options`` when they first run.

    The branches that are read only at some cells and the losses are not compiled: they are small and change size.
    """
    model.backbone.compile(**options)
    for head in model.heads:
        for part in (head.tl, head.br, head.tl_heatmap, head.br_heatmap):
            part.compile(**options)
