"""Start from other weights: copy the tensors that fit, and report the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from cornernet.config import BackboneConfig
from cornernet.errors import InputError
from cornernet.model.backbones.base import Backbone
from cornernet.model.cornernet import CornerNet
from cornernet.weights.store import Weights

_PARTS = "weight", "bias"


def trunk_tensors(config: BackboneConfig, published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a published classifier under the names that a network with this backbone has for them."""
    with torch.device("meta"):
        backbone: Backbone = config.make()
    return {f"backbone.{key}": value for key, value in backbone.renamed(published).items()}


@torch.no_grad()
def transfer(model: CornerNet, class_names: Sequence[str], source: Weights, is_frozen: bool = False) -> list[str]:
    """Copy into ``model``, a network for ``class_names``, every tensor of ``source`` that fits.

    The heatmaps' last layers are copied class by class, by name. New classes begin with weights of 0, so a probability
    of 0.1 everywhere: random weights on trained features give wrong heatmaps with high scores.
    Returns a line for tensors and one for classes that were not copied. Raises ``InputError`` if nothing fits, or,
    with ``is_frozen``, if a tensor of the backbone's pretrained part does not: it would stay random.
    """
    own = model.state_dict()
    class_layers = {layer for head in model.heads for layer in head.class_layers()}
    by_class = {f"{name}.{part}" for name, layer in model.named_modules() if layer in class_layers for part in _PARTS}
    rows = [(new, source.class_names.index(name)) for new, name in enumerate(class_names) if name in source.class_names]
    taken, left = 0, []
    for key, value in own.items():
        other = source.state.get(key)
        if other is not None and key in by_class and other.shape[1:] == value.shape[1:]:
            if value.ndim > 1:  # weights; biases keep their initial value
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
        fix = "choose the recipe that the weights were trained with"
        raise InputError("none of its tensors fits this network", fix=fix)
    frozen = model.backbone.pretrained()
    part = next(name for name, module in model.named_modules() if module is frozen)
    random = [key for key in left if is_frozen and key.startswith(f"{part}.")]
    if random:
        what = f"{len(random)} tensors of the {part} to freeze are not in it, {random[0]} first"
        raise InputError(what, fix="choose freeze none, or weights of the same backbone")
    notes = []
    if left:
        others = f"{left[0]} and {len(left) - 1} more; {len(source.state.keys() - own.keys())} left over"
        notes.append(f"{taken} of {len(own)} tensors taken; not {others}")
    new = [name for name in class_names if name not in source.class_names]
    if new:
        notes.append(f"{len(rows)} of {len(class_names)} classes known by name; new: {', '.join(new[:5])}")
    return notes
