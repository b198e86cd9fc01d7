"""Jobs on a cluster of Ray: the rows of one machine, each once, whatever is killed on the way."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from batch.jobs import (
    encoded,
    one_machine,
    stored,
    write_images,
    write_parquet,
    write_shard,
    write_weights,
)
from cornernet.batch.ray_cluster import import_ray
from cornernet.cli import main
from cornernet.inference.detector import load_detector
from cornernet.media.images import read_image
from media.test_sources import serving
from small import environment, write_data

import_ray()
cluster_utils = importlib.import_module("ray.cluster_utils")


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights") / "small.safetensors")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """One machine's cluster for all tests of this file."""
    shared = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False, "object_store_memory": 10**8}
    )
    yield shared
    shared.shutdown()


@pytest.fixture
def run(weights, cluster, tmp_path, capsys) -> Callable[..., tuple[int, str, str]]:
    """Runs ``predict --ray`` into the folder ``out``: the exit code, and what it wrote to both streams."""

    def predict(*words: object) -> tuple[int, str, str]:
        command = ["predict", *map(str, words), "--weights", str(weights), "--ray", cluster.address]
        capsys.readouterr()
        code = main([*command, "--out", str(tmp_path / "out"), "--workers", "1"])
        return code, *capsys.readouterr()

    return predict


def test_every_source_gives_the_rows_of_one_machine(run, weights, tmp_path):
    paths = write_images(tmp_path / "images", 7)
    contents = [path.read_bytes() for path in paths]
    write_shard(tmp_path / "images/s.tar", {"a/x.jpg": contents[3], "b.txt": b"", "y.png": contents[4]})
    write_parquet(tmp_path / "images/t.parquet", [contents[0], None, contents[3], contents[1]], group=2)
    (tmp_path / "images/clip.mp4").write_bytes(b"")
    code, out, err = run(tmp_path / "images", "--part-size", 3, "--price", 2)
    assert code == 0
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert err.splitlines()[0].startswith("cornernet: 1 videos were not looked at")
    assert "3 images could not be used; the column error says why" in err

    alone = one_machine(weights, [str(path) for path in paths])
    found = stored(tmp_path / "out")
    assert found[: len(alone)] == alone
    rows = {name.removeprefix(f"{tmp_path}/images/"): row for name, _, row in found[len(alone) :]}
    by_content = {path: row for path, index, row in alone if not index}
    assert rows["s.tar/a/x.jpg"] == rows["t.parquet#2"] == by_content[str(paths[3])]
    assert rows["s.tar/y.png"] == by_content[str(paths[4])]
    assert rows["t.parquet#0"] == by_content[str(paths[0])]
    assert "no image in this row" in rows["t.parquet#1"][0]
    assert "truncated or damaged" in rows["t.parquet#3"][0]
    assert len(rows) == 6

    summary = json.loads((tmp_path / "out/summary.json").read_text())
    boxes = sum(len(np.frombuffer(row[3], np.float32)) for *_, row in found if len(row) > 1)
    assert (summary["images"], summary["errors"], summary["boxes"]) == (11, 3, boxes)
    assert out.startswith(f"{boxes} objects in 11 images")
    assert summary["cost"] == pytest.approx(2 * summary["worker_hours"], abs=1e-3)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("detections", "manifest.json", "plan.parquet", "summary.json")
    }

    # A part that is gone or not whole is done again, the others are not.
    parts = sorted((tmp_path / "out/detections").iterdir())
    parts[0].unlink()
    parts[1].write_bytes(parts[1].read_bytes()[:200])
    times = [part.stat().st_mtime_ns for part in parts[2:]]
    (tmp_path / "images/new.png").write_bytes(contents[0])  # is not in the plan
    code, _, err = run(tmp_path / "images", "--part-size", 3)
    assert code == 0
    assert f"{len(parts) - 2} of {len(parts)} parts are there" in err
    assert stored(tmp_path / "out") == found
    assert [part.stat().st_mtime_ns for part in parts[2:]] == times
    code, _, err = run(tmp_path / "images", "--part-size", 3, "--max-size", 20)
    assert code == 2
    assert err == (
        f"cornernet: {tmp_path}/out: holds detections of another run: max_size was None, now 20;"
        " give another folder with --out\n"
    )


def test_a_killed_actor_and_a_killed_driver_lose_and_repeat_nothing(weights, cluster, tmp_path):
    paths = write_images(tmp_path / "images", 40)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "cornernet", "predict", str(tmp_path / "images"), "--weights", str(weights)]
    command += ["--ray", cluster.address, "--out", str(out), "--part-size", "2", "--workers", "1"]

    def start_and_wait(parts: int) -> subprocess.Popen[bytes]:
        job = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        end = time.monotonic() + 120
        while not (out / "detections").is_dir() or len(list((out / "detections").glob("*.parquet"))) < parts:
            assert job.poll() is None, job.communicate()[0].decode()
            assert time.monotonic() < end
            time.sleep(0.02)
        return job

    driver = start_and_wait(2)
    driver.kill()
    driver.communicate()
    job = start_and_wait(4)
    for pid in actors():
        os.kill(pid, signal.SIGKILL)
    said = job.communicate(timeout=120)[0].decode()
    assert job.returncode == 0, said
    assert stored(out) == one_machine(weights, [str(path) for path in paths])


def actors() -> list[int]:
    """Processes of Ray that hold a detector, by number."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [int(path.parent.name)] * (b"MapWorker" in path.read_bytes())
        except OSError:
            continue
    return found


def test_an_evaluation_has_the_figures_of_one_machine(cluster, tmp_path, capsys):
    data = write_data(tmp_path / "data", train=1, val=5)
    weights = write_weights(tmp_path / "w.safetensors", ("red", "blue"))
    words = ["evaluate", "--weights", str(weights), "--data", str(data)]
    assert main([*words, "--out", str(tmp_path / "a")]) == 0
    table = capsys.readouterr().out
    ray = ["--ray", cluster.address, "--part-size", "2", "--workers", "1"]
    assert main([*words, "--out", str(tmp_path / "b"), *ray]) == 0
    assert capsys.readouterr().out == table
    one, many = (json.loads((tmp_path / name / "predictions.json").read_text()) for name in "ab")
    assert one == many
    assert len(one) > 5


def test_a_data_set_of_ray_gets_columns(weights, cluster, tmp_path):
    import ray

    import cornernet

    paths = write_images(tmp_path / "images", 5)
    detector = load_detector(weights, device="cpu")
    (tmp_path / "a.png").write_bytes(encoded(3))
    pixels = read_image(paths[3])
    ray.init(cluster.address, log_to_driver=False)
    try:
        rows = [{"id": i, "bytes": path.read_bytes()} for i, path in enumerate(paths)] + [{"id": 5, "bytes": None}]
        found = cornernet.predict_dataset(ray.data.from_items(rows), weights, image_column="bytes").take_all()
        found.sort(key=lambda row: row["id"])
        assert list(found[0]) == ["id", "width", "height", "boxes", "scores", "labels", "names", "error"]
        for path, row in zip(paths, found, strict=False):
            if path == paths[1]:
                assert "truncated or damaged" in row["error"]
                continue
            expected = detector(path, min_score=detector.threshold)
            assert (row["height"], row["width"]) == expected.image_size
            assert np.array_equal(np.array(row["boxes"], np.float32), expected.boxes)
            assert np.array_equal(np.array(row["scores"], np.float32), expected.scores)
            assert row["names"] == [detector.class_names[label] for label in expected.labels]
            assert row["error"] is None
        assert found[5]["error"].startswith("image: no image in this row")

        arrays = ray.data.from_items([{"image": pixels}, {"image": pixels[:20]}])  # a tensor column of two shapes
        found = cornernet.predict_dataset(arrays, weights, keep_images=True, threshold=0.5).take_all()
        assert sorted(row["image"].shape for row in found) == sorted([pixels.shape, pixels[:20].shape])
        assert {row["error"] for row in found} == {None}
        with pytest.raises(cornernet.InputError, match="no such column \\(there are image\\)"):
            cornernet.predict_dataset(arrays.materialize(), weights, image_column="photo")
        with pytest.raises(cornernet.InputError, match="conf"):
            cornernet.predict_dataset(arrays, weights, conf=0.5)
        with pytest.raises(cornernet.InputError, match=r"must be a ray\.data\.Dataset"):
            cornernet.predict_dataset([pixels], weights)  # type: ignore[arg-type]
    finally:
        ray.shutdown()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--ray", "127.0.0.1:9"], "--ray 127.0.0.1:9: no Ray cluster answers there (Connection refused)"),
        (["--ray", "images"], "--ray images: no address of a Ray cluster; write the images before the options"),
        (["--ray", "--save", "csv"], "--save: is no option of jobs on Ray"),
        (["--ray", "--track"], "--track: is no option of jobs on Ray"),
        (["--ray", "--part-size", "0"], "--part-size 0: give a number above 0"),
        (["--workers", "3"], "--workers 3: is an option of jobs on Ray; give --ray too"),
        (["--ray", "--classes", "zebra"], "--classes: the weights have no class 'zebra'"),
        (["--ray", "--weights", "absent"], "absent: no such weights file"),
        (["--ray", "--out", "/proc/x"], "/proc/x"),
    ],
)
def test_bad_input_is_one_line_before_work_starts(weights, tmp_path, capsys, words, said):
    write_images(tmp_path / "images", 3)
    common = ["predict", str(tmp_path / "images"), "--weights", str(weights), "--out", str(tmp_path / "out")]
    start = time.monotonic()
    assert main([*common, *words]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("cornernet: ")
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())
    assert time.monotonic() - start < 60


def test_a_port_of_another_program_is_no_cluster(weights, tmp_path, capsys):
    write_images(tmp_path / "images", 3)
    with serving({}) as address:
        command = ["predict", str(tmp_path / "images"), "--weights", str(weights), "--out", str(tmp_path / "out")]
        assert main([*command, "--ray", address.removeprefix("http://").rstrip("/")]) == 2
    assert "another program answers there, no Ray cluster" in capsys.readouterr().err


def test_another_version_of_ray_or_python_is_named(weights, cluster, tmp_path, capsys, monkeypatch):
    import ray

    write_images(tmp_path / "images", 3)
    monkeypatch.setattr(ray, "__version__", "2.0.0")
    command = ["predict", str(tmp_path / "images"), "--weights", str(weights), "--ray", cluster.address]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "other versions run there" in said
    assert "use the cluster's Python and Ray here" in said
    assert said.count("\n") == 1


def test_without_ray_the_extra_is_named(weights, tmp_path, capsys, monkeypatch):
    write_images(tmp_path / "images", 3)
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    assert main(["predict", str(tmp_path / "images"), "--weights", str(weights), "--ray"]) == 2
    assert capsys.readouterr().err == "cornernet: --ray: ray is not installed; pip install 'cornernet[ray]'\n"
