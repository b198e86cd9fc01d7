"""Files of the Hugging Face hub: weights and trunks come from there, and weights are put there."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from cornernet.errors import InputError, first_line

SHARED_FILE = "cornernet.safetensors"  # what `push_files` writes and `fetch_shared` reads
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FILE_ENDINGS = (".safetensors", ".pth", ".pkl", ".pt", ".pt2", ".ckpt", ".onnx", ".xml", ".bin", ".json", ".yaml")


def is_hub_name(name: str) -> bool:
    """Whether it is written like a name of the hub, user/name, and is not a path: no such folder, no file's ending."""
    folder = name.partition("/")[0]
    return bool(_NAME.fullmatch(name)) and not name.lower().endswith(_FILE_ENDINGS) and not os.path.exists(folder)


def fetch_shared(name: str) -> Path:
    """Weights of ours that somebody put on the hub, in its cache; ``InputError`` if there are none under this name."""
    hub = _import_hub(name)
    from huggingface_hub.errors import EntryNotFoundError

    with _reading(hub, name):
        try:
            return Path(hub.hf_hub_download(name, SHARED_FILE))
        except EntryNotFoundError as error:
            if isinstance(error, FileNotFoundError):  # not in the cache, and no network
                raise
    fix = f"begin a training with its trunk by --weights hf:{name}, or give another name"
    raise InputError(f"no {SHARED_FILE} in it: not weights of cornernet", name, fix)


def fetch_snapshot(name: str, patterns: Sequence[str]) -> Path:
    """The folder of a model with those of its files that there are, from the hub or its cache.

    The hub's settings (``HF_HOME``, ``HF_HUB_OFFLINE``, ``HF_TOKEN``) are respected; a folder's path is itself.
    """
    if Path(name).is_dir():
        return Path(name)
    hub = _import_hub(name)
    with _reading(hub, name):
        return Path(hub.snapshot_download(name, allow_patterns=list(patterns)))


@contextmanager
def _reading(hub: ModuleType, name: str) -> Iterator[None]:
    """Errors of the hub on reading ``name`` become ``InputError``."""
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    try:
        yield
    except HFValidationError:
        raise InputError("neither a folder nor a name of the hub", name, "give one, as facebook/dinov2-small") from None
    except GatedRepoError:
        fix = f"accept them at https://huggingface.co/{name}, then: hf auth login"
        raise InputError("its owner asks you to accept terms first", name, fix) from None
    except RepositoryNotFoundError:
        fix = "see https://huggingface.co/models, or hf auth login for a private one"
        raise InputError("no folder, and no such model on the hub", name, fix) from None
    except Exception as error:  # of the network, of several packages
        reason = "HF_HUB_OFFLINE is set" if hub.constants.HF_HUB_OFFLINE else first_line(error)
        fix = f"check the name; or run hf download {name} where there is a network, and copy $HF_HOME"
        raise InputError(
            f"no such file here, none in the hub's cache, and it cannot be fetched ({reason})", name, fix
        ) from None


def push_files(name: str, files: Mapping[str, Path | bytes], *, private: bool, message: str) -> str:
    """Put the files into the repository ``name`` of the hub, which is made if it is new, in one commit.

    Returns the page's address. Raises ``InputError`` for a name that is none, and if the hub refuses.
    """
    if not _NAME.fullmatch(name) or ".." in name or "--" in name:
        raise InputError("not a name of the hub", name, "give one, as user/name")
    hub = _import_hub(name)
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    adds = [hub.CommitOperationAdd(place, content) for place, content in files.items()]
    try:
        hub.create_repo(name, private=private, exist_ok=True)
        return str(hub.create_commit(name, adds, commit_message=message).repo_url)
    except LocalTokenNotFoundError:
        raise InputError("the hub asks who you are", name, "hf auth login, or set HF_TOKEN") from None
    except HfHubHTTPError as error:
        code = error.response.status_code if error.response is not None else 0
        if code in (401, 403):
            fix = "hf auth login with a token that may write there, or set HF_TOKEN"
            raise InputError(f"the hub refuses this token ({code})", name, fix) from None
        raise InputError(f"the hub refuses it ({first_line(error)})", name, "see what it says") from None
    except Exception as error:  # of the network
        raise InputError(f"the hub cannot be reached ({first_line(error)})", name, "try again") from None


def _import_hub(name: str) -> ModuleType:
    try:
        import huggingface_hub
    except ImportError:
        what = "no such file; a name of the Hugging Face hub needs a package"
        raise InputError(what, name, "pip install 'cornernet[hub]'") from None
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # a line for each of its tries
    return huggingface_hub
