"""Pretrained trunks of the Hugging Face hub, or of a folder with the same files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cornernet.config import IMAGENET_MEAN, IMAGENET_STD, Architecture, HuggingFaceConfig, Preprocessing
from cornernet.errors import InputError
from cornernet.model.trunks import (
    backbone_class,
    choose_maps,
    import_transformers,
    one_line,
    plain_trunk,
    trunk_config,
)
from cornernet.weights.hub_files import fetch_snapshot
from cornernet.weights.store import Weights
from cornernet.weights.transfer import trunk_tensors

PREFIX = "hf:"  # of these weights in a recipe
_DESCRIPTION = ["config.json", "preprocessor_config.json", "README.md", "LICENSE*"]
_TENSORS = ["model.safetensors", "model-*.safetensors", "model.safetensors.index.json"]
_FREE = re.compile(r"apache-2\.0|mit|bsd\b.*|cc0.*|cc-by-(sa-)?\d.*|isc|mpl-2\.0|unlicense|[al]?gpl.*", re.I)
_NORMALIZATIONS = nn.LayerNorm, nn.BatchNorm2d  # those of the maps: a classifier has none there
_HEAD_CHANNELS = 64  # as in the size small


def load_hub_trunk(name: str, *, with_tensors: bool = True) -> Weights:
    """Pretrained weights of a trunk: only its tensors, and no classes. Nothing in its files can run.

    ``name`` is the hub's, such as ``facebook/convnextv2-nano-22k-384``, or a folder; ``hf:`` may stand before it. The
    hub's cache and variables (``HF_HOME``, ``HF_HUB_OFFLINE``) are respected. Without tensors, only the small files are
    fetched. Raises ``InputError`` for what cannot be found, and for what is no backbone of transformers.
    """
    name = name.removeprefix(PREFIX)
    import_transformers()
    folder = fetch_snapshot(name, _DESCRIPTION)
    described = _read_json(folder / "config.json")
    if not described:
        raise InputError("no config.json in it: not a model of transformers", name, "give a hub name or its folder")
    try:
        kind = backbone_class(described.get("model_type")).config_class
        trunk, strides = choose_maps(plain_trunk(kind.from_dict(described)), finest=4)
    except InputError as error:
        raise error.at(name) from None
    except Exception as error:  # of the configuration's own checks
        raise InputError(f"its config.json is damaged ({one_line(error)})", name, "fetch it anew") from None
    licence = _licence(folder, described)
    config = HuggingFaceConfig(trunk, strides, source=name, licence=licence)
    state: Mapping[str, Tensor] = {}
    if with_tensors:
        state = trunk_tensors(config, _tensors(fetch_snapshot(name, _TENSORS), trunk, name))
    return Weights(
        state,
        Architecture(config, corner_channels=_HEAD_CHANNELS, branch_channels=_HEAD_CHANNELS),
        (),
        _preprocessing(folder, name),
        info={"source": PREFIX + name, "licence": licence_note(licence)},
    )


def licence_note(licence: str) -> str:
    """What to know of a trunk's licence, in a line."""
    if not licence:
        return "unknown, no model card says it: see the model's page before you pass weights on"
    return licence if _FREE.fullmatch(licence) else f"{licence}, not a free one: read it before you pass weights on"


def _tensors(folder: Path, trunk: Mapping[str, Any], name: str) -> dict[str, Tensor]:
    """The trunk's tensors from safetensors files, by its own keys; transformers knows the classifiers' names."""
    if not any((folder / file).is_file() for file in (_TENSORS[0], _TENSORS[-1])):
        what = "no model.safetensors in it, and pickle files are not read"
        raise InputError(what, name, "fetch it whole, or choose a model that has one")
    from transformers.utils import logging

    verbosity, had_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        network, found = backbone_class(trunk["model_type"]).from_pretrained(
            folder,
            config=trunk_config(trunk),
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            dtype=torch.float32,
        )
    except Exception as error:  # of safetensors and of shapes that do not fit
        raise InputError(f"its weights cannot be read ({one_line(error)})", name, "fetch it anew") from None
    finally:
        logging.set_verbosity(verbosity)
        if had_bar:
            logging.enable_progress_bar()
    parts = dict(network.named_modules())
    absent = {key for key in found["missing_keys"] if not isinstance(parts[key.rpartition(".")[0]], _NORMALIZATIONS)}
    if absent:
        what = f"{len(absent)} tensors of the trunk are not in its weights, {min(absent)} first"
        raise InputError(what, name, "choose a model whose trunk is published")
    return network.state_dict()


def _preprocessing(folder: Path, name: str) -> Preprocessing:
    """The normalisation in preprocessor_config.json, or ImageNet's."""
    values = _read_json(folder / "preprocessor_config.json")
    unit = 1 / values.get("rescale_factor", 1 / 255) if values.get("do_rescale", True) else 1.0
    mean, std = values.get("image_mean"), values.get("image_std")
    try:
        if not values.get("do_normalize", True):
            mean, std = (0.0,) * 3, (unit,) * 3
        elif mean is None or std is None:
            mean, std = IMAGENET_MEAN, IMAGENET_STD
        else:
            mean, std = tuple(unit * v for v in mean), tuple(unit * v for v in std)
        order = "BGR" if values.get("do_flip_channel_order") else "RGB"
        return Preprocessing(order, tuple(round(v, 4) for v in mean), tuple(round(v, 4) for v in std))  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise InputError(f"its preprocessor_config.json is damaged ({error})", name, "correct it") from None


def _licence(folder: Path, described: Mapping[str, Any]) -> str:
    """The licence's name in the model card or in the configuration; empty if neither says one."""
    import yaml

    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    front = re.match(r"---\s*\n(.*?)\n---", text, re.S)
    try:
        fields = yaml.safe_load(front[1]) if front else {}
    except yaml.YAMLError:
        fields = {}
    fields = {**described, **(fields if isinstance(fields, dict) else {})}
    licence = fields.get("license")
    if licence in (None, "other"):
        licence = fields.get("license_name") or licence
    return ", ".join(map(str, licence)) if isinstance(licence, list) else str(licence or "")


def _read_json(path: Path) -> dict[str, Any]:
    """The fields of a JSON file; none if there is no such file."""
    try:
        values = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({one_line(error)})", path, "fetch it anew") from None
    return values if isinstance(values, dict) else {}
