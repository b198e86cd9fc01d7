"""COCO's figures from the detections of a job."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any

from cornernet.batch.detection_table import read_part
from cornernet.batch.job import Job, part_places, run_job
from cornernet.batch.listing import PlannedItem
from cornernet.data.dataset import CocoDataset
from cornernet.errors import InputError
from cornernet.evaluation.ap import Metrics, coco_metrics, to_coco_results

_READERS = 8


def evaluate_by_job(
    dataset: CocoDataset,
    job: Job,
    address: str | None,
    *,
    tell: Callable[[str], None],
    progress: Callable[[int, int], None],
) -> tuple[Metrics, list[dict[str, Any]]]:
    """The figures and COCO results of `evaluate_dataset`, with the images looked at by a cluster.

    Raises ``InputError`` for an image that cannot be read, as on one machine, and as `run_job`.
    """
    records = dataset.images
    listed = "\n".join(f"{record.path} {record.height} {record.width}" for record in records)
    job = replace(job, settings=job.settings | {"images": sha256(listed.encode()).hexdigest()[:16]})

    def make_items() -> list[PlannedItem]:
        return [
            PlannedItem(i // job.part_size, str(record.path), height=record.height, width=record.width)
            for i, record in enumerate(records)
        ]

    _, manifest = run_job(job, address, make_items, tell=tell, progress=progress)
    results: list[dict[str, Any]] = []
    number = iter(records)
    read = partial(read_part, class_names=dataset.class_names)
    with ThreadPoolExecutor(_READERS) as pool:
        for part in pool.map(read, part_places(job.out, manifest.parts)):
            for found in part:
                if isinstance(found, InputError):
                    raise found
                results += to_coco_results(found, next(number).id, dataset.category_ids)
    return coco_metrics(dataset.coco_dict(), results), results
