"""The options with which exported files are opened."""

from contextlib import suppress

import pytest

from cornernet.errors import InputError
from cornernet.inference.engines import open_onnx

onnxruntime = pytest.importorskip("onnxruntime", reason="pip install 'cornernet[export]' brings it")
DURATION, ALLOWED = "session.intra_op.spin_duration_us", "session.intra_op.allow_spinning"


@pytest.mark.parametrize(("policy", "entries"), [("", {DURATION: "100"}), ("ACTIVE", {}), ("passive", {ALLOWED: "0"})])
def test_threads_of_onnx_runtime_spin_shortly_or_as_the_user_says(policy, entries, monkeypatch, tmp_path):
    monkeypatch.setenv("OMP_WAIT_POLICY", policy)
    given = {}

    def session(path, options, providers):
        for key in (DURATION, ALLOWED):
            with suppress(RuntimeError):  # it has no such entry
                given[key] = options.get_session_config_entry(key)
        raise OSError("seen")

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    with pytest.raises(InputError, match="seen"):
        open_onnx(tmp_path / "model.onnx", "cpu", 2)
    assert given == entries
