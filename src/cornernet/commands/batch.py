"""``cornernet predict --ray`` and ``cornernet evaluate --ray``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from cornernet.commands.classes import parse_classes
from cornernet.errors import InputError
from cornernet.tasks.detectors import Arithmetic, TestTime
from cornernet.tasks.progress import ProgressBar

if TYPE_CHECKING:
    from cornernet.batch.job import Job
    from cornernet.data.dataset import CocoDataset
    from cornernet.evaluation.ap import Metrics
    from cornernet.inference.api import BaseDetector

PART_SIZE = 500


@dataclass(frozen=True)
class RayOptions:
    """The options that only ``--ray`` has; ``ray`` is an address, or ``True`` for a cluster of this machine."""

    ray: str | bool = False
    part_size: int | None = None
    workers: int | None = None
    threads: int | None = None
    price: float | None = None
    image_column: str | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            shown = f"--{name.replace('_', '-')} {value}"
            if name == "ray" or value is None:
                continue
            if not self.ray:
                raise InputError("is an option of jobs on Ray", shown, "give --ray too")
            if isinstance(value, (int, float)) and not value > 0:
                raise InputError("give a number above 0", shown)

    @property
    def address(self) -> str | None:
        return self.ray if isinstance(self.ray, str) else None


@dataclass(frozen=True)
class DetectorOptions:
    """The options that choose a detector, as the commands have them."""

    weights: str
    device: str | None
    tta: TestTime
    precision: Arithmetic
    max_size: int | None
    tile: str | None
    batch_size: int


def make_job(
    out: str,
    options: DetectorOptions,
    chosen: RayOptions,
    *,
    settings: dict[str, Any],
    threshold: float | None = None,
    classes: str | None = None,
) -> tuple[Job, BaseDetector]:
    """A job, and its detector, opened here once, so that what it cannot do is said before work starts."""
    from cornernet.batch.choosing import choose_detector
    from cornernet.batch.job import Job
    from cornernet.batch.ray_cluster import import_ray

    import_ray()
    choice, detector = choose_detector(**asdict(options), threshold=threshold)
    labels = parse_classes(classes, detector.class_names)
    job = Job(
        out=out,
        settings=settings,
        choice=choice.with_labels(labels),
        class_names=detector.class_names,
        part_size=chosen.part_size or PART_SIZE,
        column=chosen.image_column,
        workers=chosen.workers,
        threads=chosen.threads,
        price=chosen.price,
        from_command=True,
    )
    return job, detector


def predict_on_ray(
    sources: Sequence[str],
    out: str,
    options: DetectorOptions,
    chosen: RayOptions,
    *,
    threshold: float | None,
    classes: str | None,
    others: dict[str, bool],
) -> Literal[0]:
    """``predict`` on a cluster; ``others`` are its options that a job does not have, and whether they were given."""
    from cornernet.batch.job import run_job
    from cornernet.batch.listing import plan_items
    from cornernet.batch.storage import is_remote

    for name in filter(others.get, others):
        raise InputError("is no option of jobs on Ray, which write Parquet", name, "leave it out")
    named = [place if is_remote(place) else os.path.abspath(os.path.expanduser(place)) for place in sources]
    job, _ = make_job(out, options, chosen, settings={"sources": named}, threshold=threshold, classes=classes)
    bar = ProgressBar("predicting", "part")
    try:
        summary, _ = run_job(
            job,
            chosen.address,
            lambda: plan_items(sources, job.part_size, column=job.column, tell=_tell),
            tell=_tell,
            progress=bar,
        )
    finally:
        bar.close()
    print(f"{summary.boxes} objects in {summary.images} images, score {job.choice.threshold:g} or more: {out}")
    if summary.errors:
        _tell(f"{summary.errors} images could not be used; the column error says why")
    cost = "" if summary.cost is None else f", cost {summary.cost:g}"
    speed = f"{summary.new_images} images now, {summary.images_per_second:g} a second by {summary.workers} workers"
    _tell(f"{speed}; {summary.worker_hours:.2f} worker hours in all{cost}")
    return 0


class EvaluationOnRay:
    """An evaluation whose images are looked at by a cluster, with ``detector``; for ``evaluate_on``."""

    def __init__(self, data: str, out: str, options: DetectorOptions, chosen: RayOptions, **settings: Any) -> None:
        settings["data"] = os.path.abspath(data)
        self.job, self.detector = make_job(out, options, chosen, settings=settings, threshold=0.0)
        self.address = chosen.address

    def __call__(self, dataset: CocoDataset, *, progress: ProgressBar) -> tuple[Metrics, list[dict[str, Any]]]:
        from cornernet.batch.evaluation_job import evaluate_by_job

        return evaluate_by_job(dataset, self.job, self.address, tell=_tell, progress=progress)


def _tell(line: str) -> None:
    print(f"cornernet: {line}", file=sys.stderr)
