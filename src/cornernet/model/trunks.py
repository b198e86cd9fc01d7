"""Trunks of the package transformers, built from plain configurations: of its own classes only, and without a hub."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from cornernet.errors import InputError

_SIDE = 224  # pixels: every trunk takes images of this size
_LARGEST_MULTIPLE = 128  # pixels that inputs may be padded to multiples of
_FINEST = 4  # stride that maps are enlarged to
_MAPS = 4  # of a trunk whose maps have all one stride

T = TypeVar("T")


class TrunkMaps(NamedTuple):
    """What ``measure_trunk`` finds: stride and channels of each map, the parameters that no map depends on, and the
    largest inputs and outputs of one layer, in bytes for each pixel of an image."""

    strides: tuple[int, ...]
    channels: tuple[int, ...]
    unused: tuple[str, ...]
    bytes_per_pixel: float


def import_transformers() -> ModuleType:
    """The package; ``InputError`` if it is not installed."""
    try:
        import transformers
    except ImportError as error:
        what = f"its trunk needs the package transformers ({one_line(error)})"
        raise InputError(what, "backbone huggingface", "pip install 'cornernet[backbones]'") from None
    return transformers


def one_line(error: Exception) -> str:
    """The message of an error of another package."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def backbone_class(model_type: object) -> Any:
    """The backbone of transformers for a type of model; ``InputError`` if it has none."""
    transformers = import_transformers()
    from transformers.models.auto.modeling_auto import MODEL_FOR_BACKBONE_MAPPING_NAMES as known

    names = {key: name for key, name in known.items() if key != "timm_backbone"}  # needs timm and torchvision
    if not isinstance(model_type, str) or model_type not in names:
        fix = f"choose a model of the type {', '.join(names)}"
        raise InputError(f"transformers has no backbone for models of the type {model_type!r}", fix=fix)
    return getattr(transformers, names[model_type])


def plain_trunk(config: Any) -> dict[str, Any]:
    """``model_type`` and the fields that are the type's own, of a transformers configuration.

    Defaults too: they may be others in another version. Not the fields of every configuration: among them are those
    that let transformers fetch code.
    """
    own, values = _own_fields(type(config)), config.to_dict()
    plain = {"model_type": config.model_type} | {name: values[name] for name in values if name in own}
    return json.loads(json.dumps(plain))


def build_trunk(plain: Mapping[str, Any]) -> Any:
    """The network, with random weights; ``InputError`` for a configuration that transformers cannot build."""
    cls = backbone_class(plain.get("model_type"))
    return _tried(plain, lambda: cls(trunk_config(plain)))


def trunk_config(plain: Mapping[str, Any]) -> Any:
    """The transformers configuration; ``InputError`` for a field that is none of the type's own, and its own errors."""
    cls = backbone_class(plain.get("model_type")).config_class
    values = {name: value for name, value in plain.items() if name != "model_type"}
    if unknown := sorted(values.keys() - _own_fields(cls) - {"out_features"}):
        raise InputError(f"{unknown[0]} is no field of a {plain['model_type']} trunk", fix="leave it out")
    return _tried(plain, lambda: cls(**values))


def choose_maps(plain: Mapping[str, Any], finest: int) -> tuple[dict[str, Any], tuple[int, ...]]:
    """The configuration with the ``out_features`` to use, and their strides.

    They are the last map of each stride from ``finest``. A trunk with one stride, a plain vision transformer, gives
    four maps evenly spaced over its depth.
    """
    config = trunk_config(plain)
    names: list[str] = [name for name in config.stage_names if name != "stem"]
    found = measure_trunk(json.dumps({**plain, "out_features": names})).strides
    last = {stride: name for stride, name in zip(found, names, strict=True) if stride >= finest}
    if len(last) < 2:
        count = min(_MAPS, len(names))
        chosen = [names[len(names) * (i + 1) // count - 1] for i in range(count)]
        return {**plain, "out_features": chosen}, found[-1:] * count
    return {**plain, "out_features": [*last.values()]}, (*last,)


@functools.lru_cache(maxsize=32)
def measure_trunk(plain: str) -> TrunkMaps:
    """Build the trunk of a configuration in JSON on the meta device, run it there, and see what it gives.

    Raises ``InputError`` for a trunk that is no pyramid of maps: for images of its own size only, or without whole
    strides that are equal down and across.
    """
    values = json.loads(plain)
    with torch.device("meta"), torch.inference_mode(False), torch.enable_grad():
        trunk = build_trunk(values).train()
        parameters = [*trunk.parameters()]
        strides = _strides(values, _maps(values, trunk, _SIDE, _SIDE))
        multiple = math.lcm(_FINEST, *strides)
        if multiple > _LARGEST_MULTIPLE:
            what = f"its maps have strides {' '.join(map(str, strides))}: images would be padded to multiples of"
            raise InputError(f"{what} {multiple} pixels", _name(values), "choose a trunk with another patch size")
        largest = [0]
        for layer in trunk.modules():
            if not [*layer.children()]:
                layer.register_forward_hook(lambda _, given, made: largest.append(_elements(given) + _elements(made)))
        height, width = 2 * multiple, 3 * multiple
        maps = _maps(values, trunk, height, width)
        if any((m.shape[2] * s, m.shape[3] * s) != (height, width) for m, s in zip(maps, strides, strict=True)):
            raise _no_stride(values, maps, height, width)
        sum(m.sum() for m in maps).backward()  # type: ignore[union-attr]
        names = [name for name, _ in trunk.named_parameters()]
        unused = tuple(name for name, p in zip(names, parameters, strict=True) if p.grad is None)
    return TrunkMaps(strides, tuple(m.shape[1] for m in maps), unused, 4 * max(largest) / (height * width))


def _strides(plain: Mapping[str, Any], maps: Sequence[Tensor]) -> tuple[int, ...]:
    """Pixels for each cell; a patch that is cut off at the edge is none."""
    if any(m.ndim != 4 or m.shape[2] != m.shape[3] for m in maps):
        raise _no_stride(plain, maps, _SIDE, _SIDE)
    return tuple(_SIDE // m.shape[3] for m in maps)


def _no_stride(plain: Mapping[str, Any], maps: Sequence[Tensor], height: int, width: int) -> InputError:
    shapes = ", ".join("x".join(map(str, m.shape[2:])) for m in maps)
    what = f"its maps have no whole stride, equal down and across: {height}x{width} pixels become {shapes} cells"
    return InputError(what, _name(plain), "choose another trunk")


def _maps(plain: Mapping[str, Any], trunk: nn.Module, height: int, width: int) -> Sequence[Tensor]:
    maps = _tried(plain, lambda: trunk(torch.empty(1, 3, height, width)).feature_maps, f" {height}x{width} pixels")
    if not maps:
        raise InputError("it gives no feature maps", _name(plain), "choose another trunk")
    return maps


def _tried(plain: Mapping[str, Any], function: Callable[[], T], of: str = "") -> T:
    """What the function gives; what transformers raises, whose configurations have many ways to be wrong, in a line."""
    try:
        return function()
    except InputError:
        raise
    except Exception as error:
        what = f"transformers cannot {'take' if of else 'build'}{of or ' it'} ({one_line(error)})"
        raise InputError(what, _name(plain), "choose another trunk") from None


def _own_fields(cls: Any) -> set[str]:
    """The fields of a configuration that not all types have, without configurations inside it."""
    every = {field.name for field in fields(import_transformers().PretrainedConfig)}
    own = {field.name for field in fields(cls) if not field.name.startswith("_")}
    return own - every - {*getattr(cls, "sub_configs", ())}


def _name(plain: Mapping[str, Any]) -> str:
    return f"trunk {plain.get('model_type')}"


def _elements(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.numel()
    return sum(map(_elements, value)) if isinstance(value, (tuple, list)) else 0
