"""What is exported says what the network says: every backbone with every pairing rule."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import cornernet
from architectures import ARCHITECTURES, NAMES, picture, weights_of
from cornernet.export.graph import BoxesGraph, MapsGraph
from cornernet.inference.detector import Detector
from cornernet.structures import Detections
from matching import assert_same

every = pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)


def expected(architecture, image):
    stored = weights_of(architecture)
    return Detector(stored.build(), NAMES, stored.preprocessing, decoding=stored.decoding)(image)


@every
def test_the_graph_for_exporters_finds_what_the_detector_finds(architecture):
    stored, image = weights_of(architecture), picture()
    graph = BoxesGraph(stored.build(), stored.preprocessing, stored.decoding).eval()
    with torch.inference_mode():
        boxes, scores, labels, count = graph(torch.from_numpy(image.transpose(2, 0, 1)[None].copy()))
    kept = slice(int(count[0]))
    found = boxes[0, kept].numpy(), scores[0, kept].numpy(), labels[0, kept].numpy()
    assert_same(Detections(*found, NAMES, image.shape[:2]), expected(architecture, image), box=0.01)


@every
def test_raw_maps_have_the_pairing_rules_own_names(architecture):
    stored = weights_of(architecture)
    graph = MapsGraph(stored.build(), stored.preprocessing).eval()
    name = architecture.pairing.name
    assert graph.outputs == ("tl_heatmap", "br_heatmap", f"tl_{name}", f"br_{name}", "tl_offset", "br_offset")
    with torch.inference_mode():
        maps = graph(torch.from_numpy(picture().transpose(2, 0, 1)[None].copy()))
    assert maps[2].shape[1] == stored.build().heads[-1].pairing.outputs


@pytest.mark.parametrize(
    "name", ["toy-diagonal", "squeeze-size", pytest.param("efficientnet_lite-size", marks=pytest.mark.slow)]
)
def test_exported_files_find_what_the_weights_find(name, tmp_path):
    pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'cornernet[export]'")
    pytest.importorskip("openvino", reason="needs openvino: pip install 'cornernet[export]'")
    from cornernet.export.write import to_onnx, write_onnx, write_openvino

    architecture, proto = ARCHITECTURES[name], to_onnx(weights_of(ARCHITECTURES[name]))
    write_onnx(tmp_path / "model.onnx", proto)
    write_openvino(tmp_path / "model.xml", proto)
    for file in ("model.onnx", "model.xml"):
        exported = cornernet.load(tmp_path / file, threads=1)
        for size in ((70, 120), (33, 97)):
            image = picture(*size)
            assert_same(exported(image), expected(architecture, image))


def test_the_maps_of_an_exported_trunk_are_the_networks():
    """Its pairing and soft-NMS are those of the files above."""
    ort = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'cornernet[export]'")
    from cornernet.export.write import to_onnx

    stored, image = weights_of(ARCHITECTURES["efficientnet_lite-size"]), picture().transpose(2, 0, 1)[None].copy()
    session = ort.InferenceSession(to_onnx(stored, raw_maps=True).SerializeToString())
    graph = MapsGraph(stored.build(), stored.preprocessing).eval()
    with torch.inference_mode():
        expected = graph(torch.from_numpy(image))
    for name, found, maps in zip(graph.outputs, session.run(None, {"images": image}), expected, strict=True):
        np.testing.assert_allclose(found, maps, rtol=1e-4, atol=1e-4 * float(maps.abs().max()), err_msg=name)
