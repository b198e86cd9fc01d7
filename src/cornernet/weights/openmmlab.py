"""State dicts of OpenMMLab's CornerNet: every key renamed, none guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from cornernet.errors import InputError
from cornernet.structures import Architecture

# in this order, each on the result of the one before
_RULES = [
    (r"^module\.", ""),
    (r"^backbone\.stem\.1\.0\.", "backbone.stem.1."),
    (r"^backbone\.hourglass_modules\.", "backbone.hourglasses."),
    (r"^backbone\.out_convs\.", "backbone.to_feature."),
    (r"^backbone\.conv1x1s\.", "backbone.from_input."),
    (r"^backbone\.remap_convs\.", "backbone.from_feature."),
    (r"^backbone\.inters\.", "backbone.between."),
    (r"\.up1(?=\.)", ".side"),
    (r"\.low1(?=\.)", ".down"),
    (r"\.low3(?=\.)", ".up"),
    (r"\.low2(?=\.)", ".inner"),
    (r"^(backbone\..*)\.(conv[12])\.(weight)$", r"\1.\2.conv.\3"),
    (r"^(backbone\..*)\.bn([12])\.(\w+)$", r"\1.conv\2.bn.\3"),
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
    (r"^(heads\.\d+\.(?:(?:tl|br)_\w+|pairing\.\w+))\.0\.conv\.", r"\1.conv."),
    (r"^(heads\.\d+\.(?:(?:tl|br)_\w+|pairing\.\w+))\.1\.conv\.", r"\1.out."),
]
_COMPILED = [(re.compile(pattern), replacement) for pattern, replacement in _RULES]


def rename_key(key: str) -> str:
    """An OpenMMLab key as this project spells it."""
    for pattern, replacement in _COMPILED:
        key = pattern.sub(replacement, key)
    return key


def convert_state_dict(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """OpenMMLab's state dict, renamed; raises ``InputError`` where two keys become one."""
    converted = {rename_key(key): value for key, value in state.items()}
    if len(converted) != len(state):
        raise InputError("state dict: two keys have the same meaning; is it two networks in one file?")
    return converted


def infer_architecture(state: Mapping[str, Tensor]) -> tuple[Architecture, int]:
    """Architecture and number of classes, read off the shapes of a converted state dict."""

    def count(prefix: str) -> int:
        pattern = re.compile(re.escape(prefix) + r"(\d+)\.")
        return len({match[1] for key in state if (match := pattern.match(key))})

    try:
        prefix, channels, blocks = "backbone.hourglasses.0.", [], []
        while f"{prefix}side.0.conv1.conv.weight" in state:
            channels.append(state[f"{prefix}side.0.conv1.conv.weight"].shape[0])
            blocks.append(count(f"{prefix}side."))
            prefix += "inner."
        channels.append(state[f"{prefix}0.conv1.conv.weight"].shape[0])
        blocks.append(count(prefix))
        architecture = Architecture(
            num_stacks=count("backbone.hourglasses."),
            channels=tuple(channels),
            blocks=tuple(blocks),
            feature_channels=state["backbone.to_feature.0.conv.weight"].shape[0],
            corner_channels=state["heads.0.tl.vertical.conv.weight"].shape[0],
            branch_channels=state["heads.0.tl_heatmap.conv.weight"].shape[0],
        )
        return architecture, state["heads.0.tl_heatmap.out.weight"].shape[0]
    except KeyError as missing:
        raise InputError(f"state dict: no {missing}; not the weights of a CornerNet with hourglasses") from None
