"""mmdetection's CornerNet for ``gpu_worker.py``: its own network and configuration, with our sizes.

To its advantage: channels-last, the faster layout; images padded beforehand; almost no work for soft-NMS, as the
network is not trained (ours gets the work of a trained one); without mmcv's compiled operators, a soft-NMS
that only sorts. Half precision is autocast, which is mmdetection's way.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from gpu import Job, scale_of, variant_of
from gpu_shared import Road, autocast, compile_options, draw_objects
from torch import Tensor

from cornernet.config import Preprocessing

warnings.filterwarnings("ignore")
CONFIG = "cornernet/cornernet_hourglass104_8xb6-210e-mstest_coco.py"


class StandIn:
    """For mmcv's compiled operators: every name is there, only soft-NMS can be called; it sorts and lowers no score."""

    __name__, __spec__, __path__ = "mmcv._ext", None, ()  # what importing looks at

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def absent(*_: Any, **__: Any) -> None:
            raise NotImplementedError(f"mmcv's compiled operator {name} is not here")

        return absent

    @staticmethod
    def softnms(boxes: Tensor, scores: Tensor, dets: Tensor, **_: Any) -> Tensor:
        """Fills ``dets`` (N, 5) with boxes and scores, best first; returns their order."""
        order = scores.argsort(descending=True)
        dets[:, :4], dets[:, 4] = boxes[order], scores[order]
        return order


def soft_nms_used() -> str:
    """Which soft-NMS the network calls."""
    return "stand-in that sorts" if isinstance(sys.modules["mmcv._ext"], StandIn) else "mmcv"


def build(job: Job) -> Any:
    """The network by mmdetection's configuration with our sizes."""
    import mmcv  # type: ignore[import-not-found]

    try:
        import mmcv._ext  # type: ignore[import-not-found]
    except ImportError:
        sys.modules["mmcv._ext"] = mmcv._ext = StandIn()  # type: ignore[assignment]
    import mmdet  # type: ignore[import-not-found]
    import mmdet.models  # type: ignore[import-not-found]
    from mmdet.registry import MODELS  # type: ignore[import-not-found]
    from mmengine.config import Config  # type: ignore[import-not-found]
    from mmengine.registry import init_default_scope  # type: ignore[import-not-found]

    init_default_scope("mmdet")
    scale, variant = scale_of(job), variant_of(job)
    sizes, config = scale.architecture, Config.fromfile(Path(mmdet.__file__).parent / ".mim/configs" / CONFIG).model
    config.backbone.update(
        downsample_times=sizes.depth,
        num_stacks=sizes.num_stacks,
        stage_channels=list(sizes.channels),
        stage_blocks=list(sizes.blocks),
        feat_channel=sizes.feature_channels,
    )
    config.bbox_head.update(
        num_classes=scale.classes, in_channels=sizes.feature_channels, num_feat_levels=sizes.num_stacks
    )
    model = MODELS.build(config)
    model.init_weights()
    model.to(job["device"]).to(memory_format=torch.channels_last)
    if variant.compiled:
        model.backbone.compile(**compile_options(variant, scale))
        model.bbox_head.compile(**compile_options(variant, scale))
    return model


def samples(job: Job, count: int, size: tuple[int, int]) -> list[Any]:
    """mmdetection's description of ``count`` images of ``size`` (height, width) and their objects."""
    from mmdet.structures import DetDataSample  # type: ignore[import-not-found]
    from mmengine.structures import InstanceData  # type: ignore[import-not-found]

    boxes, labels, _ = draw_objects(job, count)
    found = []
    for i in range(count):
        sample = DetDataSample(metainfo={"img_shape": size, "ori_shape": size, "batch_input_shape": size})
        sample.gt_instances = InstanceData(bboxes=boxes[i], labels=labels[i])
        found.append(sample)
    return found


def peer_road(job: Job) -> Road:
    """Pixels to boxes."""
    scale, variant, device = scale_of(job), variant_of(job), job["device"]
    model = build(job).eval()
    model.bbox_head.register_forward_hook(  # decoding takes contiguous maps only
        lambda _, __, outputs: tuple([m.float().contiguous() for m in maps] for maps in outputs)
    )
    size = Preprocessing(pad_mask=scale.pad_mask).padded_size(*scale.image)
    pixels, described = torch.randint(0, 256, (3, *size), dtype=torch.uint8), samples(job, 1, size)

    def road() -> Iterator[str]:
        data = model.data_preprocessor({"inputs": [pixels], "data_samples": described}, False)
        images = data["inputs"].contiguous(memory_format=torch.channels_last)
        yield "input"
        with autocast(variant, device):
            found = model.predict(images, data["data_samples"], rescale=False)
        found[0].pred_instances.to("cpu")
        yield "network to boxes"

    return road


def peer_loss(job: Job) -> tuple[Any, Callable[[], Tensor]]:
    """The network and the loss of one batch of uint8 crops."""
    scale = scale_of(job)
    model, size = build(job).train(), (scale.crop, scale.crop)
    crops = list(torch.randint(0, 256, (scale.batch, 3, *size), dtype=torch.uint8, device=job["device"]))
    described = samples(job, scale.batch, size)

    def loss() -> Tensor:
        data = model.data_preprocessor({"inputs": crops, "data_samples": described}, True)
        images = data["inputs"].contiguous(memory_format=torch.channels_last)
        return model.parse_losses(model.loss(images, data["data_samples"]))[0]

    return model, loss


def peer_targets(job: Job, boxes: Tensor, labels: Tensor, cells: tuple[int, int]) -> Callable[[], object]:
    """A function that makes the targets of a batch for maps of ``cells`` (rows, columns)."""
    scale, head = scale_of(job), build(job).bbox_head
    shape, crop = [len(boxes), scale.classes, *cells], [scale.crop, scale.crop, 3]
    return lambda: head.get_targets(list(boxes), list(labels), shape, crop, with_corner_emb=True)
