"""Everything that recipes and weights files can set, as typed fields, and the named sizes of the network."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar, Literal, Self

from cornernet.errors import InputError

# the parts of the loss: our names, and those in OpenMMLab's logs
OPENMMLAB_LOSSES = {"heatmap": "det_loss", "offset": "off_loss", "pull": "pull_loss", "push": "push_loss"}

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Preprocessing:
    """How pixels become the network's input; every weights file carries its own (they differ).

    ``mean`` and ``std`` are in units of 0..255 and in the order of ``color_order``. An image is padded, never
    resized: to ``height | pad_mask`` by ``width | pad_mask`` (480x640 with 127 becomes 511x767), image in the middle.
    With a ``pad_multiple`` it is to the next multiples of that instead, so that a cell of the heatmaps is exactly as
    many pixels at test as in training, which the classic rule misses by a part in 200.
    ``padding`` says with what: ``"mean"`` is 0 after normalising, ``"black"`` is 0 before it. Where there is a
    ``max_size``, images with a longer side are scaled down to that many pixels first, in training as at test, and the
    boxes found are scaled back.
    """

    color_order: Literal["RGB", "BGR"] = "RGB"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    padding: Literal["mean", "black"] = "mean"
    pad_mask: int = 127
    pad_multiple: int | None = None
    max_size: int | None = None

    def __post_init__(self) -> None:
        if self.color_order not in ("RGB", "BGR"):
            raise ValueError(f"color_order must be RGB or BGR, not {self.color_order!r}")
        if self.padding not in ("mean", "black"):
            raise ValueError(f"padding must be 'mean' or 'black', not {self.padding!r}")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError("mean and std need three values each, std above 0")
        if self.pad_mask < 0 or self.pad_mask & (self.pad_mask + 1):
            raise ValueError(f"pad_mask must be a power of two less one, not {self.pad_mask}")
        if self.pad_multiple is not None and self.pad_multiple < 1:
            raise ValueError(f"pad_multiple must be at least 1 pixel, not {self.pad_multiple}")
        if self.max_size is not None and self.max_size < 1:
            raise ValueError(f"max_size must be at least 1 pixel, not {self.max_size}")

    @property
    def fill_rgb(self) -> tuple[float, float, float]:
        """The colour that padding stands for, as R, G, B in 0..255."""
        if self.padding == "black":
            return 0.0, 0.0, 0.0
        first, second, third = self.mean
        return (first, second, third) if self.color_order == "RGB" else (third, second, first)

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the network's input for an image, in pixels."""
        return self._padded(height), self._padded(width)

    def _padded(self, length: int) -> int:
        """In sums and quotients alone, which exporters know; ``length | pad_mask`` they do not."""
        if self.pad_multiple is None:
            return length // (self.pad_mask + 1) * (self.pad_mask + 1) + self.pad_mask
        return (length + self.pad_multiple - 1) // self.pad_multiple * self.pad_multiple

    def offset_of(self, height: int, width: int) -> tuple[int, int]:
        """Where the image's top left pixel lies inside the padded input: (top, left), in pixels."""
        padded_height, padded_width = self.padded_size(height, width)
        return (padded_height // 2 - height // 2, padded_width // 2 - width // 2)


@dataclass(frozen=True)
class Decoding:
    """How maps become boxes; every weights file carries its own (they differ). Defaults: paper, section 4.2.

    The best ``num_corners`` of each kind are paired where their embeddings differ by at most ``max_distance`` (or, in a
    network that pairs by size, the logarithms of the sizes that they say and have, on average); the
    best ``num_candidates`` pairs go on to soft-NMS. A pair's score is the ``"mean"`` of its corners' or their
    ``"harmonic"`` mean, which is low where either is (``pair_score``). The authors' code clips candidates to the image
    before soft-NMS (``clip``) and counts overlaps in boxes one pixel wider and higher (``plus_one``). At most
    ``num_boxes`` are kept: COCO's 100, or as many as there are corners where that is more.
    """

    num_corners: int = 100
    num_candidates: int = 1000
    max_distance: float = 0.5
    pair_score: Literal["mean", "harmonic"] = "mean"
    clip: bool = False
    plus_one: bool = False

    def __post_init__(self) -> None:
        if self.num_corners < 1 or self.num_candidates < 1 or self.max_distance < 0:
            raise ValueError(f"decoding needs at least one corner and candidate and no negative distance: {self}")
        if self.pair_score not in ("mean", "harmonic"):
            raise ValueError(f"pair_score is mean or harmonic, not {self.pair_score}")

    @property
    def num_boxes(self) -> int:
        """How many boxes soft-NMS keeps at most, of an image or a tile."""
        return max(100, self.num_corners)

    def score_of(self, tl: Any, br: Any) -> Any:
        """A pair's score from those of its top-left and its bottom-right corner: numbers, arrays or tensors."""
        return (tl + br) / 2 if self.pair_score == "mean" else 2 * tl * br / (tl + br + 1e-12)


@dataclass(frozen=True)
class LossSettings:
    """What each part of the loss counts in the sum that is minimised; the defaults are the paper's (section 4.1).

    ``heatmap`` and ``offset`` are weights. ``pull``, ``push`` and ``size`` are weights of the losses of a pairing rule
    (``PairingConfig.losses``); ``None`` is the rule's own weight. ``others`` has weights of other losses by name.

    ``normalize`` is what the parts are divided by. ``"device"``, the classic way: by the corners in each device's own
    batch, while pull and push are summed over its images, so that they depend on how images are spread over devices.
    ``"world"``: by the corners, and for pull and push by the images, of all devices together.
    ``penalty_reduction`` is how far around a corner the heatmap's penalty is lowered: as far as the object's size
    allows (``"object"``), 2.5 cells (``"fixed"``), or nowhere (``"none"``). The last two are the paper's comparison
    (section 4.4.3).
    ``supervision_radius`` is how many cells away from a corner offsets and pairing values are learnt too. 0 is the
    paper's. With 1, a peak that is one cell off still predicts where the corner is and what it belongs to.
    """

    heatmap: float = 1.0
    offset: float = 1.0
    pull: float | None = None
    push: float | None = None
    size: float | None = None
    others: dict[str, float] = field(default_factory=dict)
    supervision_radius: int = 0
    normalize: Literal["device", "world"] = "device"
    penalty_reduction: Literal["object", "fixed", "none"] = "object"

    def __post_init__(self) -> None:
        if self.normalize not in ("device", "world"):
            raise ValueError(f"normalize must be device or world, not {self.normalize!r}")
        if self.penalty_reduction not in ("object", "fixed", "none"):
            raise ValueError(f"penalty_reduction must be object, fixed or none, not {self.penalty_reduction!r}")
        if min(self.heatmap, self.offset, *self.pairing_weights.values(), self.supervision_radius) < 0:
            raise ValueError("loss weights and supervision_radius must be 0 or more")

    @property
    def pairing_weights(self) -> dict[str, float]:
        """The weights of a pairing rule's losses that are given, by the loss's name."""
        own = {"pull": self.pull, "push": self.push, "size": self.size}
        return {name: weight for name, weight in own.items() if weight is not None} | self.others


class Kind:
    """Settings that come in several kinds: one base class, and a subclass with a ``name`` for each kind.

    ``class Base(Kind, package="...")`` begins a family, ``class One(Base, name="one")`` adds a kind to it. A kind that
    is not known yet is looked for in the module ``package.NAME``: so a new kind is one new file.
    """

    name: ClassVar[str]
    package: ClassVar[str]
    kinds: ClassVar[dict[str, type[Any]]]
    module: ClassVar[type[Any]]
    """The network's part that these settings are for; it enters itself here."""

    def __init_subclass__(cls, *, name: str | None = None, package: str | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        if package is not None:
            cls.package, cls.kinds = package, {}
        if name is not None:
            cls.name = name
            cls.kinds[name] = cls

    @classmethod
    def kind(cls, name: str) -> type[Self]:
        """The kind of that name. Raises ``InputError`` with the known names where there is none."""
        if name not in cls.kinds and name.isidentifier():
            module = f"{cls.package}.{name}"
            try:
                import_module(module)
            except ModuleNotFoundError as error:
                if error.name != module:
                    raise
        if name not in cls.kinds:
            family = cls.package.rpartition(".")[2]
            raise InputError(f"{name!r} is none of the {family}", fix=f"choose from {', '.join(cls.kinds)}")
        return cls.kinds[name]

    def make(self, *arguments: Any) -> Any:
        """The part of the network that these settings describe."""
        own = type(self)
        if "module" not in vars(own):
            import_module(f"{own.package}.{own.name}")
        return own.module(self, *arguments)


@dataclass(frozen=True)
class BackboneConfig(Kind, package="cornernet.model.backbones"):
    """Settings of a backbone. A kind of backbone derives its own, and names its ``stride``."""

    stride: ClassVar[int]
    """Pixels of the input for each cell of the maps, down and across."""
    normalization: ClassVar[dict[str, Any]] = {"color_order": "RGB", "mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    """The fields of ``Preprocessing`` that the backbone was trained with: a recipe has them unless it gives its own."""

    @property
    def size_multiple(self) -> int:
        """What inputs are padded to multiples of, in pixels, so that every level of the network halves evenly."""
        return self.stride

    @property
    def smallest_input(self) -> int:
        """The shortest side of a training image, in pixels."""
        return self.size_multiple


@dataclass(frozen=True)
class HourglassConfig(BackboneConfig, name="hourglass"):
    """Stacked hourglasses (paper, section 3.5); the defaults are HourglassNet-104.

    ``channels`` (depth + 1 of them) and ``blocks`` (likewise) go from the outermost level of an hourglass to the
    innermost. ``feature_channels`` is the width of the maps that the heads get.
    """

    stride: ClassVar[int] = 4

    num_stacks: int = 2
    channels: tuple[int, ...] = (256, 256, 384, 384, 384, 512)
    blocks: tuple[int, ...] = (2, 2, 2, 2, 2, 4)
    feature_channels: int = 256

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        object.__setattr__(self, "blocks", tuple(self.blocks))
        if len(self.channels) != len(self.blocks) or len(self.channels) < 2:
            raise ValueError(
                f"channels and blocks need one entry per level, at least two levels: {self.channels} and {self.blocks}"
            )
        if min(*self.channels, *self.blocks, self.num_stacks, self.feature_channels) < 1 or self.channels[0] % 2:
            raise ValueError(f"every number must be at least 1 and the first channel count even: {self}")

    @property
    def depth(self) -> int:
        """Levels of an hourglass: how often it halves its input."""
        return len(self.channels) - 1

    @property
    def size_multiple(self) -> int:
        """One cell of the innermost level, in pixels: 128 for HourglassNet-104."""
        return self.stride << self.depth

    @property
    def smallest_input(self) -> int:
        """More than one innermost cell: of a single value, batch normalisation has no variance."""
        return self.size_multiple + 1


@dataclass(frozen=True)
class SqueezeConfig(HourglassConfig, name="squeeze"):
    """CornerNet-Squeeze (Law et al., CornerNet-Lite, 2019): fire modules, stride 8."""

    stride: ClassVar[int] = 8

    channels: tuple[int, ...] = (256, 256, 384, 384, 512)
    blocks: tuple[int, ...] = (2, 2, 2, 2, 4)


@dataclass(frozen=True)
class PairingConfig(Kind, package="cornernet.model.pairing"):
    """Settings of a pairing rule: what decides that two corners belong to one object."""

    losses: ClassVar[dict[str, float]]
    """The names of the rule's losses, and their weights where a recipe gives none."""


@dataclass(frozen=True)
class EmbeddingConfig(PairingConfig, name="embedding"):
    """The paper's rule (section 3.3): the corners of one object have nearly the same number, their embedding."""

    losses: ClassVar[dict[str, float]] = {"pull": 0.1, "push": 0.1}


@dataclass(frozen=True)
class SizeConfig(PairingConfig, name="size"):
    """Each corner predicts the width and height of its object, and the other corner must lie there."""

    losses: ClassVar[dict[str, float]] = {"size": 1.0}


@dataclass(frozen=True)
class Architecture:
    """The network in numbers: everything needed to build it. Every weights file carries it.

    The defaults are the paper's network (section 3.5). ``corner_channels`` is the width inside a corner module's
    pooling paths, ``branch_channels`` that of the output branches' hidden layer, and ``branch_kernel`` the size of its
    convolution. Without ``corner_pooling`` the layers around it stay and nothing is pooled: the paper's comparison
    (section 4.4.1). ``pool_window`` is how many cells a corner pool covers at most. The paper's pools reach the image's
    edge (``None``); a network trained on crops then meets larger maxima in whole images than it ever saw.
    """

    backbone: BackboneConfig = HourglassConfig()
    pairing: PairingConfig = EmbeddingConfig()
    corner_channels: int = 128
    branch_channels: int = 256
    branch_kernel: Literal[1, 3] = 3
    corner_pooling: bool = True
    pool_window: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.backbone, BackboneConfig) or not isinstance(self.pairing, PairingConfig):
            raise ValueError(f"backbone and pairing must be settings, such as HourglassConfig(): {self}")
        if self.branch_kernel not in (1, 3):
            raise ValueError(f"branch_kernel must be 1 or 3, not {self.branch_kernel}")
        if self.pool_window is not None and self.pool_window < 1:
            raise ValueError(f"pool_window must be at least 1 cell, not {self.pool_window}")
        if min(self.corner_channels, self.branch_channels) < 1:
            raise ValueError(f"every number of channels must be at least 1: {self}")


@dataclass
class Augmentation:
    """What happens to a training image before the network sees it (reference: paper, section 4.1)."""

    crop_size: int = 511
    """Side of the square that the network is trained on, in pixels."""
    scales: tuple[float, ...] = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3)
    """One is drawn for each image: the crop covers crop_size times this, then is resized. Empty: no crop, the whole
    image in the middle of the square."""
    border: int = 128
    """A crop's centre lies at least this far from the image's edge, in pixels; halved until it fits."""
    flip: float = 0.5
    """Probability of mirroring left and right."""
    at_objects: bool = False
    """Whether a crop's place is drawn such that one of the objects, drawn first, lies wholly inside if it fits: more
    objects seen in as many images."""
    color_jitter: bool = True
    """Brightness, contrast, saturation, hue and channel order, each with probability one half."""


@dataclass
class Optimization:
    """How weights move."""

    optimizer: Literal["adam", "muon"] = "adam"
    """The paper's, or Muon for the convolutions and Adam for the rest: learns more from each step, takes the same
    rate."""
    lr: float = 5e-4
    """Learning rate at base_batch_size images a step; scaled linearly to the batch in use."""
    base_batch_size: int = 48
    """The batch that lr is meant for."""
    backbone_lr: float = 1.0
    """The backbone's learning rate, as a share of lr."""
    warmup_iterations: int = 500
    """The rate rises linearly over this many steps."""
    warmup_factor: float = 1 / 3
    """The share of the rate that warm-up starts from."""
    schedule: Literal["step", "cosine"] = "step"
    """After warm-up: the rate / 10 after each of the milestones, or half a cosine down to a hundredth."""
    milestones: tuple[int, ...] = (180,)
    """Epochs after which the rate falls to a tenth (schedule: step)."""
    gradient_clip: float = 35.0
    """Largest norm of the gradient."""
    ema: float = 0.0
    """Decay of the exponential moving average of the weights that is validated and kept; 0 for none."""
    sync_batchnorm: bool = False
    """Batch normalisation over all devices' images together (GPUs only)."""


@dataclass
class Recipe:
    """A whole training: network, data, optimisation. Command-line flags override single fields."""

    model: Architecture = field(default_factory=Architecture)
    """The network's size."""
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    """Colour order, mean and deviation, padding."""
    decoding: Decoding = field(default_factory=Decoding)
    """How maps become boxes."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    """Crop, flip, colour."""
    loss: LossSettings = field(default_factory=LossSettings)
    """What each part of the loss counts."""
    optimization: Optimization = field(default_factory=Optimization)
    """Rate, schedule, clipping."""
    batch_size: int = 6
    """Images a step on one device."""
    accumulate: int = 1
    """Steps whose gradients are summed before the weights move."""
    epochs: int = 210
    """Passes over the training images."""
    validate_every: int = 10
    """Epochs between validations; the last epoch is always validated."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Arithmetic of the network; the losses are always computed in float32."""
    activation_checkpointing: bool = False
    """Whether to compute activations again for the gradient instead of keeping them: less memory, more time."""
    compile: bool = False
    """Whether torch.compile translates the network first: minutes, then faster steps; needs a C++ compiler."""
    weights: str | None = None
    """What to begin with: a weights file of any dialect, shapes (bundled) or a release's name; none for nothing. What
    fits is taken, same-named classes keep what they know."""
    freeze: Literal["none", "backbone"] = "none"
    """What keeps its weights: with backbone only the corner modules and branches learn."""
    seed: int = 0
    """Decides initial weights, order of images and every crop."""
    workers: int = 2
    """Processes that read and augment images; 0 reads in the training process."""

    def __post_init__(self) -> None:
        if self.weights == "none":
            self.weights = None

    def check(self) -> None:
        """Raises ``InputError`` naming the field that cannot be."""
        smallest = self.model.backbone.smallest_input
        rules = [
            (self.batch_size >= 1, "batch_size", "at least 1"),
            (self.accumulate >= 1, "accumulate", "at least 1"),
            (self.epochs >= 1, "epochs", "at least 1"),
            (self.validate_every >= 1, "validate_every", "at least 1"),
            (self.workers >= 0, "workers", "0 or more"),
            (self.optimization.lr > 0, "optimization.lr", "above 0"),
            (self.optimization.backbone_lr >= 0, "optimization.backbone_lr", "0 or more"),
            (self.optimization.base_batch_size >= 1, "optimization.base_batch_size", "at least 1"),
            (0 <= self.optimization.ema < 1, "optimization.ema", "from 0 to below 1"),
            (self.optimization.gradient_clip > 0, "optimization.gradient_clip", "above 0"),
            (self.augmentation.crop_size >= 32, "augmentation.crop_size", "at least 32"),
            (
                self.augmentation.crop_size >= smallest,
                "augmentation.crop_size",
                f"at least {smallest} pixels for this backbone (model.backbone)",
            ),
            (all(s > 0 for s in self.augmentation.scales), "augmentation.scales", "all above 0"),
            (0 <= self.augmentation.flip <= 1, "augmentation.flip", "a probability"),
            (not (self.compile and self.activation_checkpointing), "compile", "false with activation_checkpointing"),
        ]
        for holds, name, expected in rules:
            if not holds:
                raise InputError(f"must be {expected}", f"recipe: {name}", f"correct it in the recipe or with --{name}")
        for name in self.loss.pairing_weights:
            if name not in self.model.pairing.losses:
                raise InputError(
                    f"has no effect: corners are paired by {self.model.pairing.name}",
                    f"recipe: loss.{name}",
                    f"leave it out; this rule's losses are {', '.join(self.model.pairing.losses)}",
                )


Size = Literal["nano", "small", "base", "hourglass104"]

# GFLOP of one 511x511 image with 10 classes at test: 6, 13, 43, 608
SIZES: dict[Size, Architecture] = {
    "nano": Architecture(
        HourglassConfig(num_stacks=1, channels=(32, 48, 64, 96), blocks=(1, 1, 1, 2), feature_channels=32),
        corner_channels=32,
        branch_channels=32,
    ),
    "small": Architecture(  # that of the bundled weights
        HourglassConfig(num_stacks=1, channels=(32, 64, 96, 128, 160), blocks=(1, 1, 1, 1, 2), feature_channels=48),
        corner_channels=64,
        branch_channels=64,
    ),
    "base": Architecture(
        HourglassConfig(num_stacks=1, channels=(64, 96, 128, 192, 256), blocks=(1, 1, 2, 2, 2), feature_channels=96),
        corner_channels=96,
        branch_channels=96,
    ),
    "hourglass104": Architecture(),
}
