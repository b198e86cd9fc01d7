"""A Lightning logger for Trackio, of which Lightning has none."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only


class TrackioLogger(Logger):
    """Figures and pictures as the run ``run`` of a Trackio project ($TRACKIO_PROJECT, by default cornernet).

    They stay on this machine unless $TRACKIO_SPACE_ID or $TRACKIO_SERVER_URL says where to send them. Nothing is
    measured of the machine.
    """

    def __init__(self, run: str) -> None:
        super().__init__()
        self._run, self._project = run, os.environ.get("TRACKIO_PROJECT", "cornernet")
        self._config: dict[str, Any] = {}
        self._experiment: Any = None

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """Trackio's run; a run of the same name is gone on with."""
        if self._experiment is None:
            settings = {"embed": False, "auto_log_gpu": False, "auto_log_cpu": False}
            init = import_module("trackio").init
            self._experiment = init(self._project, self._run, config=self._config, resume="allow", **settings)
        return self._experiment

    @property
    def name(self) -> str:
        """The project."""
        return self._project

    @property
    def version(self) -> str:
        """The run."""
        return self._run

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Trackio takes them where a run begins."""
        self._config = dict(vars(params) if isinstance(params, Namespace) else params)
        _ = self.experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Numbers by name, at a step."""
        self.experiment.log(dict(metrics), step=step)

    @rank_zero_only
    def log_image(self, key: str, images: list[np.ndarray], step: int | None = None) -> None:
        """Pictures, uint8 (H, W, 3) RGB, under one name."""
        picture = import_module("trackio").Image
        names = [key, *(f"{key} {number}" for number in range(2, len(images) + 1))]
        self.log_metrics({name: picture(image) for name, image in zip(names, images, strict=True)}, step)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write and send what is left."""
        if self._experiment is not None:
            self._experiment.finish()
            self._experiment = None
