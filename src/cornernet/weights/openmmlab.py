"""Checkpoints of OpenMMLab's CornerNet (mmdetection 2.x and 3.x): every key renamed, none guessed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cornernet.config import Decoding, Preprocessing
from cornernet.weights.renaming import BRANCH_RULE, HOURGLASS_RULES, Renaming

PREPROCESSING = Preprocessing()
DECODING = Decoding()
RENAMING = Renaming(
    [
        (r"^backbone\.stem\.1\.0\.", "backbone.stem.1."),
        (r"^backbone\.hourglass_modules\.", "backbone.hourglasses."),
        (r"^backbone\.out_convs\.", "backbone.to_feature."),
        (r"^backbone\.conv1x1s\.", "backbone.from_input."),
        (r"^backbone\.remap_convs\.", "backbone.from_feature."),
        (r"^backbone\.inters\.", "backbone.between."),
        *HOURGLASS_RULES,
        (r"\.downsample\.0\.", ".shortcut.conv."),
        (r"\.downsample\.1\.", ".shortcut.bn."),
        (r"^bbox_head\.(tl|br)_pool\.(\d+)\.", r"heads.\2.\1."),
        (r"\.direction1_conv\.", ".vertical."),
        (r"\.direction2_conv\.", ".horizontal."),
        (r"\.aftpool_conv\.", ".merge."),
        (r"^(heads\.\d+\.(?:tl|br))\.conv1\.", r"\1.shortcut."),
        (r"^(heads\.\d+\.(?:tl|br))\.conv2\.", r"\1.out."),
        (r"^bbox_head\.(tl|br)_heat\.(\d+)\.", r"heads.\2.\1_heatmap."),
        (r"^bbox_head\.(tl|br)_off\.(\d+)\.", r"heads.\2.\1_offset."),
        (r"^bbox_head\.(tl|br)_emb\.(\d+)\.", r"heads.\2.pairing.\1."),
        BRANCH_RULE,
        (r"^(heads\.\d+\.(?:(?:tl|br)_\w+|pairing\.\w+))\.1\.conv\.", r"\1.out."),
    ]
)


def class_names(checkpoint: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The class names in the checkpoint's ``meta``: ``CLASSES`` (2.x), ``dataset_meta`` (3.x); or ``None``."""
    meta = checkpoint.get("meta")
    if not isinstance(meta, Mapping):
        return None
    newer = meta.get("dataset_meta")
    newer = newer if isinstance(newer, Mapping) else {}
    for names in (meta.get("CLASSES"), newer.get("classes"), newer.get("CLASSES")):
        if isinstance(names, str):  # one class, written without the comma of a tuple
            return (names,)
        if isinstance(names, (list, tuple)) and names and all(isinstance(name, str) for name in names):
            return tuple(names)
    return None
