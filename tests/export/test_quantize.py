"""Files in int8 as their users meet them: a third as large, nearly the same boxes; one line where there can be none."""

from pathlib import Path

import numpy as np
import pytest

import cornernet
from cornernet.cli import main
from cornernet.commands import export as command
from cornernet.data.find import find_data, load_split
from cornernet.data.shapes import CLASS_NAMES, draw_scene
from small import write_data

onnx = pytest.importorskip("onnx", reason="pip install 'cornernet[int8]' brings it")
pytest.importorskip("onnxscript", reason="pip install 'cornernet[int8]' brings it")
openvino = pytest.importorskip("openvino", reason="pip install 'cornernet[int8]' brings it")
pytest.importorskip("nncf", reason="pip install 'cornernet[int8]' brings it")


@pytest.fixture(scope="module")
def model(tmp_path_factory, shapes_onnx) -> Path:
    """The bundled weights in int8, by the command line, calibrated on eight scenes; their ONNX is there already."""
    folder = tmp_path_factory.mktemp("int8")
    data, path = str(folder / "data"), folder / "model.xml"
    assert main(["data", "shapes", data, "--train", "8", "--val", "1", "--seed", "5"]) == 0
    words = ["--format", "openvino", "--precision", "int8", "--data", data, "--out", str(path)]

    def to_onnx(weights, *, precision, raw_maps, opset):
        assert weights.class_names == CLASS_NAMES
        assert (precision, raw_maps, opset) == ("fp32", False, 18)
        return onnx.load(shapes_onnx)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cornernet.export.write.to_onnx", to_onnx)
        assert main(["export", "--weights", "shapes", *words]) == 0
    return path


def test_it_finds_what_the_weights_find(model):
    exported, detector = cornernet.load(model, threads=1), cornernet.load("shapes", device="cpu")
    assert exported.facts.precision == "int8"
    assert exported.class_names == detector.class_names
    pairs = []
    for seed in range(4):
        scene = draw_scene((11, seed)).image
        found, expected = exported(scene), detector(scene).above(0.5)
        for box, score, label in zip(expected.boxes, expected.scores, expected.labels, strict=True):
            near = (found.labels == label) & (np.abs(found.boxes - box).max(axis=1) < 4)
            pairs.append(bool((near & (np.abs(found.scores - score) < 0.15)).any()))
    assert len(pairs) > 8
    assert np.mean(pairs) >= 0.9


def test_the_network_alone_is_in_int8(model):
    read = openvino.Core().read_model(model)
    convolutions = [each for each in read.get_ordered_ops() if each.get_type_name() == "Convolution"]
    exact = [each for each in convolutions if each.input_value(0).get_node().get_type_name() != "FakeQuantize"]
    assert [list(each.output(0).get_partial_shape())[1].get_length() for each in exact] == [10, 10]  # both heatmaps
    assert len(convolutions) == 55
    for each in read.get_ordered_ops():
        if each.get_type_name() in ("MatMul", "Maximum", "Exp"):
            kinds = {value.get_node().get_type_name() for value in each.input_values()}
            assert "FakeQuantize" not in kinds
    assert model.with_suffix(".bin").stat().st_size < 5e6  # 14.1 MB in float32
    assert str(Path(__file__).parents[2]) not in model.read_text()


def test_of_raw_maps_only_the_heatmaps_branches_are_in_int8():
    from openvino import opset13 as ops

    from cornernet.export.quantize import float_operations

    def convolution(x, name: str):
        node = ops.convolution(x, np.ones((3, 3, 1, 1), np.float32), [1, 1], [0, 0], [0, 0], [1, 1], name=name)
        node.output(0).set_names({name})
        return node

    images = ops.parameter([1, 3, 8, 8], np.float32)
    features = convolution(images, "network")
    heatmap = convolution(convolution(features, "hidden"), "tl_heatmap")
    embedding = convolution(convolution(features, "embedding_hidden"), "tl_embedding")
    kept = set(float_operations(openvino.Model([heatmap, embedding], [images], "maps")))
    assert kept >= {"tl_heatmap", "tl_embedding", "embedding_hidden"}
    assert kept.isdisjoint({"network", "hidden"})


def test_calibration_images_are_drawn_evenly_and_as_the_file_gets_them(tmp_path):
    from cornernet.export.quantize import Calibration

    dataset = load_split(find_data(write_data(tmp_path / "data")), "train")
    done: list[tuple[int, int]] = []
    images = Calibration(dataset, 32, count=4, progress=lambda *counts: done.append(counts))
    assert [record.id for record in images.records] == [1, 11, 21, 31]
    assert [(image.shape, image.dtype) for image in images] == [((1, 3, 32, 32), np.uint8)] * 4
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert len(Calibration(dataset, None)) == 40
    dataset.images.clear()
    with pytest.raises(cornernet.InputError, match="no image to calibrate on"):
        Calibration(dataset, None)


def test_what_cannot_be(tmp_path, capsys, monkeypatch):
    data, out = str(write_data(tmp_path / "data", 2, 1)), tmp_path / "new.xml"

    def fails(*words: str) -> str:
        assert main(["export", "--weights", "shapes", "--out", str(out), *words]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1, lines
        return lines[0]

    openvino_int8 = "--format", "openvino", "--precision", "int8"
    assert "name a data set of yours with --data" in fails(*openvino_int8)
    assert "for --precision int8 alone" in fails("--format", "openvino", "--data", data)
    assert "no such folder" in fails(*openvino_int8, "--data", str(tmp_path / "none"))
    assert "no split 'test'" in fails(*openvino_int8, "--data", data, "--split", "test")
    monkeypatch.setattr(command, "find_spec", {}.get)
    assert "pip install 'cornernet[int8]'" in fails(*openvino_int8, "--data", data)
    out = tmp_path / "new.onnx"
    assert "give --format openvino" in fails("--precision", "int8", "--data", data)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
