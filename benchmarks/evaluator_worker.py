"""One evaluation, in a process of its own; started by ``evaluator.py`` with a side's name and the files' folder.

Prints one JSON line: processor seconds from the parsed files to the twelve figures, and the figures.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
from pathlib import Path
from typing import Any


def evaluate_own(truth: dict[str, Any], predictions: list[dict[str, Any]]) -> list[float]:
    """As in ``cornernet evaluate``, with the rows for each class."""
    return list(coco_metrics(truth, predictions).figures.values())


def evaluate_peer(truth: dict[str, Any], predictions: list[dict[str, Any]]) -> list[float]:
    """As in pycocotools' own demonstration, from memory."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluator = COCOeval(coco, coco.loadRes(predictions), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator.stats.tolist()


if __name__ == "__main__":
    side, folder = sys.argv[1], Path(sys.argv[2])
    if side == "cornernet":
        from cornernet.evaluation.ap import coco_metrics
    else:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    parsed = [json.loads((folder / name).read_text()) for name in ("truth.json", "predictions.json")]
    start = time.process_time()
    figures = {"cornernet": evaluate_own, "pycocotools": evaluate_peer}[side](*parsed)
    print(json.dumps({"seconds": time.process_time() - start, "figures": figures}))
