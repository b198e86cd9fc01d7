"""``cornernet explain``: a table, pictures and JSON of one image."""

import json
from statistics import harmonic_mean

import numpy as np
import pytest

from cornernet.cli import main
from cornernet.data.shapes import draw_scene
from cornernet.drawing.draw import save_image


@pytest.fixture
def scene(tmp_path):
    return save_image(tmp_path / "scene.png", draw_scene((20261, 11)).image)


def test_everything_is_written(scene, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["explain", str(scene), "--weights", "shapes", "--out", str(out), "--at", "206,146"]) == 0
    printed = capsys.readouterr().out
    names = {f"scene_{kind}.jpg" for kind in ("boxes", "rejected", "at")}
    assert {path.name for path in out.iterdir()} == names | {"scene.json"}
    found = json.loads((out / "scene.json").read_text())
    assert found["boxes"]
    assert f"{len(found['boxes'])} boxes of score {found['threshold']:g} or more" in printed
    for number, box in enumerate(found["boxes"], start=1):
        assert box["number"] == number
        assert box["final_score"] >= found["threshold"]
        tl, br = found["top_left"][box["top_left"] - 1], found["bottom_right"][box["bottom_right"] - 1]
        assert box["box"] == [tl["x"], tl["y"], br["x"], br["y"]]
        assert tl["label"] == br["label"]
        x1, y1, x2, y2 = box["box"]
        off = np.log(np.divide([tl["size"], br["size"]], [x2 - x1, y2 - y1]))
        assert np.abs(off).mean() == pytest.approx(box["distance"], abs=0.02)  # sizes are rounded
        assert harmonic_mean((tl["score"], br["score"])) == pytest.approx(box["score"], abs=1e-4)
        for other in box["rejected"]:
            assert other["reason"]
            assert other["top_left"] == box["top_left"] or other["bottom_right"] == box["bottom_right"]
    assert found["at"]["pairs"]
    assert "at 206,146: " in printed


@pytest.mark.parametrize(("at", "said"), [("12", "as --at 120,80"), ("a,b", "--at a,b"), ("999,3", "outside")])
def test_points_that_are_none(at, said, scene, tmp_path, capsys):
    assert main(["explain", str(scene), "--weights", "shapes", "--out", str(tmp_path / "out"), "--at", at]) == 2
    line = capsys.readouterr().err.strip()
    assert said in line
    assert len(line.splitlines()) == 1
    assert not (tmp_path / "out").exists()
