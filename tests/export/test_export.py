"""Exported files as their users meet them: the same boxes as the weights', without torch; one line where that fails."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import cornernet
from architectures import weights_of
from cornernet.cli import main
from cornernet.config import Architecture, HourglassConfig
from cornernet.data.shapes import draw_scene
from cornernet.inference.metadata import read_metadata
from cornernet.structures import Detections
from cornernet.weights.store import save_weights
from matching import assert_same

onnx = pytest.importorskip("onnx", reason="pip install 'cornernet[export]' brings it")
pytest.importorskip("onnxscript", reason="pip install 'cornernet[export]' brings it")
ort = pytest.importorskip("onnxruntime", reason="pip install 'cornernet[export]' brings it")
openvino = pytest.importorskip("openvino", reason="pip install 'cornernet[export]' brings it")

# All of them stand in TensorRT's list of supported operators; Loop, Resize and TopK have conditions there.
OPERATORS = """
    Abs Add And ArgMax Cast Clip Concat Constant Conv Div Equal Exp Expand Gather GatherElements GatherND Greater
    GreaterOrEqual Less LessOrEqual Log Loop MatMul Max MaxPool Min Mod Mul Neg Or Pad Range Reciprocal ReduceMax
    ReduceMean ReduceMin ReduceProd ReduceSum Relu Reshape Resize Shape Sigmoid Slice Split Squeeze Sub Tile TopK
    Transpose Unsqueeze Where
"""


SMALL = Architecture(
    HourglassConfig(num_stacks=1, channels=(8, 8, 12), blocks=(1, 1, 1), feature_channels=8),
    corner_channels=6,
    branch_channels=8,
)


def scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    drawn = draw_scene((11, seed)).image
    return np.ascontiguousarray(np.tile(drawn, (height // 320 + 1, width // 320 + 1, 1))[:height, :width])


@pytest.fixture(scope="module")
def model(tmp_path_factory, shapes_onnx) -> Path:
    """The bundled weights as ONNX, alone in a folder."""
    return Path(shutil.copy(shapes_onnx, tmp_path_factory.mktemp("export") / "model.onnx"))


@pytest.fixture(scope="module")
def pair(model) -> Path:
    """The same for OpenVINO."""
    from cornernet.export.write import write_openvino

    write_openvino(model.with_suffix(".xml"), onnx.load(model))
    return model.with_suffix(".xml")


@pytest.fixture(scope="module")
def detector():
    return cornernet.load("shapes", device="cpu")


def fails(capsys, *words: object) -> str:
    """Run a command that must fail with one line; that line."""
    capsys.readouterr()
    assert main([str(word) for word in words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize("kind", ["model", "pair"])
def test_an_exported_file_finds_what_the_weights_find(kind, detector, request):
    exported = cornernet.load(request.getfixturevalue(kind), threads=1)
    assert exported.class_names == detector.class_names
    assert exported.threshold == detector.threshold
    for height, width, batch in ((1, 1, 1), (33, 200, 2), (320, 320, 3), (401, 1100, 1)):
        images = [scene(height, width, seed) for seed in range(batch)]
        for found, image in zip(exported.stream(images, batch_size=batch), images, strict=True):
            assert_same(found, detector(image))
    assert len(found) > 50


def test_large_images_are_scaled_down_as_the_weights_do(model, detector):
    image = scene(500, 640)
    found = cornernet.load(model, max_size=320, threads=1)(image)
    assert_same(found, cornernet.load("shapes", device="cpu", max_size=320)(image))
    assert found.boxes[:, 2].max() > 320


def test_all_kinds_of_input_give_the_same(model, tmp_path):
    exported, image = cornernet.load(model, threads=1), scene(100, 120)
    Image.fromarray(image).save(tmp_path / "image.png")
    expected = exported(image)
    assert len(expected) > 0
    for found in exported([tmp_path / "image.png", Image.fromarray(image), np.dstack((image, image[..., 0] | 255))]):
        np.testing.assert_array_equal(found.boxes, expected.boxes)
    assert exported([]) == []


def test_torch_is_not_needed(model, pair):
    code = (
        "import sys, numpy, cornernet; from cornernet import Detections;"
        f"found = [cornernet.load(p)(numpy.zeros((64, 64, 3), numpy.uint8)) for p in ({str(model)!r}, {str(pair)!r})];"
        "print(all(isinstance(f, Detections) for f in found), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_the_file_is_plain_onnx_and_says_what_it_is(model):
    proto = onnx.load(model)
    onnx.checker.check_model(proto, full_check=True)

    def nodes(graph):
        for node in graph.node:
            yield node
            for attribute in node.attribute:
                yield from nodes(attribute.g)

    assert {(o.domain, o.version) for o in proto.opset_import} == {("", 18)}
    assert {node.op_type for node in nodes(proto.graph)} <= set(OPERATORS.split())
    fixed = {t.name for t in proto.graph.initializer}
    assert all(node.input[1] in fixed for node in nodes(proto.graph) if node.op_type == "TopK")  # as TensorRT wants k
    content = json.loads({p.key: p.value for p in proto.metadata_props}["cornernet"])
    assert content["class_names"][:2] == ["disc", "ring"]
    assert content["preprocessing"]["color_order"] == "RGB"
    assert str(Path(__file__).parents[2]).encode() not in model.read_bytes()


def test_commands_take_exported_files(model, tmp_path, capsys):
    Image.fromarray(scene(320, 320)).save(tmp_path / "image.png")
    assert main(["data", "shapes", str(tmp_path / "data"), "--train", "1", "--val", "2"]) == 0
    assert main(["predict", str(tmp_path / "image.png"), "--weights", str(model), "--out", str(tmp_path / "p")]) == 0
    assert json.loads((tmp_path / "p" / "detections.json").read_text())["images"][0]["detections"]
    words = ["evaluate", "--weights", str(model), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "e")]
    assert main(words) == 0
    assert json.loads((tmp_path / "e" / "metrics.json").read_text())["figures"]["AP"] > 0.5
    assert "--oracle" in fails(capsys, *words, "--oracle", "heatmaps")
    assert "--tta" in fails(capsys, *words, "--tta", "flip")
    assert "no heatmaps" in fails(
        capsys, "predict", tmp_path / "image.png", "--weights", model, "--heatmaps", "--out", tmp_path / "h"
    ).replace("\n", " ")


def changed(model: Path, target: Path, **content: object) -> Path:
    """The file with other metadata."""
    proto = onnx.load(model)
    facts = json.loads(proto.metadata_props[0].value) | content
    onnx.helper.set_model_props(proto, {"cornernet": json.dumps(facts)})
    target.write_bytes(proto.SerializeToString())
    return target


def test_files_that_will_not_do(model, pair, tmp_path):
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(model.read_bytes()[:100_000])
    foreign = tmp_path / "foreign.onnx"
    proto = onnx.load(model)
    del proto.metadata_props[:]
    foreign.write_bytes(proto.SerializeToString())
    alone = tmp_path / "alone.xml"
    alone.write_bytes(pair.read_bytes())
    half = tmp_path / "half.xml"
    half.write_bytes(pair.read_bytes())
    half.with_suffix(".bin").write_bytes(pair.with_suffix(".bin").read_bytes()[:1000])
    for path, said in (
        (cut, "not a whole"),
        (foreign, "cornernet export"),
        (changed(model, tmp_path / "new.onnx", version=9), "format 9"),
        (changed(model, tmp_path / "odd.onnx", threshold=[]), "damaged"),
        (changed(model, tmp_path / "maps.onnx", outputs="maps"), "raw_maps"),
        (alone, "alone.bin"),
        (half, "not a whole"),
        (tmp_path / "none.onnx", "no such file"),
    ):
        with pytest.raises(cornernet.InputError, match=said) as error:
            cornernet.load(path)
        assert path.name in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(cornernet.InputError, match="device"):
        cornernet.load(model, device="tpu")


def test_an_image_beyond_the_limit_is_refused(model, tmp_path):
    small = cornernet.load(changed(model, tmp_path / "small.onnx", largest_side=100))
    with pytest.raises(cornernet.InputError, match="max_size"):
        small(scene(50, 101))
    assert len(small(scene(50, 100))) > 0


def test_exports_that_cannot_be(model, capsys, tmp_path):
    assert "--overwrite" in fails(capsys, "export", "--weights", "shapes", "--out", model)
    assert "exported file already" in fails(capsys, "export", "--weights", model)
    out = tmp_path / "new.onnx"
    assert "18, 19, 20" in fails(capsys, "export", "--weights", "shapes", "--opset", "11", "--out", out)
    assert "format" in fails(capsys, "export", "--weights", "shapes", "--format", "coreml", "--out", out)
    assert ".xml" in fails(capsys, "export", "--weights", "shapes", "--format", "openvino", "--out", out)
    assert "no such weights" in fails(capsys, "export", "--weights", tmp_path / "none.safetensors", "--out", out)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(("format", "precision"), [("onnx", "fp16"), ("openvino", "fp16"), ("openvino", "bf16")])
def test_half_precision_finds_nearly_the_same(detector, tmp_path, format, precision):
    path = tmp_path / {"onnx": "half.onnx", "openvino": "half.xml"}[format]
    words = ["--precision", precision, "--format", format, "--out", str(path)]
    assert main(["export", "--weights", "shapes", *words]) == 0
    for seed in range(5):
        expected = detector(scene(320, 320, seed)).above(0.5)
        assert_same(cornernet.load(path)(scene(320, 320, seed)).above(0.5), expected, box=0.2, score=0.01)


def test_a_program_of_pytorchs_own_operators_finds_the_same(tmp_path, capsys):
    small = save_weights(tmp_path / "small.safetensors", weights_of(SMALL))
    detector, path = cornernet.load(small, device="cpu"), tmp_path / "small.pt2"
    assert main(["export", "--weights", str(small), "--format", "pt2", "--out", str(path)]) == 0
    least = int(re.search(r"images of (\d+) pixels", capsys.readouterr().err)[1])
    with zipfile.ZipFile(path) as archive:
        assert not any(
            str(Path(cornernet.__file__).parent).encode() in archive.read(name) for name in archive.namelist()
        )
    extra = {"cornernet": ""}
    program = torch.export.load(path, extra_files=extra)
    assert read_metadata(extra["cornernet"], str(path)).class_names == detector.class_names
    assert "cornernet" not in {getattr(node.target, "namespace", "") for node in program.graph.nodes}
    run = program.module()
    for height, width in ((320, 320), (least, 150)):
        image = scene(height, width, 3)
        boxes, scores, labels, count = (t[0] for t in run(torch.from_numpy(image.transpose(2, 0, 1).copy())[None]))
        found = Detections(*(t[:count].numpy() for t in (boxes, scores, labels)), detector.class_names, (height, width))
        assert_same(found.above(0.05), detector(image).above(0.05))
    assert "torch.export.load" in fails(capsys, "export", "--weights", path, "--out", tmp_path / "new.onnx")


@pytest.mark.slow
def test_raw_maps_and_a_newer_opset(tmp_path):
    path = tmp_path / "maps.onnx"
    assert main(["export", "--weights", "shapes", "--raw-maps", "--opset", "20", "--out", str(path)]) == 0
    session = ort.InferenceSession(path)
    maps = session.run(None, {"images": np.zeros((2, 3, 63, 95), np.uint8)})
    assert [m.shape for m in maps] == [(2, n, 16, 32) for n in (10, 10, 2, 2, 2, 2)]
    with pytest.raises(cornernet.InputError, match="raw maps"):
        cornernet.load(path)
