"""Checkpoints of the authors' code: CornerNet in its spellings of 2018 and 2019, and CornerNet-Squeeze."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from cornernet.config import Architecture, Decoding, Preprocessing, SqueezeConfig
from cornernet.weights.renaming import BRANCH_RULE, HOURGLASS_RULES, Renaming

PREPROCESSING = Preprocessing(
    "BGR",
    (0.40789654 * 255, 0.44719302 * 255, 0.47026115 * 255),
    (0.28863828 * 255, 0.27408164 * 255, 0.27809835 * 255),
    "black",
)
_FIRE_RULES = [  # first: a fire module has the names of a residual block with other meanings
    (r"^hg\.(hgs\..*)\.conv1\.weight$", r"hg.\1.squeeze.conv.weight"),
    (r"^hg\.(hgs\..*)\.bn1\.(\w+)$", r"hg.\1.squeeze.bn.\2"),
    (r"^hg\.(hgs\..*)\.conv_1x1\.", r"hg.\1.expand1."),
    (r"^hg\.(hgs\..*)\.conv_3x3\.", r"hg.\1.expand3."),
    (r"^hg\.(hgs\..*)\.bn2\.(\w+)$", r"hg.\1.bn.\2"),
    (r"\.up2\.", ".upsample."),
]
_RULES = [
    (r"^hg\.", ""),
    (r"^pre\.", "backbone.stem."),
    (r"^(?:hgs|kps)\.", "backbone.hourglasses."),
    (r"^cnvs\.", "backbone.to_feature."),
    (r"^inters\.", "backbone.between."),
    (r"^inters_\.", "backbone.from_input."),
    (r"^cnvs_\.", "backbone.from_feature."),
    (r"^(backbone\.from_\w+\.\d+)\.0\.", r"\1.conv."),
    (r"^(backbone\.from_\w+\.\d+)\.1\.", r"\1.bn."),
    *HOURGLASS_RULES,
    (r"\.skip\.0\.", ".shortcut.conv."),
    (r"\.skip\.1\.", ".shortcut.bn."),
    (r"^(tl|br)_(?:modules|cnvs)\.(\d+)\.", r"heads.\2.\1."),
    (r"\.p1_conv1\.", ".vertical."),
    (r"\.p2_conv1\.", ".horizontal."),
    (r"\.p_conv1\.", ".merge.conv."),
    (r"\.p_bn1\.", ".merge.bn."),
    (r"^(heads\.\d+\.(?:tl|br))\.conv1\.", r"\1.shortcut.conv."),
    (r"^(heads\.\d+\.(?:tl|br))\.bn1\.", r"\1.shortcut.bn."),
    (r"^(heads\.\d+\.(?:tl|br))\.conv2\.", r"\1.out."),
    (r"^(tl|br)_heats\.(\d+)\.", r"heads.\2.\1_heatmap."),
    (r"^(tl|br)_(?:offs|regrs)\.(\d+)\.", r"heads.\2.\1_offset."),
    (r"^(tl|br)_tags\.(\d+)\.", r"heads.\2.pairing.\1."),
    BRANCH_RULE,
    (r"^(heads\.\d+\.(?:(?:tl|br)_\w+|pairing\.\w+))\.1\.", r"\1.out."),
]
_PLAIN, _SQUEEZE = Renaming(_RULES), Renaming([*_FIRE_RULES, *_RULES])


def renaming(state: Mapping[str, Tensor]) -> Renaming:
    """The rules for a state dict with or without fire modules."""
    return _SQUEEZE if any(".conv_1x1." in key for key in state) else _PLAIN


def decoding(architecture: Architecture) -> Decoding:
    """The authors' decoding; CornerNet-Squeeze uses fewer corners."""
    decoding = Decoding(clip=True, plus_one=True)
    is_squeeze = isinstance(architecture.backbone, SqueezeConfig)
    return replace(decoding, num_corners=20, num_candidates=100) if is_squeeze else decoding
