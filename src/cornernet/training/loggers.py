"""Programs that a training reports to besides its own files: Lightning's loggers, held such that none can end a run."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cornernet.errors import InputError, nearest

if TYPE_CHECKING:
    import numpy as np
    from lightning.pytorch.loggers import Logger

LOGGERS = {
    "tensorboard": "",
    "csv": "",
    "wandb": "pip install 'cornernet[wandb]'",
    "mlflow": "pip install 'cornernet[mlflow]'",
    "trackio": "pip install trackio",
}
"""The loggers by name, and what installs the package of that name, if one is needed."""
LOGGER_FOLDERS = ("csv", "wandb")  # in a run's folder
_GO_ON = ("wandb", "mlflow")  # a resumed run goes on with theirs, by its id
_FAILURES = (Exception, SystemExit)  # not Ctrl-C
# Nothing but what `RunLog` reports is sent, and a server that is out of reach is given up soon. The user's values stay.
_SETTINGS = {
    "wandb": {
        "WANDB_CONSOLE": "off",
        "WANDB_DISABLE_CODE": "true",
        "WANDB_DISABLE_GIT": "true",
        "WANDB_X_DISABLE_META": "true",
        "WANDB_X_DISABLE_STATS": "true",
        "WANDB_X_DISABLE_MACHINE_INFO": "true",
        "WANDB_X_SAVE_REQUIREMENTS": "false",
        "WANDB_LOGIN_TIMEOUT": "60",
        "WANDB_INIT_TIMEOUT": "60",
        "WANDB_FINISH_TIMEOUT": "60",
    },
    "mlflow": {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"},
}


def parse_loggers(text: str | None) -> list[str]:
    """``"wandb,csv"`` as a list. Raises ``InputError`` as `check_loggers` does."""
    names = list(dict.fromkeys(word.strip() for word in (text or "").split(",") if word.strip()))
    check_loggers(names)
    return names


def check_loggers(names: Iterable[str]) -> None:
    """Raise ``InputError`` for a name that is no logger's, and for a logger whose package is not installed."""
    for name in names:
        if name not in LOGGERS:
            fix = nearest(name, LOGGERS, f"choose from {', '.join(LOGGERS)}, joined by commas")
            raise InputError("there is no such logger", f"--logger {name}", fix)
        if LOGGERS[name] and find_spec(name) is None:
            raise InputError(f"the package {name} is not installed", f"--logger {name}", LOGGERS[name])


class HeldLogger:
    """A Lightning logger that is switched off, with one line of warning, as soon as anything of it raises.

    It stands in for the logger: the same attributes, and ``isinstance`` finds the logger's class. Switched off, its
    methods do nothing and return ``None``, and ``experiment`` takes any call. What ``experiment`` returns before is the
    logger's own object, and raises as that does.
    """

    def __init__(self, logger: Any, label: str) -> None:
        self._logger, self._label, self._is_on = logger, label, True

    @property
    def __class__(self) -> type[Any]:  # type: ignore[override] - read by isinstance alone
        return type(self._logger)

    def __getattr__(self, name: str) -> Any:
        own = getattr(type(self._logger), name, None)  # a method or a property; otherwise a plain attribute, or nothing
        if own is None:
            return getattr(self._logger, name)
        if self._is_on:
            found = self._try(getattr, self._logger, name)
            if self._is_on:
                is_method = callable(own) and callable(found)
                return (lambda *args, **options: self._try(found, *args, **options)) if is_method else found
        if name == "experiment":
            from lightning.fabric.loggers.logger import _DummyExperiment

            return _DummyExperiment()
        return (lambda *args, **options: None) if callable(own) else None

    def _try(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if not self._is_on:
            return None
        try:
            return function(*args, **options)
        except _FAILURES as error:
            self._is_on = False
            _warn(self._label, error)
            return None

    def show_picture(self, image: np.ndarray, step: int) -> None:
        """Show a picture, uint8 (H, W, 3) RGB, if the logger takes pictures."""
        self._try(_log_picture, self._logger, image, step)

    def end_run(self, exit_code: int) -> None:
        """End the run of a logger whose server would otherwise wait for this process to end."""
        if self._label == "wandb":
            self._try(lambda: self._logger.experiment.finish(exit_code=exit_code))


def _warn(label: str, error: BaseException) -> None:
    said = " ".join(str(error).split())[:200] or type(error).__name__
    print(f"warning: logger {label}: {said}; it is switched off, the training goes on", file=sys.stderr)


def open_loggers(loggers: Sequence[Logger], named: Mapping[str, str | None], folder: Path) -> list[Any]:
    """All loggers of the run in ``folder``, each a `HeldLogger`.

    ``loggers`` are the user's own. ``named`` are those chosen by name, with the id of the run that each goes on with,
    if there is one.
    """
    held = [HeldLogger(logger, type(logger).__name__) for logger in loggers]
    for name, version in named.items():
        try:
            made = _make_logger(name, folder, version)
        except _FAILURES as error:  # a package may be damaged, an address unreadable
            _warn(name, error)
        else:
            held += [HeldLogger(made, name)] if made else []
    return held


def start_loggers(held: Sequence[Any], named: Mapping[str, str | None], values: Mapping[str, Any]) -> dict[str, Any]:
    """Tell ``values``, the hyper-parameters, to all loggers that do not go on with a run; ``named`` with their ids."""
    versions = dict(named)
    for logger in held:
        label = logger._label
        if named.get(label) is None or label not in _GO_ON:
            logger.log_hyperparams(dict(values))
        if label in _GO_ON and label in versions:
            versions[label] = logger.version or versions[label]
    return versions


def _make_logger(name: str, folder: Path, version: str | None) -> Any:
    """A logger by its name; ``None`` for TensorBoard, which `RunLog` writes anyway."""
    from lightning.pytorch import loggers

    for setting, value in _SETTINGS.get(name, {}).items():
        os.environ.setdefault(setting, value)
    run, beside = folder.resolve().name, folder.resolve().parent
    if name == "csv":
        return loggers.CSVLogger(folder, name="csv")
    if name == "wandb":
        version = version or os.environ.get("WANDB_RUN_ID") or secrets.token_hex(4)
        project = os.environ.get("WANDB_PROJECT", "cornernet")
        return loggers.WandbLogger(os.environ.get("WANDB_NAME", run), folder, version, project=project)
    if name == "mlflow":
        return loggers.MLFlowLogger(
            os.environ.get("MLFLOW_EXPERIMENT_NAME", "cornernet"),
            run,
            os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{beside / 'mlflow.db'}",
            artifact_location=None if os.environ.get("MLFLOW_TRACKING_URI") else (beside / "mlruns").as_uri(),
            run_id=version,
        )
    if name == "trackio":
        from cornernet.training.trackio_logger import TrackioLogger

        return TrackioLogger(run)
    return None


def _log_picture(logger: Any, image: np.ndarray, step: int) -> None:
    from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger

    if isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image("validation", image, step, dataformats="HWC")
    elif isinstance(logger, MLFlowLogger):
        logger.experiment.log_image(logger.run_id, image, key="validation", step=step)
    elif hasattr(logger, "log_image"):  # as WandbLogger's and TrackioLogger's
        logger.log_image("validation", [image], step=step)
