"""Recipes: everything that decides what a training gives, as typed fields filled from YAML."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from cornernet.errors import InputError
from cornernet.structures import Architecture, Decoding, LossSettings, Preprocessing

RECIPE_FOLDER = Path(__file__).parent / "recipes"


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
        innermost = 2 ** (len(self.model.channels) + 1)  # side of a cell of the smallest map, in pixels
        rules = [
            (self.batch_size >= 1, "batch_size", "at least 1"),
            (self.accumulate >= 1, "accumulate", "at least 1"),
            (self.epochs >= 1, "epochs", "at least 1"),
            (self.validate_every >= 1, "validate_every", "at least 1"),
            (self.workers >= 0, "workers", "0 or more"),
            (self.optimization.lr > 0, "optimization.lr", "above 0"),
            (self.optimization.base_batch_size >= 1, "optimization.base_batch_size", "at least 1"),
            (0 <= self.optimization.ema < 1, "optimization.ema", "from 0 to below 1"),
            (self.optimization.gradient_clip > 0, "optimization.gradient_clip", "above 0"),
            (self.augmentation.crop_size >= 32, "augmentation.crop_size", "at least 32"),
            (
                self.augmentation.crop_size > innermost,  # of one cell, batch normalisation has no mean
                "augmentation.crop_size",
                f"above {innermost} for {len(self.model.channels)} levels (model.channels)",
            ),
            (all(s > 0 for s in self.augmentation.scales), "augmentation.scales", "all above 0"),
            (0 <= self.augmentation.flip <= 1, "augmentation.flip", "a probability"),
            (not (self.compile and self.activation_checkpointing), "compile", "false with activation_checkpointing"),
        ]
        for holds, name, expected in rules:
            if not holds:
                raise InputError(f"recipe: {name} must be {expected}; correct it in the recipe or with --{name}")


def recipe_names() -> list[str]:
    """The shipped recipes."""
    return sorted(path.stem for path in RECIPE_FOLDER.glob("*.yaml"))


def find_recipe(name: str) -> Path:
    """The YAML file of a shipped recipe's name, or of a path; ``InputError`` with the known names otherwise.

    A name may stop at its first dash: cornernet_hourglass104_8xb6 is cornernet_hourglass104_8xb6-210e-mstest_coco.
    """
    shipped, given = RECIPE_FOLDER / f"{name}.yaml", Path(name)
    if shipped.is_file():
        return shipped
    short = [known for known in recipe_names() if known.split("-")[0] == name]
    if len(short) == 1:
        return RECIPE_FOLDER / f"{short[0]}.yaml"
    if given.suffix in (".yaml", ".yml") and given.is_file():
        return given
    raise InputError(f"recipe {name}: no such recipe or YAML file; shipped are {', '.join(recipe_names())}")


def recipe_parser() -> Any:
    """A jsonargparse parser of a recipe's fields, which also reads and writes them as YAML."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_class_arguments(Recipe, as_group=False)
    return parser


def load_recipe(name: str) -> Recipe:
    """A shipped recipe, or one from a YAML file; unknown keys and wrong types are an ``InputError``."""
    from jsonargparse import ArgumentError

    path, parser = find_recipe(name), recipe_parser()
    try:
        values = parser.parse_path(str(path))
        recipe = Recipe(**dict(vars(parser.instantiate(values))))
    except (ArgumentError, ValueError, TypeError) as error:
        raise InputError(f"recipe {path}: {' '.join(str(error).split())}") from None
    recipe.check()
    return recipe


def plain_recipe(recipe: Recipe) -> dict[str, Any]:
    """The recipe as nested dictionaries and lists."""
    return _plain(asdict(recipe))


def recipe_yaml(recipe: Recipe) -> str:
    """The recipe as YAML, such that ``load_recipe`` reads it back."""
    import yaml

    return yaml.safe_dump(plain_recipe(recipe), sort_keys=False, default_flow_style=None)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
