"""Read checkpoints of other CornerNets, without running anything in them, and rename their keys."""

from __future__ import annotations

import pickletools
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from cornernet.errors import InputError
from cornernet.weights import authors, openmmlab
from cornernet.weights.coco_classes import COCO_CLASSES
from cornernet.weights.renaming import infer_architecture
from cornernet.weights.store import Weights

# names in the training logs of OpenMMLab's checkpoints; all become `_Inert`, so they cannot run
_IGNORED = (
    "mmengine.logging.history_buffer.HistoryBuffer",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.core.numeric._frombuffer",
    "numpy._core.numeric._frombuffer",
    "numpy.ndarray",
    "numpy.dtype",
    "numpy.float64",
    "numpy.float32",
    "numpy.int64",
    "_codecs.encode",
    "builtins.getattr",
    "__builtin__.getattr",
    "collections.deque",
)
# names in plain tensors, dictionaries and numbers; torch's restricted reader knows all of them
_HARMLESS = re.compile(
    r"(collections (OrderedDict|defaultdict|Counter)|(builtins|__builtin__) (set|frozenset|bytearray|complex|slice)"
    r"|torch \w+Storage|torch Size|torch device|torch dtype|torch float\d+|torch b?float16|torch u?int\d+|torch bool"
    r"|torch Tensor|torch\.storage \w+|torch\._utils _rebuild_\w+|torch\.nn\.parameter Parameter)$"
)
_OTHERS = [
    (r"^(hg\.)?att_modules\.", "CornerNet-Saccade"),
    (r"^bbox_head\.(tl|br)_(feat_adaption|dcn_offset|guiding_shift|centripetal_shift)\.", "CentripetalNet"),
    (r"^(ct_heats|cent_heats|ct_cnvs|cnvs_tl\w*ct)", "CenterNet"),
    (r"^(backbone\.)?layer[1-4]\.", "a network with a ResNet backbone"),
    (r"^(backbone\.)?features\.", "a network with a VGG or MobileNet backbone"),
]


class _Inert:
    """Replaces an object that is not needed: it accepts everything and does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...

    def __setitem__(self, key: Any, value: Any) -> None: ...

    def append(self, _: Any) -> None: ...

    def extend(self, _: Any) -> None: ...


def load_foreign(path: Path, class_names: Sequence[str] | None = None) -> Weights:
    """Weights from a checkpoint of OpenMMLab (``.pth``) or of the authors (``.pkl``), with their preprocessing.

    ``class_names`` replace the file's. A file without names has COCO's if it has 80 classes, otherwise numbered ones.
    Raises ``InputError`` if the file is damaged, has code in it, or is another network.
    """
    checkpoint = read_checkpoint(path)
    try:
        return convert_checkpoint(checkpoint, class_names, path.name)
    except InputError as error:
        raise InputError(str(error), path) from None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The dictionary that ``torch.save`` wrote, before or since version 1.6; nothing in it runs.

    Objects of training logs come back empty. Raises ``InputError`` with the names of other imports in the file.
    """
    try:
        named = sorted(_imports(path))
        foreign = [name for name in named if not _HARMLESS.match(name) and name.replace(" ", ".") not in _IGNORED]
        if foreign:
            wanted = ", ".join(name.replace(" ", ".") for name in foreign[:3])
            what = f"wants to run {wanted}; a file of weights has no need to"
            raise InputError(what, path, "refused, and nothing was run")
        with torch.serialization.safe_globals([(_Inert, name) for name in _IGNORED]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})", path) from None
    except Exception as error:  # torch fails in many ways on a damaged file
        reason = str(error).split(". ")[0].split("\n")[0]
        raise InputError(f"not a whole checkpoint ({reason})", path, "fetch it anew") from None
    if not isinstance(content, dict):
        raise InputError(f"holds {type(content).__name__}, not a dictionary of weights", path)
    return content


def convert_checkpoint(
    checkpoint: Mapping[str, Any], class_names: Sequence[str] | None = None, source: str = ""
) -> Weights:
    """``Weights`` from a state dict, or from a dictionary with ``state_dict`` and ``meta``; see ``load_foreign``."""
    state = _state_dict(checkpoint)
    if any(key.startswith("bbox_head.tl_heat.") for key in state):
        dialect, names = "OpenMMLab", openmmlab.class_names(checkpoint)
        state = openmmlab.RENAMING.state(state)
    elif any(re.match(r"(hg\.hgs|kps)\.", key) for key in state):
        dialect, names = "authors", None
        state = authors.renaming(state).state(state)
    else:
        listed = ", ".join(list(state)[:3])
        raise InputError(f"not a CornerNet in OpenMMLab's or the authors' spelling: its keys begin {listed}")
    architecture, classes = infer_architecture(state)
    ours = dialect == "OpenMMLab"
    weights = Weights(
        state,
        architecture,
        _names(class_names, names, classes),
        openmmlab.PREPROCESSING if ours else authors.PREPROCESSING,
        openmmlab.DECODING if ours else authors.decoding(architecture),
        info={"source": source, "dialect": dialect},
    )
    weights.check()
    return weights


def _state_dict(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors without the prefix ``module.``, without moving averages of weights and preprocessing buffers."""
    content = checkpoint.get("state_dict", checkpoint)
    if not isinstance(content, Mapping):
        raise InputError(f"{type(content).__name__}, not a dictionary", "state_dict")
    state = {re.sub(r"^(module\.)+", "", str(key)): value for key, value in content.items()}
    if len(state) != len(content):
        raise InputError("two keys have the same meaning", "state dict", "is it two networks in one file?")
    state = {k: v for k, v in state.items() if not k.startswith(("ema_", "data_preprocessor.")) and k != "steps"}
    for key in [key for key in state if key.endswith("running_mean")]:  # absent before PyTorch 0.4.1
        state.setdefault(key.replace("running_mean", "num_batches_tracked"), torch.tensor(0))
    strange = [key for key, value in state.items() if not isinstance(value, Tensor)]
    if strange or not state:
        raise InputError(f"not a state dict: {strange[0] if strange else 'it'} is no tensor")
    for pattern, name in _OTHERS:
        if any(re.search(pattern, key) for key in state):
            raise InputError(f"these are the weights of {name}, not of CornerNet with hourglasses")
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}


def _names(given: Sequence[str] | None, stored: Sequence[str] | None, classes: int) -> tuple[str, ...]:
    names = given or stored or (COCO_CLASSES if classes == len(COCO_CLASSES) else None)
    if names is None:
        return tuple(f"class {i + 1}" for i in range(classes))
    if len(names) != classes:
        raise InputError(f"{len(names)} class names for a network of {classes} classes")
    return tuple(names)


def _imports(path: Path) -> set[str]:
    """The imports of a file's pickles, as "module name"; the pickles are read as data."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for entry in archive.namelist():
                if entry.endswith("data.pkl"):
                    with archive.open(entry) as file:
                        return set(_globals(file))
        return set()
    with path.open("rb") as file:  # before 1.6: magic number, version, machine, content, storages' keys
        found: set[str] = set()
        for _ in range(5):
            found |= set(_globals(file))
            if file.peek(1) == b"":
                break
        return found


def _globals(file: IO[bytes]) -> Iterator[str]:
    """Every global of one pickle; the name of one built on the stack is the last two strings pushed."""
    strings: list[str] = []
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in ("GLOBAL", "INST"):
            yield str(argument)
        elif opcode.name == "STACK_GLOBAL":
            yield " ".join(strings[-2:])
        elif isinstance(argument, str):
            strings.append(argument)
