"""Kill nodes, actors and drivers of jobs on Ray at random moments, against a store that fails, and count the rows.

``python benchmarks/ray_kills.py --moto ENV/bin/moto_server`` draws images, puts them into a bucket of moto's S3
stand-in (an environment of its own with ``pip install 'moto[server]'``), and runs ``cornernet predict s3://... --ray``
on clusters of two and of four nodes of this machine. Between the jobs and the bucket stands a proxy that answers 503,
drops connections, and keeps answers back. While a job runs, nodes and actors are killed and replaced; in some runs the
driver too, and the same command is then given again. Every run's rows are compared with those of one machine, bit for
bit: each image exactly once, the same boxes, scores, labels and errors.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from store_proxy import FaultyProxy

BUCKET_IN, BUCKET_OUT = "images", "results"
PART_SIZE = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moto", default="moto_server", help="the program moto_server")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--nodes", default="2,4", help="sizes of clusters; the runs are shared among them")
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--faults", type=float, default=0.08, help="share of the store's answers that are faults")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
    os.environ |= {"OMP_NUM_THREADS": "1", "AWS_EC2_METADATA_DISABLED": "true", "RAY_worker_niceness": "0"}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="ray-kills-") as folder:
        images = draw_images(Path(folder), args.images, args.seed)
        port = free_port()
        moto = subprocess.Popen(
            [args.moto, "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder
        )
        try:
            wait_for(port)
            store = fill_store(port, images)
            with FaultyProxy(port, args.faults, args.seed) as proxy:
                os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{proxy.port}"
                expected = rows_of_one_machine(images)
                sizes = [int(size) for size in args.nodes.split(",")]
                for size in sizes:
                    with TestCluster(size) as cluster:
                        for number in range(args.runs // len(sizes)):
                            place = f"{BUCKET_OUT}/{size}-{number}"
                            row = one_run(cluster, store, place, rng, expected) | {"nodes": size}
                            row["store_faults"] = proxy.take_count()
                            rows.append(row)
                            print(json.dumps(row), flush=True)
        finally:
            moto.terminate()
    totals = {name: sum(row[name] for row in rows) for name in ("node_kills", "actor_kills", "driver_kills")}
    totals |= {name: sum(row[name] for row in rows) for name in ("store_faults", "lost", "repeated", "different")}
    print(f"{len(rows)} runs of {args.images} images:", json.dumps(totals))
    if args.out:
        args.out.write_text(json.dumps({"runs": rows, "totals": totals}, indent=1) + "\n")
    raise SystemExit(any(totals[name] for name in ("lost", "repeated", "different")))


def draw_images(folder: Path, count: int, seed: int) -> list[Path]:
    """Scenes as files; the last is damaged."""
    import cv2

    from cornernet.data.shapes import draw_scene

    paths = [folder / f"{i:04d}.png" for i in range(count)]
    for i, path in enumerate(paths):
        cv2.imwrite(str(path), draw_scene((seed, i)).image[:, :, ::-1])
    paths[-1].write_bytes(paths[-1].read_bytes()[:2000])
    return paths


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def wait_for(port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("the store does not start: is --moto right?")


def fill_store(port: int, images: list[Path]) -> Any:
    """The store without the proxy, with both buckets and the images."""
    from pyarrow.fs import S3FileSystem

    store = S3FileSystem(endpoint_override=f"127.0.0.1:{port}", scheme="http", allow_bucket_creation=True)
    store.create_dir(BUCKET_IN)
    store.create_dir(BUCKET_OUT)
    for path in images:
        with store.open_output_stream(f"{BUCKET_IN}/{path.name}") as stream:
            stream.write(path.read_bytes())
    return store


Row = tuple[Any, ...]  # width, height, boxes, scores and labels as bytes; the error without the image's name


def rows_of_one_machine(images: list[Path]) -> dict[str, Row]:
    """What `cornernet predict` finds, by file name, before it rounds."""
    import cornernet
    from cornernet.errors import InputError, command_line_words
    from cornernet.inference.stream import detect
    from cornernet.media.sources import find_sources, read_frames

    detector = cornernet.load("shapes", device="cpu")
    found: dict[str, Row] = {}
    with command_line_words():
        frames = read_frames(find_sources([str(path) for path in images]), 3)
        for path, result in zip(images, detect(detector, frames, threshold=detector.threshold), strict=True):
            if isinstance(result, InputError):
                found[path.name] = (str(result).replace(str(path), ""),)
            else:
                each = result.detections
                height, width = each.image_size
                arrays = each.boxes.astype(np.float32), each.scores.astype(np.float32), each.labels.astype(np.int32)
                found[path.name] = (width, height, *(array.tobytes() for array in arrays))
    return found


def stored_rows(store: Any, place: str) -> list[tuple[str, Row]]:
    """The file name and the row of everything that a job wrote."""
    import pyarrow.parquet as pq
    from pyarrow.fs import FileSelector

    found: list[tuple[str, Row]] = []
    for info in store.get_file_info(FileSelector(f"{place}/detections")):
        for row in pq.read_table(info.path, filesystem=store, partitioning=None).to_pylist():
            name = row["image"].rpartition("/")[2]
            if row["error"] is not None:
                found.append((name, (row["error"].replace(row["image"], ""),)))
                continue
            kinds = (("boxes", np.float32), ("scores", np.float32), ("labels", np.int32))
            arrays = (np.array(row[column], kind).tobytes() for column, kind in kinds)
            found.append((name, (row["width"], row["height"], *arrays)))
    return found


class TestCluster:
    """A head without cores, where the driver is, and ``size`` nodes of a core each."""

    __test__ = False

    def __init__(self, size: int) -> None:
        from cornernet.batch.ray_cluster import import_ray

        import_ray()
        from ray.cluster_utils import Cluster

        # A dead node is noticed after a few seconds instead of half a minute.
        config = {"health_check_period_ms": 1000, "health_check_failure_threshold": 5}
        self.cluster = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, "_system_config": config}
        )
        self.nodes = [self.add() for _ in range(size)]

    def __enter__(self) -> TestCluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.cluster.shutdown()

    def add(self) -> Any:
        return self.cluster.add_node(num_cpus=1, include_dashboard=False)

    def kill_node(self, rng: random.Random) -> None:
        node = rng.choice(self.nodes)
        self.nodes.remove(node)
        self.cluster.remove_node(node, allow_graceful=False)

    def mend(self, size: int) -> None:
        while len(self.nodes) < size:
            self.nodes.append(self.add())


def kill_actor(rng: random.Random) -> bool:
    """SIGKILL to one process of Ray that holds a detector, if there is one."""
    pids = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            if b"MapWorker" in Path(path).read_bytes():
                pids.append(int(path.split("/")[2]))
        except OSError:
            continue
    if not pids:
        return False
    os.kill(rng.choice(pids), signal.SIGKILL)
    return True


def one_run(
    cluster: TestCluster, store: Any, place: str, rng: random.Random, expected: dict[str, Row]
) -> dict[str, Any]:
    """One job with kills, and what its rows are."""
    from pyarrow.fs import FileSelector

    size = len(cluster.nodes)
    counts = {"node_kills": 0, "actor_kills": 0, "driver_kills": 0, "starts": 0}
    start = time.monotonic()

    def parts() -> int:
        return len(store.get_file_info(FileSelector(f"{place}/detections", allow_not_found=True)))

    total = -(-len(expected) // PART_SIZE)
    plan = sorted(
        (rng.uniform(0, 0.9) * total, rng.choice(["node", "node", "actor", "driver"])) for _ in range(rng.randint(2, 4))
    )
    output = b""
    for attempt in range(20):
        counts["starts"] = attempt + 1
        job = subprocess.Popen(
            [
                *(sys.executable, "-m", "cornernet", "predict", f"s3://{BUCKET_IN}", "--weights", "shapes"),
                *("--ray", cluster.cluster.address, "--out", f"s3://{place}", "--part-size", str(PART_SIZE)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        while job.poll() is None:
            if time.monotonic() - start > 900:
                job.kill()
                raise SystemExit(f"{place}: no end after 900 s, {parts()} parts")
            if plan and parts() >= plan[0][0]:
                time.sleep(rng.uniform(0, 1.5))  # anywhere in a part
                _, what = plan.pop(0)
                if what == "node":
                    cluster.kill_node(rng)
                    counts["node_kills"] += 1
                    time.sleep(rng.uniform(0, 3))
                    cluster.mend(size)
                elif what == "actor":
                    counts["actor_kills"] += kill_actor(rng)
                else:
                    job.kill()
                    counts["driver_kills"] += 1
            time.sleep(0.1)
        output = job.communicate()[0]
        if job.returncode == 0:
            break
        if job.returncode != -signal.SIGKILL:
            print(f"exit code {job.returncode}: {output.decode()[-400:]}", file=sys.stderr)
    rows = stored_rows(store, place)
    names = [name for name, _ in rows]
    return counts | {
        "seconds": round(time.monotonic() - start, 1),
        "rows": len(rows),
        "lost": len(set(expected) - set(names)),
        "repeated": len(names) - len(set(names)),
        "different": sum(expected[name] != row for name, row in rows),
        "last_line": output.decode().strip().splitlines()[-1] if output.strip() else "",
    }


if __name__ == "__main__":
    main()
