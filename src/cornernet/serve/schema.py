"""The answers' fields, for /openapi.json."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Detection(BaseModel):
    """One object; ``box`` is x1 y1 x2 y2 in pixels of the image, ``label`` counts the classes from 0."""

    box: tuple[float, float, float, float]
    score: float
    label: int
    class_: str = Field(alias="class")


class Prediction(BaseModel):
    """What was found in an image of ``width`` x ``height`` pixels, best first."""

    width: int
    height: int
    classes: list[str]
    threshold: float
    detections: list[Detection]


class Corner(BaseModel, extra="allow"):
    """One corner, in pixels of the image. One more field is named after what the network's corners predict of their
    object: ``embedding``, a number, or ``size``, width and height in pixels; null where another view found it."""

    x: float
    y: float
    score: float


class ExplainedDetection(Detection):
    """One object with the corners that were paired, and how far they are from being one object's, ``distance``."""

    top_left: Corner
    bottom_right: Corner
    distance: float


class Heatmaps(BaseModel):
    """PNG pictures as data addresses, to lay over the image; opacity is the root of the corner's probability."""

    top_left: str
    bottom_right: str


class PairingValue(BaseModel):
    """What the network's corners predict of their object: the ``name`` of a corner's field, and words for people."""

    name: str
    legend: str
    differ: str


class ExplainedPrediction(BaseModel):
    """All detections, whatever their score, and the heatmaps; ``threshold`` is that of the weights."""

    width: int
    height: int
    classes: list[str]
    threshold: float
    pairing: PairingValue
    detections: list[ExplainedDetection]
    heatmaps: Heatmaps


class ClassColor(BaseModel):
    """A class and the colour that its boxes have, as #rrggbb."""

    name: str
    color: str


class Health(BaseModel):
    """Whether the server lives and is ready for images, and what it serves."""

    live: bool
    ready: bool
    model: str
    device: str
    threshold: float
    explains: bool
    classes: list[ClassColor]


class Error(BaseModel):
    """Why there is no other answer: in one line, and its parts: what is wrong, where, and how to fix it."""

    error: str
    what: str
    where: str
    fix: str
