"""The options with which exported files are opened."""

import pytest

from cornernet.errors import InputError
from cornernet.inference.engines import open_onnx

onnxruntime = pytest.importorskip("onnxruntime", reason="pip install 'cornernet[export]' brings it")
KEY = "session.intra_op.allow_spinning"


@pytest.mark.parametrize(("policy", "spins"), [("", False), ("PASSIVE", False), ("active", True)])
def test_threads_of_onnx_runtime_sleep_unless_the_user_wants_them_active(policy, spins, monkeypatch, tmp_path):
    monkeypatch.setenv("OMP_WAIT_POLICY", policy)
    given = []

    def session(path, options, providers):
        given.append(options)
        raise OSError("seen")

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    with pytest.raises(InputError, match="seen"):
        open_onnx(tmp_path / "model.onnx", "cpu", 2)
    if spins:
        with pytest.raises(RuntimeError, match="does not have"):  # the runtime's default is left as it is
            given[0].get_session_config_entry(KEY)
    else:
        assert given[0].get_session_config_entry(KEY) == "0"
