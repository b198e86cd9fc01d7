"""Our weights files: safetensors with everything that is needed to use them in the header."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cornernet.config import Architecture, Decoding, Preprocessing
from cornernet.errors import InputError
from cornernet.files import atomic_write
from cornernet.model.cornernet import CornerNet
from cornernet.typed import build, plain

HEADER, VERSION = "cornernet", 2


@dataclass
class Weights:
    """A trained network and all its settings; ``state`` are float32 tensors by ``CornerNet``'s keys.

    ``threshold`` is the lowest score of a detection that is shown; ``info`` says where the weights come from.
    """

    state: Mapping[str, Tensor]
    architecture: Architecture
    class_names: tuple[str, ...]
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    decoding: Decoding = field(default_factory=Decoding)
    threshold: float = 0.3
    info: dict[str, Any] = field(default_factory=dict)

    def require_classes(self) -> None:
        """Raise ``InputError`` if this is a trunk alone, which detects nothing."""
        if not self.class_names:
            what = "a pretrained trunk without classes, which detects nothing"
            raise InputError(what, str(self.info.get("source", "")), "begin a training with it: cornernet train")

    def check(self) -> None:
        """Raise ``InputError`` with the keys or shapes that do not fit the network, or if it has no classes."""
        self.require_classes()
        with torch.device("meta"):
            expected = CornerNet(self.architecture, len(self.class_names)).state_dict()
        missing, surplus = sorted(expected.keys() - self.state.keys()), sorted(self.state.keys() - expected.keys())
        shapes = [k for k in expected.keys() & self.state.keys() if expected[k].shape != self.state[k].shape]
        faults = {"missing": missing, "unexpected": surplus, "of another shape": sorted(shapes)}
        if any(faults.values()):
            listed = "; ".join(f"{len(keys)} {what}: {', '.join(keys[:5])}" for what, keys in faults.items() if keys)
            raise InputError(f"weights do not fit the network: {listed}")

    def build(self) -> CornerNet:
        """The network with these weights, in eval mode; raises ``InputError`` as ``check`` does."""
        self.check()
        model = CornerNet(self.architecture, len(self.class_names))
        model.load_state_dict(self.state)
        return model.eval()


def save_weights(path: str | os.PathLike[str], weights: Weights, *, half: bool = False) -> Path:
    """Write ``weights``, completely or not at all; ``half`` stores floats in 16 bits. Raises ``InputError`` if they
    have no classes."""
    weights.require_classes()
    tensors = {
        key: (value.half() if half and value.is_floating_point() else value).detach().cpu().contiguous()
        for key, value in weights.state.items()
    }
    content = {"version": VERSION} | {name: plain(value) for name, value in vars(weights).items() if name != "state"}
    header = {HEADER: json.dumps(content)}  # one entry: safetensors does not keep the order of several
    return atomic_write(Path(path), save(tensors, metadata=header))


def store_threshold(path: str | os.PathLike[str], threshold: float) -> None:
    """Change the threshold in a weights file, completely or not at all; ``InputError`` as ``load_weights``."""
    save_weights(path, replace(load_weights(path), threshold=threshold))


def load_weights(path: str | os.PathLike[str]) -> Weights:
    """Read a weights file; nothing in it can run. ``InputError`` if it is absent, damaged or something else."""
    path = Path(path)
    if not path.is_file():
        raise InputError("no such weights file", path)
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dictionary
    except (SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"not a whole safetensors file ({reason})", path, "fetch or train it anew") from None
    if HEADER not in header:
        raise InputError("safetensors, but without CornerNet's header", path, "only files this project wrote will do")
    try:
        content = json.loads(header[HEADER])
        version = int(content["version"])
        if version > VERSION:
            raise InputError(f"weights of format {version}, newer than this program", path, "upgrade it")
        architecture = content["architecture"] if version > 1 else _from_version_1(content["architecture"])
        place = f"{path}: its header"
        return Weights(
            {key: value.float() if value.is_floating_point() else value for key, value in state.items()},
            build(Architecture, architecture, place, "architecture."),
            _names(content["class_names"]),
            build(Preprocessing, content["preprocessing"], place, "preprocessing."),
            build(Decoding, content.get("decoding", {}), place, "decoding."),  # the first files had none: the paper's
            float(content["threshold"]),
            dict(content["info"]),
        )
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(f"its header is damaged ({error!r})", path, "fetch or train the file anew") from None


def _from_version_1(flat: dict[str, Any]) -> dict[str, Any]:
    """An architecture from a file of version 1, where the hourglass' settings were among all others."""
    names = "num_stacks", "channels", "blocks", "feature_channels"
    backbone = {"name": flat.pop("backbone", "hourglass")} | {name: flat.pop(name) for name in names if name in flat}
    return {"backbone": backbone, "pool_window": flat.pop("pooling_reach", None)} | flat


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise ValueError("class_names must be a list of names")
    return tuple(value)


def weights_of(model: torch.nn.Module, like: Weights, **info: Any) -> Weights:
    """``like``, with the tensors of ``model`` and more ``info``."""
    state = {key: value.detach().clone() for key, value in model.state_dict().items()}
    return replace(like, state=state, info=like.info | info)
