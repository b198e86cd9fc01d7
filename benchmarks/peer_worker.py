"""One measurement of mmdetection's CornerNet, in a process of its own; started by ``peer.py`` with the peer's python.

The network and the training are mmdetection's own CornerNet configuration with the recipe's sizes. Prints one
JSON line: seconds of every timed step, peak memory, number of parameters in use.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

warnings.filterwarnings("ignore")

import cv2  # noqa: E402
import mmdet  # noqa: E402
import torch  # noqa: E402
from mmcv.transforms import Compose  # noqa: E402
from mmdet.registry import MODELS  # noqa: E402
from mmdet.utils import register_all_modules  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.dataset import pseudo_collate  # noqa: E402
from mmengine.optim import build_optim_wrapper  # noqa: E402
from mmengine.runner import Runner  # noqa: E402

CONFIG = "cornernet/cornernet_hourglass104_8xb6-210e-mstest_coco.py"


def peer_config(job: dict[str, Any]) -> Config:
    """mmdetection's CornerNet configuration, with the sizes of ``job["sizes"]``."""
    sizes, config = job["sizes"], Config.fromfile(Path(mmdet.__file__).parent / ".mim/configs" / CONFIG)
    config.model.backbone.update(
        downsample_times=len(sizes["channels"]) - 1,
        num_stacks=sizes["num_stacks"],
        stage_channels=sizes["channels"],
        stage_blocks=sizes["blocks"],
        feat_channel=sizes["feature_channels"],
    )
    config.model.bbox_head.update(
        num_classes=len(job["class_names"]),
        in_channels=sizes["feature_channels"],
        num_feat_levels=sizes["num_stacks"],
    )
    crop = (sizes["crop_size"], sizes["crop_size"])
    for step in config.train_pipeline:
        if step["type"] == "RandomCenterCropPad":
            step.update(crop_size=crop, ratios=tuple(sizes["scales"]))
        elif step["type"] == "Resize":
            step["scale"] = crop
    loader = config.train_dataloader
    loader.update(batch_size=sizes["batch_size"], num_workers=0, persistent_workers=False, drop_last=True)
    loader.dataset.update(
        data_root=job["data"],
        ann_file="annotations/instances_train.json",
        data_prefix={"img": "train/"},
        metainfo={"classes": tuple(job["class_names"])},
        pipeline=config.train_pipeline,
    )
    config.optim_wrapper.optimizer.lr = sizes["lr"]
    config.optim_wrapper.clip_grad.max_norm = sizes["gradient_clip"]
    return config


def time_training(job: dict[str, Any], config: Config, model: Any) -> list[float]:
    """Seconds of each step, fetching the batch inside; no hooks, log or schedule, to the peer's advantage."""
    wrapper = build_optim_wrapper(model.train(), config.optim_wrapper)
    loader = Runner.build_dataloader(config.train_dataloader, seed=0)

    def batches() -> Iterator[Any]:
        while True:
            yield from loader

    seconds, source = [], batches()
    for _ in range(job["warmup"] + job["iterations"]):
        start = time.perf_counter()
        model.train_step(next(source), wrapper)
        seconds.append(time.perf_counter() - start)
    return seconds


@torch.inference_mode()
def time_inference(job: dict[str, Any], config: Config, model: Any) -> list[float]:
    """Seconds from an image's pixels to its boxes; padded to the same size as cornernet's input."""
    steps = [dict(step) for step in config.test_pipeline if step["type"] in ("RandomCenterCropPad", "PackDetInputs")]
    steps[0]["test_pad_mode"] = ["logical_or", job["sizes"]["pad_mask"]]
    pipeline = Compose([{"type": "LoadImageFromNDArray", "to_float32": True}, *steps])
    model.eval()
    pixels, seconds = cv2.imread(job["image"]), []
    if job["side"]:
        pixels = cv2.resize(pixels, (job["side"], job["side"]))
    for _ in range(job["warmup"] + job["iterations"]):
        start = time.perf_counter()
        model.test_step(pseudo_collate([pipeline({"img": pixels, "img_id": 0})]))
        seconds.append(time.perf_counter() - start)
    return seconds


def use_channels_last(model: Any, decoding: bool) -> None:
    """Weights and activations channels-last; ``decoding`` maps with ``view`` needs them contiguous again."""
    model.to(memory_format=torch.channels_last)
    model.backbone.register_forward_pre_hook(lambda _, x: (x[0].contiguous(memory_format=torch.channels_last),))
    if decoding:
        model.bbox_head.register_forward_hook(
            lambda _, x, outputs: tuple([m.contiguous() for m in maps] for maps in outputs)
        )


def count_parameters(model: Any) -> int:
    """Parameters that the forward pass uses: with one stack, mmdetection makes an unused block for the next stack."""
    unused = "backbone.inters." if len(model.backbone.hourglass_modules) == 1 else None
    return sum(p.numel() for name, p in model.named_parameters() if not (unused and name.startswith(unused)))


def main() -> None:
    """Run the job in the first argument."""
    job = json.loads(sys.argv[1])
    torch.set_num_threads(job["threads"])
    cv2.setNumThreads(job["threads"])
    torch.manual_seed(0)
    register_all_modules()
    config = peer_config(job)
    model = MODELS.build(config.model)
    if job["task"] == "train":
        model.init_weights()  # a minute for the largest network, and nothing to the time of an image
    if job["variant"] == "channels_last":
        use_channels_last(model, decoding=job["task"] == "infer")
    seconds = {"train": time_training, "infer": time_inference}[job["task"]](job, config, model)
    answer = {
        "seconds": seconds[job["warmup"] :],
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,  # Linux counts in KiB
        "parameters": count_parameters(model),
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
