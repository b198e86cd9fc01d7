"""The GPU benchmark, seen to run: tiny and on the CPU."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"


def run_python(*words: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{BENCHMARKS}{os.pathsep}{ROOT / 'src'}"}
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    out = tmp_path_factory.mktemp("gpu") / "gpu.json"
    done = run_python(BENCHMARKS / "gpu.py", "--quick", "--device", "cpu", "--out", out)
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text()), done.stdout


def test_every_section_is_measured(quick):
    report, printed = quick
    assert list(report["results"]) == ["training", "inference", "targets", "pooling"]
    for section, rows in report["results"].items():
        assert f"### {section}" in printed
        for row in rows:
            assert "error" not in row, row
            assert row["side"] == "cornernet"
    (inference,), (training,) = report["results"]["inference"], report["results"]["training"]
    assert inference["images_per_s"] > 0
    assert set(inference["stages_ms"]) == {"input", "network", "peaks and pairs", "soft-NMS"}
    assert training["median_ms"] > 0
    assert report["results"]["targets"][0]["median_ms"] > 0


def test_pools_are_compared_in_every_layout_and_pass(quick):
    (pooling,) = quick[0]["results"]["pooling"]
    kinds = {(row["dtype"], row["layout"], row["pool"], row["pass"]) for row in pooling["rows"]}
    assert len(kinds) == 2 * 2 * 3 * 2
    assert all(row["cornernet_us"] > 0 and row["cummax_us"] > 0 and "error" not in row for row in pooling["rows"])


def test_the_report_says_what_was_run_and_where(quick):
    report, _ = quick
    assert {"torch", "python", "processor"} <= report["machine"].keys()
    by_name = {variant["name"]: variant for variant in report["variants"]["training"]}
    assert by_name["TF32"]["tf32"]
    assert not by_name["float32"]["tf32"]
    assert by_name["bfloat16, compiled"]["compiled"]


@pytest.mark.skipif(find_spec("mmcv") is not None, reason="mmcv is installed: there is no failure to see")
def test_a_failure_is_written_down_and_ends_nothing_else(tmp_path):
    """The peer is not installed: its line says so, ours has its figures."""
    out = tmp_path / "gpu.json"
    words = ("--quick", "--device", "cpu", "--only", "targets", "--peer", "--out", out)
    done = run_python(BENCHMARKS / "gpu.py", *words)
    assert done.returncode == 0, done.stderr
    ours, peers = json.loads(out.read_text())["results"]["targets"]
    assert ours["median_ms"] > 0
    assert (peers["side"], "mmcv" in peers["error"]) == ("mmdetection", True)


def test_time_that_is_over_leaves_the_rest_out(tmp_path):
    out = tmp_path / "gpu.json"
    words = ("--quick", "--device", "cpu", "--only", "targets", "--minutes", 0.01, "--out", out)
    assert run_python(BENCHMARKS / "gpu.py", *words).returncode == 0
    assert "left out" in json.loads(out.read_text())["results"]["targets"][0]["error"]


def test_needs_torch_and_numpy_only():
    code = "import sys, gpu_worker; print(sorted({'cv2', 'PIL', 'lightning', 'yaml', 'mmdet'} & set(sys.modules)))"
    done = run_python("-c", code)
    assert done.stdout.strip() == "[]", done.stderr
