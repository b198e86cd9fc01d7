"""Pairs of corners as text: reasons, a table for the terminal, JSON."""

from __future__ import annotations

from typing import Any

from cornernet.explain.pairs import Pair, PairOutcomes
from cornernet.structures import CornerPoints


def reason(pair: Pair, pairs: PairOutcomes) -> str:
    """Why a pair is not a box, or which box it is, as a part of a sentence."""
    names, decoding = pairs.seen.detections.class_names, pairs.decoding
    match pair.outcome:
        case "box":
            text = f"is box {pair.number}"
        case "class":
            text = "classes differ: " + " and ".join(names[label] for label in pairs.labels(pair))
        case "position":
            text = "the bottom-right corner is not right of and below the top-left one"
        case "distance":
            text = f"{pairs.tl.words.differ} by {pair.distance:.2f}, more than {decoding.max_distance:g}"
        case "candidates":
            text = f"score {pair.score:.2f} is beyond the best {decoding.num_candidates} pairs"
        case "score":
            text = f"score {pair.score:.3f} is below {pairs.threshold:g}"
        case "suppressed":
            text = f"soft-NMS lowered {pair.score:.2f} to {pair.final:.2f}: {_rival(pair, pairs)}"
        case "boxes":
            text = f"{decoding.num_boxes} boxes have a better score"
        case "outside":
            text = "nothing of it lies inside the image"
    if pair.outcome in ("class", "distance") and pair.score < pairs.threshold:
        text += f"; and score {pair.score:.3f} is below {pairs.threshold:g}"
    return text


def short_reason(pair: Pair, pairs: PairOutcomes) -> str:
    """``reason`` in a few words, for pictures."""
    match pair.outcome:
        case "box":
            return f"box {pair.number}"
        case "distance":
            return f"d {pair.distance:.2f} > {pairs.decoding.max_distance:g}"
        case "score":
            return f"score {pair.score:.2f}"
        case "suppressed":
            return f"under box {pair.by}, {pair.score:.2f} to {pair.final:.2f}" if pair.by else "soft-NMS"
        case other:
            return {"candidates": "too many pairs", "boxes": "too many boxes"}.get(other, other)


def table(pairs: PairOutcomes, name: str) -> str:
    """Every box with its corners and the rejected pairs of these corners."""
    height, width = pairs.seen.detections.image_size
    lines = [
        f"{name} ({width}x{height}): {len(pairs.boxes)} boxes of score {pairs.threshold:g} or more",
        f"T, B: top-left, bottom-right corners by rank, with x,y, score and {pairs.tl.words.legend}; they pair up where"
        f" their distance d is at most {pairs.decoding.max_distance:g}",
        _last_corners(pairs),
    ]
    for pair in pairs.boxes:
        lines += ["", f"{pair.number:3}  {_class(pair, pairs)} {pair.final:.2f}  {_corners(pair, pairs)}"]
        if pair.iou is not None and pair.final is not None and pair.score - pair.final >= 0.005:
            lines.append(f"     soft-NMS lowered it from {pair.score:.2f}: {_rival(pair, pairs)}")
        for other in pairs.rivals(pair):
            lines.append(f"     not  {_other_corner(other, pair, pairs)}: {reason(other, pairs)}")
    return "\n".join(lines)


def answer(pairs: PairOutcomes, x: float, y: float) -> str:
    """Why there is no box for the object at a point in pixels of the image."""
    covering = [pair for pair in pairs.boxes if _covers(pairs, pair, x, y)]
    numbers = ", ".join(f"box {pair.number}" for pair in covering)
    lines = [f"at {x:g},{y:g}: " + (f"inside {numbers}" if covering else "no box")]
    nearest = pairs.around(x, y)
    if not nearest:
        kinds = [("top-left", "left of and above", pairs.tl.positions <= [x, y])]
        kinds.append(("bottom-right", "right of and below", pairs.br.positions >= [x, y]))
        for kind, where, there in kinds:
            if not there.all(axis=1).any():
                lines.append(f"  no {kind} corner {where} it is among the {len(there)} best")
    lines += [f"  {_class(pair, pairs)}  {_corners(pair, pairs)}: {reason(pair, pairs)}" for pair in nearest]
    return "\n".join([*lines, f"  {_last_corners(pairs)}"])


def pairs_as_json(pairs: PairOutcomes, file: str, at: tuple[float, float] | None = None) -> dict[str, Any]:
    """All pairs, JSON-ready; docs/explain.md describes the fields."""
    height, width = pairs.seen.detections.image_size
    result = {
        "file": file,
        "height": height,
        "width": width,
        "classes": list(pairs.seen.detections.class_names),
        "threshold": pairs.threshold,
        "pairing": pairs.tl.words.name,
        "max_distance": pairs.decoding.max_distance,
        "pair_score": pairs.decoding.pair_score,
        "top_left": _corner_list(pairs.tl),
        "bottom_right": _corner_list(pairs.br),
        "boxes": [
            _entry(pair, pairs) | {"rejected": [_entry(rival, pairs) for rival in pairs.rivals(pair, most=10)]}
            for pair in pairs.boxes
        ],
    }
    if at:
        covering = [pair.number for pair in pairs.boxes if _covers(pairs, pair, *at)]
        nearest = [_entry(pair, pairs) for pair in pairs.around(*at)]
        result["at"] = {"x": at[0], "y": at[1], "boxes": covering, "pairs": nearest}
    return result


def _covers(pairs: PairOutcomes, pair: Pair, x: float, y: float) -> bool:
    x1, y1, x2, y2 = pairs.box(pair)
    return bool(x1 <= x <= x2 and y1 <= y <= y2)


def _rival(pair: Pair, pairs: PairOutcomes) -> str:
    rival = f"box {pair.by}" if pair.by else f"a box below {pairs.threshold:g}"
    return f"{rival} covers it (IoU {pair.iou:.2f})"


def _last_corners(pairs: PairOutcomes) -> str:
    """Number and lowest score of the corners; corners of lower scores were not paired."""
    parts = [
        f"{len(corners)} {kind} corners down to score {corners.scores[-1]:.3f}" if len(corners) else f"no {kind} corner"
        for kind, corners in (("top-left", pairs.tl), ("bottom-right", pairs.br))
    ]
    return f"looked at {parts[0]}, {parts[1]}"


def _class(pair: Pair, pairs: PairOutcomes) -> str:
    names = [pairs.seen.detections.class_names[label] for label in pairs.labels(pair)]
    return " / ".join(dict.fromkeys(names))


def _corners(pair: Pair, pairs: PairOutcomes) -> str:
    tl, br = _corner("T", pairs.tl, pair.tl), _corner("B", pairs.br, pair.br)
    return f"{tl}  {br}  d {pair.distance:.2f}"


def _other_corner(rival: Pair, box: Pair, pairs: PairOutcomes) -> str:
    """The corner of a rival that is not the box's."""
    if rival.tl == box.tl:
        return f"T{rival.tl + 1} with {_corner('B', pairs.br, rival.br)}"
    return f"B{rival.br + 1} with {_corner('T', pairs.tl, rival.tl)}"


def _corner(kind: str, corners: CornerPoints, i: int) -> str:
    x, y = corners.positions[i]
    return f"{kind}{i + 1} {x:.0f},{y:.0f} {corners.scores[i]:.2f} {corners.text(i)}"


def _corner_list(corners: CornerPoints) -> list[dict[str, Any]]:
    columns = (corners.positions, corners.cells, corners.labels, corners.scores)
    return [
        {
            "number": number,
            "x": round(float(position[0]), 3),
            "y": round(float(position[1]), 3),
            "cell": [int(v) for v in cell],
            "label": int(label),
            "score": round(float(score), 5),
            **corners.as_dict(number - 1, digits=5),
        }
        for number, (position, cell, label, score) in enumerate(zip(*columns, strict=True), start=1)
    ]


def _entry(pair: Pair, pairs: PairOutcomes) -> dict[str, Any]:
    return {
        "number": pair.number,
        "box": [round(float(v), 3) for v in pairs.box(pair)],
        "top_left": pair.tl + 1,
        "bottom_right": pair.br + 1,
        "distance": round(pair.distance, 5),
        "score": round(pair.score, 5),
        "final_score": None if pair.final is None else round(pair.final, 5),
        "outcome": pair.outcome,
        "reason": reason(pair, pairs),
        "covered_by": pair.by,
        "iou": None if pair.iou is None else round(pair.iou, 5),
    }
