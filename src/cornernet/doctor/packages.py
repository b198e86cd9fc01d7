"""Python and the packages: are they installed, and do they work together?"""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from importlib import metadata
from importlib.util import find_spec
from typing import Any

from cornernet.doctor.finding import Finding
from cornernet.doctor.probe import ask

_NAMED = ("torch", "lightning", "opencv-python-headless", "numpy")  # their versions are shown
_IMPORTED = {  # module, and the package that installs it
    "lightning.pytorch": "lightning",
    "cv2": "opencv-python-headless",
    "faster_coco_eval": "faster-coco-eval",
    "safetensors": "safetensors",
    "PIL": "pillow",
}
_OPENCVS = ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python")
_PURPOSES = {
    "imagenet": "ImageNet trunks lite0 and lite1",
    "report": "pictures of curves",
    "export": "ONNX and OpenVINO files",
    "int8": "export in int8",
    "heif": "HEIC photos",
    "serve": "boxes over HTTP",
    "backbones": "trunks of the Hugging Face hub",
    "hub": "weights from and for the Hugging Face hub",
    "ray": "jobs on a Ray cluster",
    "wandb": "train --logger wandb",
    "mlflow": "train --logger mlflow",
}


def installed(name: str) -> str | None:
    """A package's version, without importing it."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def check_python() -> list[Finding]:
    """Which Python runs, and where."""
    return [Finding("ok", "python", f"{platform.python_version()} on {platform.platform()}, {sys.executable}")]


def check_packages() -> list[Finding]:
    """Which required packages are missing or too old, and which extras are missing."""
    from packaging.requirements import Requirement

    own = installed("cornernet")
    if own is None:
        return [Finding("warn", "packages", "cornernet itself is not installed", "pip install . in its folder")]
    requirements = [Requirement(text) for text in metadata.requires("cornernet") or []]
    named = ", ".join(f"{name} {installed(name) or 'absent'}" for name in _NAMED)
    findings = [Finding("ok", "packages", f"cornernet {own}, {named}")]
    needed = [wanted for wanted in requirements if not wanted.marker or wanted.marker.evaluate({"extra": ""})]
    for wanted in needed:
        version = installed(wanted.name)
        if version is None or not wanted.specifier.contains(version, prereleases=True):
            said = f"{wanted.name} {version} is not {wanted.specifier}" if version else f"{wanted.name} is absent"
            findings.append(Finding("FAIL", "packages", said, f"pip install '{wanted.name}{wanted.specifier}'"))
    optional = [(wanted.name, wanted.marker) for wanted in requirements if wanted.marker and wanted not in needed]
    for extra, purpose in _PURPOSES.items():
        absent = [name for name, marker in optional if marker.evaluate({"extra": extra}) and not installed(name)]
        if absent:
            said = f"without {', '.join(absent)}: no {purpose}"
            findings.append(Finding("ok", f"extra {extra}", said, f"pip install 'cornernet[{extra}]' if you want it"))
    return findings


def check_imports() -> list[Finding]:
    """Packages that are installed but cannot be imported; each import is tried in its own process."""
    answers = {name: ask("package", name) for name in _IMPORTED}
    broken = {name: answer["error"] for name, answer in answers.items() if "error" in answer}
    if not broken:
        return [Finding("ok", "imports", f"{', '.join(_IMPORTED)} can be imported")]
    return [Finding("FAIL", "imports", f"{name}: {error}", _import_fix(name, error)) for name, error in broken.items()]


def _import_fix(name: str, error: str) -> str:
    if "torchvision" in error:
        return "pip uninstall torchvision: nothing here needs it"
    anew = f"pip install --force-reinstall --no-deps {_IMPORTED[name]}"
    return f"pip uninstall opencv-python, which needs a display; {anew}" if name == "cv2" and ".so" in error else anew


def check_torchvision() -> list[Finding]:
    """Whether an installed torchvision fits torch; if not, Lightning breaks, though nothing here needs torchvision."""
    if find_spec("torchvision") is None:
        return [Finding("ok", "torchvision", "absent; nothing here needs it")]
    answer = ask("package", "torchvision")
    if "error" in answer:
        said = f"does not fit torch {installed('torch')} ({answer['error']}), and breaks Lightning by being there"
        return [Finding("FAIL", "torchvision", said, "pip uninstall torchvision: nothing here needs it")]
    return [Finding("ok", "torchvision", f"{answer['version']} fits its torch; nothing here needs it")]


def check_opencv() -> list[Finding]:
    """Whether there are two of OpenCV's packages: they share a folder and overwrite each other's files."""
    there = [name for name in _OPENCVS if installed(name)]
    if len(there) > 1:
        fix = f"pip uninstall {' '.join(there)}, then pip install opencv-python-headless"
        return [Finding("warn", "opencv", f"{' and '.join(there)} overwrite each other's files", fix)]
    return [Finding("ok", "opencv", there[0])] if there else []


def check_torch(facts: dict[str, Any]) -> list[Finding]:
    """Torch's version and build; ``facts`` are the answer of ``ask("torch")``."""
    if "error" in facts:
        return [Finding("FAIL", "torch", facts["error"], "pip install --force-reinstall torch")]
    build = f"built for CUDA {facts['cuda']}" if facts["cuda"] else "built for the CPU"
    return [Finding("ok", "torch", f"{facts['version']}, {build}")]


def check_gpu(facts: dict[str, Any], cards: Sequence[str] | str, visible: str | None) -> list[Finding]:
    """The GPUs of the machine, and whether torch uses them.

    ``facts`` are the answer of ``ask("torch")``, ``cards`` that of `graphics_cards`; ``visible`` is
    CUDA_VISIBLE_DEVICES.
    """
    if devices := facts.get("devices", []):
        return [_check_device(device) for device in devices]
    if isinstance(cards, str):
        return [Finding("warn", "gpu", f"nvidia-smi fails: {cards}", "restart the machine, or install its driver anew")]
    if not cards or "error" in facts:
        return [Finding("ok", "gpu", ", ".join(cards) or "none found: trainings run on the CPU")]
    there = f"{', '.join(cards)} is not used: "
    if not facts["cuda"]:
        fix = "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu126 (or newer)"
        return [Finding("warn", "gpu", f"{there}torch {facts['version']} is built for the CPU", fix)]
    if visible is not None and visible.strip() in ("", "-1"):
        return [Finding("warn", "gpu", f"{there}CUDA_VISIBLE_DEVICES hides it", "unset CUDA_VISIBLE_DEVICES")]
    reason = facts["warnings"][0] if facts["warnings"] else f"torch finds none; it is built for CUDA {facts['cuda']}"
    fix = "upgrade the NVIDIA driver, or install a torch built for an older CUDA"
    return [Finding("warn", "gpu", there + reason, fix)]


def _check_device(device: dict[str, Any]) -> Finding:
    if "error" in device:
        fix = "install a torch built for this GPU, or leave it out with CUDA_VISIBLE_DEVICES="
        return Finding("FAIL", "gpu", f"{device['name']} cannot compute: {device['error']}", fix)
    free, total = device["free"] / 2**30, device["total"] / 2**30
    said = f"{device['name']}, {free:.1f} of {total:.1f} GiB free"
    if free < 2:
        return Finding("warn", "gpu", said, "nvidia-smi shows what uses it; end that, or choose another GPU")
    return Finding("ok", "gpu", said)
