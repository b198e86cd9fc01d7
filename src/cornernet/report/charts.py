"""Line charts as inline SVG: colours are in the page's style sheet; lines also differ by dashes and marks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

_LEFT, _RIGHT, _TOP, _BOTTOM, _LEGEND = 46, 10, 10, 36, 20  # pixels around and above the plot
_LETTER = 6.6  # an average letter's width at the style sheet's 12 pixels
_MOST_POINTS = 400


class Line(NamedTuple):
    """A named line; ``None`` interrupts it. ``marked`` puts a mark at each point."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    marked: bool = False


class Upright(NamedTuple):
    """A vertical line at ``x`` with a text at its top."""

    x: float
    text: str


def line_chart(
    lines: Sequence[Line],
    *,
    label: str,
    x_title: str,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    log: bool = False,
    upright: Upright | None = None,
    size: tuple[int, int] = (440, 250),
) -> Markup:
    """An SVG of at most four lines; ``label`` describes it for screen readers, ``size`` (width, height) is in
    pixels. A ``log`` scale leaves out values that are not above 0."""
    lines = [_thinned(line, log) for line in lines]
    width, height = size
    top = _TOP + (_LEGEND if len(lines) > 1 else 0)
    x_low, x_high = x_range or _span([x for line in lines for x in line.x])
    values = [y for line in lines for y in line.y if y is not None]
    y_low, y_high = y_range or (_log_span(values) if log else _span(values))
    y_ticks = log_ticks(y_low, y_high) if log else ticks(y_low, y_high)

    def across(x: float) -> float:
        return _LEFT + (x - x_low) / (x_high - x_low) * (width - _LEFT - _RIGHT)

    def down(y: float) -> float:
        share = math.log(y / y_low) / math.log(y_high / y_low) if log else (y - y_low) / (y_high - y_low)
        return top + (1 - share) * (height - top - _BOTTOM)

    parts = [_grid_line(down(y), width, _number(y)) for y in y_ticks]
    bottom = height - _BOTTOM
    for x in ticks(x_low, x_high, 6):
        text = Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>')
        parts.append(text.format(*_at(across(x), bottom + 15), _number(x)))
    axis = Markup('<path class="axis" d="M{} {}H{}"/><text x="{}" y="{}" text-anchor="end">{}</text>')
    parts.append(axis.format(_LEFT, bottom, width - _RIGHT, width - _RIGHT, height - 5, x_title))
    for number, line in enumerate(lines):
        points = [None if y is None else (across(x), down(y)) for x, y in zip(line.x, line.y, strict=True)]
        parts.append(_path(points, number))
        for point, x, y in zip(points, line.x, line.y, strict=True):
            if line.marked and point:
                parts.append(_mark(*point, number, f"{line.name}, {x_title} {_number(x)}: {y:.3g}"))
    if upright:
        parts.append(_upright(across(upright.x), top, bottom, upright.text, width))
    if len(lines) > 1:
        parts.append(_legend(lines))
    svg = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')
    return svg.format(width, height, label, Markup("").join(parts))


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from ``low`` to ``high``, about ``count`` of them: 1, 2 or 5 times a power of ten apart."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten between two positive numbers; where these are few, 2 and 5 times them as well, else ``ticks``."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 2, 5)):
        found = [f * 10.0**p for p in powers for f in factors if low * 0.999 <= f * 10.0**p <= high * 1.001]
        if len(found) >= 3:
            return found
    return ticks(low, high)


def _thinned(line: Line, log: bool) -> Line:
    """A line of at most 400 points, without values that its scale cannot show."""
    step = math.ceil(len(line.x) / _MOST_POINTS) or 1
    y = [None if v is None or not math.isfinite(v) or (log and v <= 0) else v for v in line.y]
    return line._replace(x=line.x[::step], y=y[::step])


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _log_span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values, default=0.1), max(values, default=1.0)
    return (low / 1.1, high * 1.1)


def _number(value: float) -> str:
    return f"{value:.1e}".replace(".0e", "e").replace("e-0", "e-") if 0 < abs(value) < 0.001 else f"{value:g}"


def _at(x: float, y: float) -> tuple[str, str]:
    return f"{x:.1f}", f"{y:.1f}"


def _grid_line(y: float, width: int, text: str) -> Markup:
    line = Markup('<path class="grid" d="M{} {:.1f}H{}"/><text x="{}" y="{:.1f}" text-anchor="end">{}</text>')
    return line.format(_LEFT, y, width - _RIGHT, _LEFT - 6, y + 4, text)


def _path(points: Sequence[tuple[float, float] | None], number: int) -> Markup:
    """The line through the points; a new stroke begins after each gap."""
    strokes, pen = [], "M"
    for point in points:
        if point is None:
            pen = "M"
        else:
            strokes.append(pen + " ".join(_at(*point)))
            pen = "L"
    return Markup('<path class="line s{}" d="{}"/>').format(number, "".join(strokes))


_MARKS = ("M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z", "M0-5L5 4H-5z", "M-4-4H4V4H-4z", "M0-5L5 0L0 5L-5 0z")


def _mark(x: float, y: float, number: int, tip: str) -> Markup:
    mark = Markup('<path class="mark s{}" transform="translate({} {})" d="{}"><title>{}</title></path>')
    return mark.format(number, *_at(x, y), _MARKS[number], tip)


def _upright(x: float, top: float, bottom: float, text: str, width: int) -> Markup:
    is_right = x > width / 2
    line = Markup('<path class="upright" d="M{} {}V{}"/><text class="strong" x="{}" y="{}" text-anchor="{}">{}</text>')
    x_text = x - 5 if is_right else x + 5
    return line.format(*_at(x, top), f"{bottom:.1f}", *_at(x_text, bottom - 8), "end" if is_right else "start", text)


def _legend(lines: Sequence[Line]) -> Markup:
    """A stroke and a name for each line, in a row above the plot."""
    parts, x = [], float(_LEFT)
    for number, line in enumerate(lines):
        parts.append(_path([(x, 9), (x + 28, 9)], number))
        if line.marked:
            parts.append(_mark(x + 14, 9, number, line.name))
        parts.append(Markup('<text x="{}" y="13">{}</text>').format(f"{x + 33:.1f}", line.name))
        x += 33 + _LETTER * len(line.name) + 16
    return Markup("").join(parts)
