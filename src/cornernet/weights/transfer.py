"""Starting from other weights: what fits is taken, what does not is said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch

from cornernet.errors import InputError
from cornernet.model.cornernet import CornerNet
from cornernet.model.head import CornerHead
from cornernet.weights.store import Weights

_PARTS = "weight", "bias"


@torch.no_grad()
def transfer(model: CornerNet, class_names: Sequence[str], source: Weights) -> list[str]:
    """Copy into ``model``, a network for ``class_names``, every tensor of ``source`` that fits.

    The heatmaps' last layers go class by class: those of the same name keep what they know; the others begin with
    weights of 0, a probability of 0.1 everywhere: random ones, on features already learnt, are wrong and sure of it.
    Returns one line for each thing that was not taken. Raises ``InputError`` where nothing fits.
    """
    own = model.state_dict()
    class_layers = {layer for head in model.heads for layer in cast(CornerHead, head).class_layers()}
    by_class = {f"{name}.{part}" for name, layer in model.named_modules() if layer in class_layers for part in _PARTS}
    rows = [(new, source.class_names.index(name)) for new, name in enumerate(class_names) if name in source.class_names]
    taken, left = 0, []
    for key, value in own.items():
        other = source.state.get(key)
        if other is not None and key in by_class and other.shape[1:] == value.shape[1:]:
            if value.ndim > 1:  # weights; biases begin as they are
                value.zero_()
            for new, old in rows:
                value[new] = other[old]
            taken += bool(rows)
        elif other is not None and other.shape == value.shape:
            value.copy_(other)
            taken += 1
        else:
            left.append(key)
    if not taken:
        raise InputError(
            "none of its tensors fits this network", fix="choose the recipe that the weights were trained with"
        )
    notes = []
    if left:
        surplus = len(source.state.keys() - own.keys())
        notes.append(
            f"{taken} of {len(own)} tensors taken; not {left[0]} and {len(left) - 1} more; {surplus} left over"
        )
    new = [name for name in class_names if name not in source.class_names]
    if new:
        notes.append(f"{len(rows)} of {len(class_names)} classes known by name; new: {', '.join(new[:5])}")
    return notes
