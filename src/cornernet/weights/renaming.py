"""For both foreign dialects: rename keys by rules, and find the architecture from the shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from cornernet.config import Architecture, HourglassConfig, SqueezeConfig
from cornernet.errors import InputError

Rules = Sequence[tuple[str, str]]

# both dialects have the same names for hourglass levels and residual blocks; the rules are applied in this order
HOURGLASS_RULES: Rules = [
    (r"\.up1(?=\.)", ".side"),
    (r"\.low1(?=\.)", ".down"),
    (r"\.low3(?=\.)", ".up"),
    (r"\.low2(?=\.)", ".inner"),
    (r"^(backbone\..*)\.(conv[12])\.(weight)$", r"\1.\2.conv.\3"),
    (r"^(backbone\..*)\.bn([12])\.(\w+)$", r"\1.conv\2.bn.\3"),
]
BRANCH_RULE = (r"^(heads\.\d+\.(?:(?:tl|br)_\w+|pairing\.\w+))\.0\.conv\.", r"\1.conv.")  # after the heads are renamed


class Renaming:
    """Keys of one dialect to ours, by regular expressions applied one after another."""

    def __init__(self, rules: Rules) -> None:
        self.rules = [(re.compile(pattern), replacement) for pattern, replacement in rules]

    def key(self, key: str) -> str:
        """One key as this project spells it."""
        for pattern, replacement in self.rules:
            key = pattern.sub(replacement, key)
        return key

    def state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A whole state dict, renamed; raises ``InputError`` where two keys become one."""
        converted = {self.key(key): value for key, value in state.items()}
        if len(converted) != len(state):
            raise InputError("two keys have the same meaning", "state dict", "is it two networks in one file?")
        return converted


def infer_architecture(state: Mapping[str, Tensor]) -> tuple[Architecture, int]:
    """Architecture and number of classes, from the shapes of a converted state dict."""

    def count(prefix: str) -> int:
        pattern = re.compile(re.escape(prefix) + r"(\d+)\.")
        return len({match[1] for key in state if (match := pattern.match(key))})

    squeeze = any(".squeeze." in key for key in state)
    last = "bn.weight" if squeeze else "conv2.bn.weight"
    try:
        prefix, channels, blocks = "backbone.hourglasses.0.", [], []
        while f"{prefix}side.0.{last}" in state:
            channels.append(state[f"{prefix}side.0.{last}"].shape[0])
            blocks.append(count(f"{prefix}side."))
            prefix += "inner."
        channels.append(state[f"{prefix}0.{last}"].shape[0])
        blocks.append(count(prefix))
        branch = state["heads.0.tl_heatmap.conv.weight"].shape
        backbone = (SqueezeConfig if squeeze else HourglassConfig)(
            num_stacks=count("backbone.hourglasses."),
            channels=tuple(channels),
            blocks=tuple(blocks),
            feature_channels=state["backbone.to_feature.0.conv.weight"].shape[0],
        )
        architecture = Architecture(
            backbone,
            corner_channels=state["heads.0.tl.vertical.conv.weight"].shape[0],
            branch_channels=branch[0],
            branch_kernel=branch[-1],  # type: ignore[arg-type] - checked by Architecture
        )
        return architecture, state["heads.0.tl_heatmap.out.weight"].shape[0]
    except KeyError as missing:
        raise InputError(f"no {missing}", "state dict", "not the weights of a CornerNet with hourglasses") from None
    except ValueError as error:
        raise InputError(f"not the shapes of a CornerNet ({error})", "state dict") from None
