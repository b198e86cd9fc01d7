"""The report on a training's run folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cornernet.errors import InputError
from cornernet.tasks.detectors import open_detector
from cornernet.tasks.progress import ProgressBar

if TYPE_CHECKING:
    from cornernet.report.page import Subject

IMAGES = 500
BEST, LAST = "best.safetensors", "last.safetensors"


def report_run(
    folder: Path, path: Path, *, data: str | None = None, images: int = IMAGES, device: str | None = None
) -> None:
    """Write the page on a run's best weights (or its last ones), and store the threshold in its weights files."""
    from cornernet.data.source import DataSource
    from cornernet.files import read_own_json
    from cornernet.report.logs import read_log
    from cornernet.report.page import Subject
    from cornernet.training.run_file import RUN_FILE
    from cornernet.training.trainer import RECIPE_FILE
    from cornernet.typed import build
    from cornernet.weights.store import load_weights, store_threshold

    files = _weights_files(folder)
    fix = "give --weights and --data instead"
    told = read_own_json(folder / RUN_FILE, fix)
    source = build(DataSource, told.get("source") if isinstance(told, dict) else None, str(folder / RUN_FILE))
    try:
        recipe = (folder / RECIPE_FILE).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"no run to report on ({error})", folder, fix) from None
    source.folder = data or source.folder
    training, validation = source.load()
    if validation is None:
        raise InputError("the run has no validation images", folder, "give --weights, --data and --split instead")
    detector = open_detector(str(files[0]), device, "none", "fp32", None)
    subject = Subject(
        folder.resolve().name,
        str(files[0]),
        load_weights(files[0]),
        detector,
        validation,
        [training, validation],
        read_log(folder),
        recipe,
    )
    best = write_page(path, subject, images)
    if best is not None:
        for file in files:
            store_threshold(file, best)
        print(f"threshold {best:.2f} stored in {' and '.join(file.name for file in files)}", file=sys.stderr)


def best_weights(folder: Path) -> Path:
    """The file of a run's best weights, or of its last ones; ``InputError`` if there is none."""
    return _weights_files(folder)[0]


def _weights_files(folder: Path) -> list[Path]:
    files = [folder / name for name in (BEST, LAST) if (folder / name).is_file()]
    if not files:
        raise InputError(f"no {BEST} and no {LAST}", folder, "name the folder of a run that has finished an epoch")
    return files


def report_after_training(folder: Path) -> None:
    """``report_run``, whose errors become a warning that says how to try again."""
    try:
        report_run(folder, folder / "report.html")
    except Exception as error:  # whatever it is, the training's files are there
        reason = " ".join(str(error).split()) or type(error).__name__
        print(f"warning: no report ({reason}); cornernet report {folder} tries again", file=sys.stderr)


def write_page(path: Path, subject: Subject, images: int) -> float | None:
    """Write the page and print its place; returns the best threshold."""
    from cornernet.report.page import write_report

    outcome = write_report(path, subject, images=images, progress=ProgressBar("report"))
    print(f"report on {outcome.images} of {len(subject.dataset.images)} images: {path}", file=sys.stderr)
    return outcome.threshold
