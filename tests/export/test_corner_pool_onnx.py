"""Corner pooling in ONNX operators, on maps with fewer cells than a block and with more than a block of blocks."""

import numpy as np
import pytest
import torch

from cornernet.model.corner_pool import corner_pool

pytest.importorskip("onnxscript", reason="pip install 'cornernet[export]' brings it")
ort = pytest.importorskip("onnxruntime", reason="pip install 'cornernet[export]' brings it")


class FourPools(torch.nn.Module):
    def forward(self, x):
        return tuple(corner_pool(x, dim, reverse=reverse) for dim in (2, 3) for reverse in (False, True))


def test_pooling_is_right_at_every_size():
    from cornernet.export.corner_pool_onnx import corner_pool_onnx as in_onnx

    program = torch.onnx.export(
        FourPools().eval(),
        (torch.zeros(2, 3, 20, 30),),
        dynamo=True,
        opset_version=18,
        dynamic_shapes=({0: "b", 2: "h", 3: "w"},),
        custom_translation_table={torch.ops.cornernet.corner_pool.default: in_onnx},
        verbose=False,
    )
    session = ort.InferenceSession(program.model_proto.SerializeToString())
    name = session.get_inputs()[0].name
    for height, width in ((1, 1), (16, 17), (255, 256), (257, 4), (5, 600)):
        x = np.random.default_rng(0).random((2, 3, height, width), np.float32)
        for found, expected in zip(session.run(None, {name: x}), FourPools()(torch.from_numpy(x)), strict=True):
            np.testing.assert_array_equal(found, expected)
