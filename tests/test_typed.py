"""Plain values into typed dataclasses and back, and what is said of values that do not fit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import pytest

from cornernet.errors import InputError
from cornernet.typed import build, plain


class Shape:
    kinds: ClassVar[dict[str, type[Any]]] = {}
    name: ClassVar[str]

    def __init_subclass__(cls, name: str) -> None:
        cls.name = name
        cls.kinds[name] = cls

    @classmethod
    def kind(cls, name: str) -> type[Any]:
        if name not in cls.kinds:
            raise InputError(f"{name!r} is no shape", fix=f"choose from {', '.join(cls.kinds)}")
        return cls.kinds[name]


@dataclass(frozen=True)
class Round(Shape, name="round"):
    radius: float = 1.0


@dataclass(frozen=True)
class Box(Shape, name="box"):
    sides: tuple[int, ...] = (1, 2)

    def __post_init__(self) -> None:
        if min(self.sides) < 1:
            raise ValueError(f"sides must be at least 1, not {self.sides}")


@dataclass(frozen=True)
class Dot(Shape, name="dot"):
    pass


@dataclass(frozen=True)
class Rate:
    lr: float = 0.1
    warm: bool = False
    mean: tuple[float, float] = (0.5, 0.5)


@dataclass(frozen=True)
class Settings:
    epochs: int
    shape: Shape = Round()
    rate: Rate = Rate()
    mode: Literal["fast", "slow"] = "fast"
    kernel: Literal[1, 3] = 3
    title: str | None = None
    weights: dict[str, float] = field(default_factory=dict)


def made(**values: object) -> Settings:
    return build(Settings, {"epochs": 1, **values}, "recipe mine.yaml")


def test_plain_values_become_typed_ones():
    settings = made(
        epochs=3,
        shape={"name": "box", "sides": [3, 4]},
        rate={"lr": "1e-3", "warm": True, "mean": [1, 2]},
        mode="slow",
        kernel=1,
        title="a",
        weights={"pull": 1},
    )
    assert settings == Settings(3, Box((3, 4)), Rate(0.001, True, (1.0, 2.0)), "slow", 1, "a", {"pull": 1.0})
    assert isinstance(settings.rate.mean[0], float)
    assert made(title=None).title is None
    assert made(shape="box").shape == Box()
    assert made(shape={"radius": 2}).shape == Round(2.0)  # the default's kind


@pytest.mark.parametrize(
    "settings",
    [
        Settings(1),
        Settings(2, Box((3, 4)), Rate(1e-5, True), "slow", 1, "a", {"pull": 0.5}),
        Settings(2, Box(), title="1"),
    ],
)
def test_what_is_made_plain_is_read_back(settings):
    assert build(Settings, plain(settings), "here") == settings


def test_kinds_are_written_with_their_name_first():
    assert plain(Settings(1, Dot()))["shape"] == "dot"
    assert list(plain(Settings(1, Box((5,))))["shape"].items()) == [("name", "box"), ("sides", [5])]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"rate": {"lr": "fast"}}, "recipe mine.yaml: rate.lr must be a number, not 'fast'; give one, such as 0.5"),
        ({"rate": {"lr": True}}, "rate.lr must be a number, not True"),
        ({"rate": {"warm": "yes"}}, "rate.warm must be true or false, not 'yes'"),
        ({"rate": {"mean": [1, 2, 3]}}, "rate.mean must be a list of 2 values, not [1, 2, 3]"),
        ({"rate": {"mean": [1, "x"]}}, "rate.mean[1] must be a number, not 'x'"),
        ({"rate": {"mean": 3}}, "rate.mean must be a list, not 3"),
        ({"rate": 3}, "rate must be fields with values, not 3"),
        ({"epochs": 1.5}, "epochs must be a whole number, not 1.5"),
        ({"epochs": None}, "epochs must be a whole number, not None"),
        ({"rate": {"lr": 10**400}}, "rate.lr must be a number, not 1000"),
        ({"epochs": "x" * 900}, f"epochs must be a whole number, not '{'x' * 59} ... (902 characters); give one"),
        ({"mode": "quick"}, "mode must be one of fast, slow, not 'quick'"),
        ({"kernel": True}, "kernel must be one of 1, 3, not True"),
        ({"title": 3}, "title must be a text, not 3"),
        ({"weights": {"pull": "x"}}, "weights.pull must be a number, not 'x'"),
        ({"epohcs": 3}, "recipe mine.yaml: epohcs is no field; did you mean epochs?"),
        ({"rate": {"wram": 3}}, "rate.wram is no field; did you mean rate.warm?"),
        ({"rate": {"zzz": 3}}, "rate.zzz is no field; there are lr, warm, mean"),
        ({"shape": "star"}, "recipe mine.yaml: shape: 'star' is no shape; choose from round, box, dot"),
        ({"shape": {"name": "box", "radius": 1}}, "shape.radius is no field; there are sides"),
        ({"shape": 3}, "shape must be a name, or a name and fields, not 3"),
        ({"shape": {"name": "box", "sides": [0]}}, "recipe mine.yaml: shape: sides must be at least 1, not (0,)"),
    ],
)
def test_what_does_not_fit_is_named(values, said):
    with pytest.raises(InputError) as error:
        made(**values)
    assert said in str(error.value)


def test_a_missing_field_is_named():
    with pytest.raises(InputError, match="epochs is missing"):
        build(Settings, {}, "here")
