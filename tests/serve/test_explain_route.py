"""What the page is told: corners that are the box's own, heatmaps that lie where the image lies."""

import base64
import dataclasses
import io

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("fastapi", reason="the server's packages are absent: pip install 'cornernet[serve]'")

from cornernet.config import Architecture, Decoding, HourglassConfig, Preprocessing, SizeConfig
from cornernet.data.shapes import draw_scene
from cornernet.drawing.draw import save_image
from cornernet.inference.detector import Detector, load_detector
from cornernet.model.cornernet import CornerNet
from serve.fakes import serving


def opacity(address: str) -> np.ndarray:
    """(h, w) of a picture in a data address, 0 to 1."""
    kind, data = address.split(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA"))[..., 3] / 255


@pytest.mark.parametrize(("max_size", "scales"), [(None, (1.0,)), (200, (1.0,)), (None, (0.75, 1.0))])
def test_corners_and_heatmaps(max_size, scales, tmp_path):
    image = draw_scene((20261, 11)).image[30:280]
    detector = load_detector("shapes", device="cpu", max_size=max_size, flip=True, scales=scales)
    # so much padding that a heatmap laid over the image without regard to it would miss
    detector.preprocessing = dataclasses.replace(detector.preprocessing, pad_mask=127, pad_multiple=None)
    file = save_image(tmp_path / "scene.png", image)
    with serving(detector) as client:
        answer = client.post("/explain", content=file.read_bytes(), headers={"Content-Type": "image/png"}).json()
    assert (answer["width"], answer["height"]) == (320, 250)
    assert answer["classes"] == list(detector.class_names)
    seen = detector.explain(image)
    assert [{k: d[k] for k in ("box", "score", "label", "class")} for d in answer["detections"]] == (
        seen.detections.as_dicts()
    )
    maps = {kind: opacity(address) for kind, address in answer["heatmaps"].items()}
    with_sizes = checked = 0
    for detection in answer["detections"][:8]:
        tl, br = detection["top_left"], detection["bottom_right"]
        corners = np.clip([tl["x"], tl["y"], br["x"], br["y"]], 0, [320, 250, 320, 250])
        assert corners == pytest.approx(detection["box"], abs=0.01 if len(scales) == 1 else 4)  # scales are merged
        if tl["size"] is None:
            continue  # another view's
        with_sizes += 1
        off = np.log(np.divide([tl["size"], br["size"]], [br["x"] - tl["x"], br["y"] - tl["y"]]))
        assert np.abs(off).mean() == pytest.approx(detection["distance"], abs=0.02)  # sizes are rounded
        for kind, corner in (("top_left", tl), ("bottom_right", br)):
            height, width = maps[kind].shape
            x, y = corner["x"] * width / 320, corner["y"] * height / 250
            if not (4 < x < width - 4 and 4 < y < height - 4):
                continue  # its cell may lie outside the image
            checked += 1
            around = maps[kind][max(0, int(y) - 6) : int(y) + 7, max(0, int(x) - 6) : int(x) + 7]
            assert around.max() > 0.7 * np.sqrt(corner["score"])
    assert with_sizes
    assert checked


def test_sizes_that_corners_say(tmp_path):
    torch.manual_seed(0)
    network = CornerNet(
        Architecture(
            HourglassConfig(num_stacks=1, channels=(8, 8, 12), blocks=(1, 1, 1), feature_channels=8),
            corner_channels=6,
            branch_channels=8,
            pairing=SizeConfig(),
        ),
        2,
    )
    detector = Detector(network, ("a", "b"), Preprocessing(pad_mask=15), decoding=Decoding(max_distance=9.0))
    file = save_image(tmp_path / "scene.png", draw_scene((20261, 11)).image)
    with serving(detector) as client:
        answer = client.post("/explain", content=file.read_bytes(), headers={"Content-Type": "image/png"}).json()
    corner = answer["detections"][0]["top_left"]
    assert answer["pairing"]["name"] == "size"
    assert corner.keys() == {"x", "y", "score", "size"}
    assert min(corner["size"]) > 0
