"""Line charts: every value in its place, whatever the values."""

import math
import re
from xml.etree import ElementTree

import pytest

from cornernet.report.charts import Line, Upright, line_chart, log_ticks, ticks


def chart(*lines, **options):
    return ElementTree.fromstring(line_chart(lines, label="a chart", x_title="x", **options))


def strokes(svg):
    """Points (x, y) of each line, stroke by stroke."""
    paths = [path.get("d") for path in svg.iter("path") if path.get("class").startswith("line")]
    return [[[tuple(map(float, p.split())) for p in s.split("L")] for s in d.split("M")[1:]] for d in paths]


def test_points_lie_where_the_axes_say():
    [[points]] = strokes(chart(Line("a", [0, 1, 2], [0, 0.5, 1]), x_range=(0, 2), y_range=(0, 1), size=(156, 146)))
    # the plot is 100 by 100 pixels, its top left at (46, 10)
    assert points == [(46, 110), (96, 60), (146, 10)]
    [[points]] = strokes(chart(Line("a", [0, 1, 2], [0.01, 0.1, 1]), y_range=(0.01, 1), log=True, size=(156, 146)))
    assert points == [(46, 110), (96, 60), (146, 10)]


def test_what_is_not_there_interrupts_the_line():
    [found] = strokes(chart(Line("a", range(6), [1, 2, None, 3, math.nan, 4])))
    assert [len(stroke) for stroke in found] == [2, 1, 1]
    [found] = strokes(chart(Line("a", range(4), [1, 0, -1, 10]), log=True))
    assert [len(stroke) for stroke in found] == [1, 1]


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("values", [[], [3.0], [2.0, 2.0], [1e-9, 1e9], [None, None]])
def test_few_and_far_values_are_drawn(values, log):
    svg = chart(Line("a", range(len(values)), values, marked=True), log=log)
    assert len([path for path in svg.iter("path") if "mark" in path.get("class")]) == sum(v is not None for v in values)
    assert "nan" not in ElementTree.tostring(svg, "unicode")


def test_lines_differ_by_more_than_colour_and_names_are_escaped():
    svg = chart(
        *(Line(name, [0, 1], [0, 1], marked=True) for name in ("<b>", "&", '"', "ok")), upright=Upright(1, "<i>")
    )
    marks = {path.get("d") for path in svg.iter("path") if path.get("class").startswith("mark")}
    assert len(marks) == 4
    texts = [text.text for text in svg.iter("text")]
    assert {"<b>", "&", '"', "ok", "<i>"} <= set(texts)
    tips = [title.text for title in svg.iter("title")]
    assert tips[1] == "<b>, x 1: 1"


def test_long_logs_stay_small():
    text = line_chart([Line("a", range(100_000), [1.0] * 100_000)], label="", x_title="")
    assert len(re.findall(r"[ML]", text)) < 500


def test_ticks_are_round():
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert ticks(3, 47) == [10, 20, 30, 40]
    assert log_ticks(0.002, 30) == pytest.approx([0.01, 0.1, 1, 10])
    assert log_ticks(1.5, 12) == pytest.approx([2, 5, 10])
    assert log_ticks(2.7, 4.95) == [3, 3.5, 4, 4.5]  # of no power of ten


@pytest.mark.parametrize("value", [3e-13, 3e-4, 4.0])
def test_an_axis_has_numbers_that_differ_also_where_little_changes(value):
    svg = chart(Line("a", [0, 1], [value, 1.1 * value]), log=True, x_range=(0, 1))
    numbers = [text.text for text in svg.iter("text") if text.get("text-anchor") == "end" and text.text != "x"]
    assert len(numbers) == len(set(numbers)) >= 2
