"""Everything that recipes and weights files can set, as typed fields, and the named sizes of the network."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, fields
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args, get_origin, get_type_hints

from cornernet.errors import InputError, nearest

# the parts of the loss: our names, and those in OpenMMLab's logs
OPENMMLAB_LOSSES = {"heatmap": "det_loss", "offset": "off_loss", "pull": "pull_loss", "push": "push_loss"}

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


Freeze = Literal["none", "statistics", "early", "backbone"]


def _check_choices(settings: Any) -> None:
    """Raise ``ValueError`` for a field that has none of its type's choices."""
    hints = get_type_hints(type(settings))
    for name in (entry.name for entry in fields(settings)):
        hint, value = hints[name], getattr(settings, name)
        choices = get_args(hint)
        if get_origin(hint) is Literal and value not in choices:
            raise ValueError(f"{name} must be {' or '.join(map(str, choices))}, not {value!r}")


@dataclass(frozen=True)
class Preprocessing:
    """How pixels become the network's input; every weights file has its own.

    ``mean`` and ``std`` are in units of 0..255 and in the order of ``color_order``. An image is padded, never
    resized: to ``height | pad_mask`` by ``width | pad_mask`` (480x640 with 127 becomes 511x767), image in the middle.
    With a ``pad_multiple`` it is padded to the next multiples of that instead. Then a cell of the heatmaps has exactly
    as many pixels at test as in training; with ``pad_mask`` the two differ by a part in 200.
    ``padding``: ``"mean"`` is 0 after normalising, ``"black"`` is 0 before it. If there is a ``max_size``, images with
    a longer side are first scaled down to that many pixels, in training and at test, and the boxes are scaled back.
    """

    color_order: Literal["RGB", "BGR"] = "RGB"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    padding: Literal["mean", "black"] = "mean"
    pad_mask: int = 127
    pad_multiple: int | None = None
    max_size: int | None = None

    def __post_init__(self) -> None:
        _check_choices(self)
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
        """The colour of the padding, as R, G, B in 0..255."""
        if self.padding == "black":
            return 0.0, 0.0, 0.0
        first, second, third = self.mean
        return (first, second, third) if self.color_order == "RGB" else (third, second, first)

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the network's input for an image, in pixels."""
        return self._padded(height), self._padded(width)

    def _padded(self, length: int) -> int:
        """Only sums and quotients: exporters do not know ``length | pad_mask``."""
        if self.pad_multiple is None:
            return length // (self.pad_mask + 1) * (self.pad_mask + 1) + self.pad_mask
        return (length + self.pad_multiple - 1) // self.pad_multiple * self.pad_multiple

    def offset_of(self, height: int, width: int) -> tuple[int, int]:
        """The place of the image's top left pixel in the padded input: (top, left), in pixels."""
        padded_height, padded_width = self.padded_size(height, width)
        return (padded_height // 2 - height // 2, padded_width // 2 - width // 2)


@dataclass(frozen=True)
class Decoding:
    """How maps become boxes; every weights file has its own. Defaults: paper, section 4.2.

    The best ``num_corners`` of each kind are paired if their distance by the pairing rule is at most ``max_distance``:
    the difference of their embeddings, or the mean difference of the logarithms of predicted and actual sizes. The
    best ``num_candidates`` pairs go on to soft-NMS. ``pair_score`` is the ``"mean"`` of the two corners' scores, or
    their ``"harmonic"`` mean, which is low if one of them is low. The authors' code clips candidates to the image
    before soft-NMS (``clip``) and counts overlaps in boxes one pixel wider and higher (``plus_one``). At most
    ``num_boxes`` are kept: 100 as in COCO, or ``num_corners`` if that is more.
    """

    num_corners: int = 100
    num_candidates: int = 1000
    max_distance: float = 0.5
    pair_score: Literal["mean", "harmonic"] = "mean"
    clip: bool = False
    plus_one: bool = False

    def __post_init__(self) -> None:
        _check_choices(self)
        if self.num_corners < 1 or self.num_candidates < 1 or self.max_distance < 0:
            raise ValueError(f"decoding needs at least one corner and candidate and no negative distance: {self}")

    @property
    def num_boxes(self) -> int:
        """The largest number of boxes that soft-NMS keeps in an image or a tile."""
        return max(100, self.num_corners)

    def score_of(self, tl: Any, br: Any) -> Any:
        """A pair's score from the scores of its corners: numbers, arrays or tensors."""
        return (tl + br) / 2 if self.pair_score == "mean" else 2 * tl * br / (tl + br + 1e-12)


@dataclass(frozen=True)
class LossSettings:
    """The parts of the loss and their weights in the sum; the defaults are the paper's (section 4.1).

    ``heatmap`` and ``offset`` are weights. ``pull``, ``push`` and ``size`` are weights of the losses of a pairing rule
    (``PairingConfig.losses``); ``None`` is the rule's own weight. ``others`` has weights of other losses by name.

    ``normalize`` is what the parts are divided by. ``"device"``, as in the paper's code: by the corners in each
    device's own batch; pull and push are summed over its images, so they depend on the number of devices.
    ``"world"``: by the corners of all devices together, and pull and push by the images of all devices.
    ``penalty_reduction`` is how far around a corner the heatmap's penalty is lowered: by the object's size
    (``"object"``), 2.5 cells (``"fixed"``), or not at all (``"none"``). The last two are the paper's comparison
    (section 4.4.3).
    ``supervision_radius`` is the number of cells around a corner that also learn offsets and pairing values. 0 is the
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
        _check_choices(self)
        if min(self.heatmap, self.offset, *self.pairing_weights.values(), self.supervision_radius) < 0:
            raise ValueError("loss weights and supervision_radius must be 0 or more")

    @property
    def pairing_weights(self) -> dict[str, float]:
        """The given weights of a pairing rule's losses, by the loss's name."""
        own = {"pull": self.pull, "push": self.push, "size": self.size}
        return {name: weight for name, weight in own.items() if weight is not None} | self.others


class Kind:
    """Settings that come in several kinds: one base class, and a subclass with a ``name`` for each kind.

    ``class Base(Kind, package="...")`` begins a family, ``class One(Base, name="one")`` adds a kind to it. For a kind
    that is not known yet, the module ``package.NAME`` is imported: a new kind is one new file.
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
        """The kind of that name. Raises ``InputError`` with the known names if there is none."""
        if name not in cls.kinds and name.isidentifier():
            cls._import(name)
        if name not in cls.kinds:
            files = Path(__file__).parent.joinpath(*cls.package.split(".")[1:]).glob("*.py")
            known = sorted({*cls.kinds, *(file.stem for file in files)} - {"__init__", "base"})
            fix = nearest(name, known, f"choose from {', '.join(known)}")
            raise InputError(f"{name!r} is none of the {cls.package.rpartition('.')[2]}", fix=fix)
        return cls.kinds[name]

    def make(self, *arguments: Any) -> Any:
        """The part of the network that these settings describe."""
        own = type(self)
        if "module" not in vars(own):
            own._import(own.name)
        if "module" not in vars(own):
            fix = f"write its class as class NAME(..., config={own.__name__})"
            raise InputError(f"no class says that it is the module of {own.__name__}", own.name, fix)
        return own.module(self, *arguments)

    @classmethod
    def _import(cls, name: str) -> None:
        """Import the file of that name, if there is one; what is missing inside it is an error."""
        module = f"{cls.package}.{name}"
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise


@dataclass(frozen=True)
class BackboneConfig(Kind, package="cornernet.model.backbones"):
    """Settings of a backbone. Each kind of backbone has a subclass, with its ``stride``."""

    normalization: ClassVar[dict[str, Any]] = {"color_order": "RGB", "mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    """The fields of ``Preprocessing`` that the backbone was trained with: a recipe's defaults."""

    @property
    def stride(self) -> int:
        """Pixels of the input for each cell of the maps, in height and width."""
        raise NotImplementedError

    @property
    def size_multiple(self) -> int:
        """Inputs are padded to multiples of this, in pixels: every level of the network halves its input evenly."""
        return self.stride

    @property
    def smallest_input(self) -> int:
        """The shortest side of a training image, in pixels."""
        return self.size_multiple


@dataclass(frozen=True)
class HourglassConfig(BackboneConfig, name="hourglass"):
    """Stacked hourglasses (paper, section 3.5); the defaults are HourglassNet-104.

    ``channels`` and ``blocks`` have depth + 1 entries, from the outermost level of an hourglass to the innermost.
    ``feature_channels`` is the number of channels of the features that the heads get.
    """

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
    def stride(self) -> int:
        """The stem's."""
        return 4

    @property
    def depth(self) -> int:
        """How often an hourglass halves its input."""
        return len(self.channels) - 1

    @property
    def size_multiple(self) -> int:
        """One cell of the innermost level, in pixels: 128 for HourglassNet-104."""
        return self.stride << self.depth

    @property
    def smallest_input(self) -> int:
        """More than one innermost cell: batch normalisation cannot learn from a single value."""
        return self.size_multiple + 1


@dataclass(frozen=True)
class SqueezeConfig(HourglassConfig, name="squeeze"):
    """CornerNet-Squeeze (Law et al., CornerNet-Lite, 2019): fire modules, stride 8."""

    channels: tuple[int, ...] = (256, 256, 384, 384, 512)
    blocks: tuple[int, ...] = (2, 2, 2, 2, 4)

    @property
    def stride(self) -> int:
        """The stem's, which halves once more than that of CornerNet."""
        return 8


@dataclass(frozen=True)
class EfficientNetLiteConfig(BackboneConfig, name="efficientnet_lite"):
    """An ImageNet trunk and a top-down path of ``channels`` to stride ``output_stride``."""

    normalization: ClassVar[dict[str, Any]] = {"color_order": "RGB", "mean": (127.0,) * 3, "std": (128.0,) * 3}

    variant: Literal["lite0", "lite1", "lite2"] = "lite0"
    output_stride: Literal[4, 8] = 4
    channels: int = 32

    def __post_init__(self) -> None:
        _check_choices(self)
        if self.channels < 1:
            raise ValueError(f"channels must be at least 1, not {self.channels}")

    @property
    def stride(self) -> int:
        """``output_stride``."""
        return self.output_stride

    @property
    def size_multiple(self) -> int:
        """A cell of the coarsest map, in pixels."""
        return 32

    @property
    def smallest_input(self) -> int:
        """More than one cell of the coarsest map: batch normalisation cannot learn from a single value."""
        return 33


@dataclass(frozen=True)
class HuggingFaceConfig(BackboneConfig, name="huggingface"):
    """A trunk of the package transformers, and a top-down path of ``channels`` to stride ``output_stride``.

    ``trunk`` is its transformers configuration: ``model_type``, ``out_features`` (the maps that are used, the finest
    first) and the fields of that type. ``strides`` are those of the maps. ``source`` and ``licence`` say where its
    weights come from. ``cornernet train --backbone NAME`` writes them all.
    """

    trunk: dict[str, Any] = field(default_factory=dict, hash=False)
    strides: tuple[int, ...] = (4, 8, 16, 32)
    output_stride: Literal[4, 8] = 4
    channels: int = 64
    source: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        _check_choices(self)
        object.__setattr__(self, "trunk", json.loads(json.dumps(self.trunk)))  # as a file gives it back
        object.__setattr__(self, "strides", tuple(self.strides))
        names = self.trunk.get("out_features")
        if not isinstance(names, list) or not len(names) == len(self.strides) > 0:
            raise ValueError("trunk needs a model_type, and out_features with a stride for each: train --backbone NAME")
        if min(*self.strides, self.channels) < 1 or sorted(self.strides) != [*self.strides]:
            raise ValueError(f"channels and strides must be at least 1, the smallest stride first: {self.strides}")

    @property
    def stride(self) -> int:
        """``output_stride``."""
        return self.output_stride

    @property
    def size_multiple(self) -> int:
        """Whole cells of every map, the trunk's and the result, in pixels: 32, or 28 for patches of 14."""
        return math.lcm(self.output_stride, *self.strides)

    @property
    def smallest_input(self) -> int:
        """More than one cell of the coarsest map: batch normalisation cannot learn from a single value."""
        return self.strides[-1] + 1


@dataclass(frozen=True)
class PairingConfig(Kind, package="cornernet.model.pairing"):
    """Settings of a pairing rule, which decides that two corners belong to one object."""

    losses: ClassVar[dict[str, float]]
    """The names of the rule's losses, and their default weights."""


@dataclass(frozen=True)
class EmbeddingConfig(PairingConfig, name="embedding"):
    """The paper's rule (section 3.3): the corners of one object have nearly the same number, their embedding."""

    losses: ClassVar[dict[str, float]] = {"pull": 0.1, "push": 0.1}


@dataclass(frozen=True)
class SizeConfig(PairingConfig, name="size"):
    """Each corner predicts the width and height of its object, and so the place of the other corner."""

    losses: ClassVar[dict[str, float]] = {"size": 1.0}


@dataclass(frozen=True)
class Architecture:
    """Everything needed to build the network. Every weights file has it.

    The defaults are the paper's network (section 3.5). ``corner_channels`` is the number of channels inside a corner
    module's pooling paths, ``branch_channels`` that of the branches' hidden layer, and ``branch_kernel`` the size of
    its convolution. Without ``corner_pooling`` the layers around it stay and nothing is pooled: the paper's comparison
    (section 4.4.1). ``pool_window`` is the largest number of cells that a corner pool covers. The paper's pools cover
    all cells up to the edge (``None``); then a network trained on crops meets larger maxima in whole images.
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
        _check_choices(self)
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
    """One is drawn for each image: the crop's side is crop_size times this, then it is resized to crop_size. Empty: no
    crop, the whole image in the middle of the square."""
    border: int = 128
    """A crop's centre lies at least this far from the image's edge, in pixels; halved until it fits."""
    flip: float = 0.5
    """Probability of mirroring left and right."""
    vertical_flip: float = 0.0
    """Probability of mirroring top and bottom: for images without an up, such as from above."""
    quarter_turns: float = 0.0
    """Probability of turning by 90, 180 or 270 degrees: for images without an up."""
    mosaic: float = 0.0
    """Probability that a crop is made of four images, each in a quarter of its own size."""
    copy_paste: float = 0.0
    """Probability that up to three boxes of another image are pasted into an image, with what is in them."""
    at_objects: bool = False
    """Whether each crop contains a whole object, drawn at random, if it fits: the network sees more objects."""
    color_jitter: bool = True
    """Brightness, contrast, saturation, hue and channel order, each with probability one half."""


@dataclass
class Optimization:
    """How the optimiser changes the weights."""

    optimizer: Literal["adam", "muon"] = "adam"
    """The paper's Adam; or Muon for the convolutions and Adam for the rest: it learns more from each step."""
    lr: float = 5e-4
    """Learning rate for base_batch_size images a step; scaled linearly to the batch in use."""
    base_batch_size: int = 48
    """The batch that lr is meant for."""
    backbone_lr: float = 1.0
    """The backbone's learning rate, in units of lr."""
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
    """The weights of the parts of the loss."""
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
    patience: int | None = None
    """Validations without a better AP after which training stops; 0 or null for never. The rate falls by the schedule
    of all epochs, so a run that stops early has not seen its lowest rates."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Arithmetic of the network; the losses are always computed in float32."""
    activation_checkpointing: bool = False
    """Whether to compute activations again for the gradient instead of keeping them: less memory, more time."""
    compile: bool = False
    """Whether torch.compile translates the network first: minutes, then faster steps; needs a C++ compiler."""
    weights: str | None = None
    """What to begin with: a weights file of any dialect, shapes (bundled), a release's name, hf:NAME (a trunk of the
    Hugging Face hub), or none. Tensors that fit are used; classes of the same name keep their weights."""
    freeze: Freeze = "none"
    """What of the backbone's pretrained part does not learn: its batch statistics; also its early layers and depthwise
    filters; or all of it. Each includes what stands before it."""
    repeat_threshold: float = 0.0
    """Class balance: images of classes that are in less than this share of the images are seen more often (repeat
    factors, Gupta et al., LVIS, 2019, where it is 0.001); 0 for each image once an epoch."""
    seed: int = 0
    """Decides initial weights, order of images and every crop."""
    workers: int = 2
    """Processes that read and augment images; 0 reads in the training process."""

    def __post_init__(self) -> None:
        if self.weights == "none":
            self.weights = None
        _check_choices(self)
        _check_choices(self.optimization)
        self.check()

    def check(self) -> None:
        """Raise ``InputError`` with the name of a field whose value is not possible."""
        smallest = max(32, self.model.backbone.smallest_input)
        rules = [
            (self.batch_size >= 1, "batch_size", "at least 1"),
            (self.accumulate >= 1, "accumulate", "at least 1"),
            (self.epochs >= 1, "epochs", "at least 1"),
            (self.validate_every >= 1, "validate_every", "at least 1"),
            (not self.patience or self.patience >= 1, "patience", "0 or more, or null"),
            (self.workers >= 0, "workers", "0 or more"),
            (self.optimization.lr > 0, "optimization.lr", "above 0"),
            (self.optimization.backbone_lr >= 0, "optimization.backbone_lr", "0 or more"),
            (self.optimization.base_batch_size >= 1, "optimization.base_batch_size", "at least 1"),
            (0 <= self.optimization.ema < 1, "optimization.ema", "from 0 to below 1"),
            (self.optimization.gradient_clip > 0, "optimization.gradient_clip", "above 0"),
            (
                self.augmentation.crop_size >= smallest,
                "augmentation.crop_size",
                f"at least {smallest} pixels for this backbone (model.backbone)",
            ),
            (all(s > 0 for s in self.augmentation.scales), "augmentation.scales", "all above 0"),
            *(
                (0 <= getattr(self.augmentation, name) <= 1, f"augmentation.{name}", "a probability, from 0 to 1")
                for name in ("flip", "vertical_flip", "quarter_turns", "mosaic", "copy_paste")
            ),
            (0 <= self.repeat_threshold <= 1, "repeat_threshold", "a share, from 0 to 1"),
            (self.freeze == "none" or self.weights is not None, "freeze", "none without weights to begin with"),
            (not (self.compile and self.activation_checkpointing), "compile", "false with activation_checkpointing"),
        ]
        for holds, name, expected in rules:
            if not holds:
                raise InputError(f"must be {expected}", f"recipe: {name}", f"correct it in the recipe or with --{name}")
        for name in self.loss.pairing_weights:
            if name not in self.model.pairing.losses:
                raise InputError(
                    f"has no effect: corners are paired by {self.model.pairing.name}",
                    f"recipe: loss.{'others.' * (name in self.loss.others)}{name}",
                    f"leave it out; this rule's losses are {', '.join(self.model.pairing.losses)}",
                )


Size = Literal["nano", "small", "base", "hourglass-nano", "hourglass-small", "hourglass-base", "hourglass104"]

SIZES: dict[Size, Architecture] = {
    "nano": Architecture(  # that of the bundled weights photos
        EfficientNetLiteConfig(output_stride=8, channels=64), corner_channels=64, branch_channels=64
    ),
    "small": Architecture(EfficientNetLiteConfig(output_stride=4, channels=48), corner_channels=48, branch_channels=48),
    "base": Architecture(
        EfficientNetLiteConfig(variant="lite2", output_stride=4, channels=96), corner_channels=96, branch_channels=96
    ),
    "hourglass-nano": Architecture(
        HourglassConfig(num_stacks=1, channels=(32, 48, 64, 96), blocks=(1, 1, 1, 2), feature_channels=32),
        corner_channels=32,
        branch_channels=32,
    ),
    "hourglass-small": Architecture(  # that of the bundled weights shapes
        HourglassConfig(num_stacks=1, channels=(32, 64, 96, 128, 160), blocks=(1, 1, 1, 1, 2), feature_channels=48),
        corner_channels=64,
        branch_channels=64,
    ),
    "hourglass-base": Architecture(
        HourglassConfig(num_stacks=1, channels=(64, 96, 128, 192, 256), blocks=(1, 1, 2, 2, 2), feature_channels=96),
        corner_channels=96,
        branch_channels=96,
    ),
    "hourglass104": Architecture(),
}
