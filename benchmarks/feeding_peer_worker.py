"""mmdetection's training samples, timed in a process of its own; started by ``feeding.py`` with the peer's python.

The pipeline is that of mmdetection's own CornerNet configuration. Prints one JSON line: seconds for each sample, not
in batches, of every pass, and seconds of reading an image alone.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

warnings.filterwarnings("ignore")

import cv2  # noqa: E402
import mmdet  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from mmdet.registry import DATASETS  # noqa: E402
from mmdet.utils import register_all_modules  # noqa: E402
from mmengine.config import Config  # noqa: E402
from peer_worker import CONFIG  # noqa: E402


def time_passes(job: dict[str, Any]) -> tuple[list[float], list[float]]:
    """Processor seconds for each sample, and for its first step, which reads the image, in every pass but the first."""
    config = Config.fromfile(Path(mmdet.__file__).parent / ".mim/configs" / CONFIG).train_dataloader.dataset
    config.update(
        data_root="",
        ann_file=job["annotations"],
        data_prefix={"img": job["folder"]},
        metainfo={"classes": tuple(job["class_names"])},
    )
    dataset = DATASETS.build(config)
    dataset.full_init()
    wanted = {str(Path(job["folder"], name)) for name in job["file_names"]}
    chosen = [index for index in range(len(dataset)) if dataset.get_data_info(index)["img_path"] in wanted]
    assert len(chosen) == len(wanted), f"the peer has {len(chosen)} of {len(wanted)} images"
    samples, decoding = [], []
    for _ in range(job["passes"] + 1):
        start = time.process_time()
        for index in chosen:
            dataset[index]
        samples.append((time.process_time() - start) / len(chosen))
        infos = [dataset.get_data_info(index) for index in chosen]
        start = time.process_time()
        for info in infos:
            dataset.pipeline.transforms[0](info)
        decoding.append((time.process_time() - start) / len(chosen))
    return samples[1:], decoding[1:]


def main() -> None:
    """Run the job in the first argument."""
    job = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    np.random.seed(job["round"])  # noqa: NPY002 - the peer draws from the global generator
    register_all_modules()
    samples, decoding = time_passes(job)
    print(json.dumps({"sample": samples, "decoding": decoding}))


if __name__ == "__main__":
    main()
