"""The fields of the answers, for /openapi.json."""

from __future__ import annotations

from pydantic import BaseModel, Field


class FoundObject(BaseModel):
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
    detections: list[FoundObject]


class Corner(BaseModel, extra="allow"):
    """One corner, in pixels of the image. One more field has the name of the pairing value: ``embedding``, a number, or
    ``size``, width and height in pixels; null if another view found the corner."""

    x: float
    y: float
    score: float


class ExplainedObject(FoundObject):
    """One object with its two corners, and their ``distance`` by the pairing rule."""

    top_left: Corner
    bottom_right: Corner
    distance: float


class Heatmaps(BaseModel):
    """PNG pictures as data addresses, to show over the image; opacity is the root of the corner's probability."""

    top_left: str
    bottom_right: str


class PairingValue(BaseModel):
    """The pairing value: the ``name`` of a corner's field, and words for people."""

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
    detections: list[ExplainedObject]
    heatmaps: Heatmaps


class ClassColor(BaseModel):
    """A class and the colour that its boxes have, as #rrggbb."""

    name: str
    color: str


class Health(BaseModel):
    """Whether the server is alive and ready for images, and what it serves."""

    live: bool
    ready: bool
    model: str
    device: str
    threshold: float
    explains: bool
    needs_token: bool
    classes: list[ClassColor]


class Error(BaseModel):
    """An error in one line, ``error``, and its parts: what is wrong, where, and how to fix it."""

    error: str
    what: str
    where: str
    fix: str
