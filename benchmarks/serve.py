"""The server with twice as many requests as it can answer: latencies, refusals, memory. On this machine alone.

    python benchmarks/serve.py --weights shapes --seconds 60

Measures the capacity first: as many clients as a batch has images, each sends its next request after an answer. Then
requests come at ``--load`` times that rate, whether or not earlier ones were answered. The exit code is 1 if a
request got neither boxes nor a refusal (503).
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from cornernet.data.shapes import draw_scene
from cornernet.files import atomic_write_json

CLIENTS = 512  # threads: enough for whoever waits in the queue, and whoever is being refused


def ask(address: str, image: bytes) -> tuple[str, float]:
    """The status or the error of one request, and its seconds."""
    start = time.perf_counter()
    request = urllib.request.Request(f"{address}/predict", image, {"Content-Type": "image/png"})
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            answer.read()
            code = str(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        code = str(error.code)
    except OSError as error:
        code = type(error).__name__
    return code, time.perf_counter() - start


def memory(address: str) -> float:
    """The server's memory in MiB."""
    with urllib.request.urlopen(f"{address}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    found = re.search(r"^process_resident_memory_bytes (\S+)$", text, re.MULTILINE)
    assert found, "the server's metrics tell no memory"
    return float(found[1]) / 2**20


def capacity(address: str, images: list[bytes], clients: int, seconds: float) -> float:
    """Answered images for each second, with so many clients."""
    end = time.monotonic() + seconds

    def client(number: int) -> int:
        done = 0
        while time.monotonic() < end:
            ask(address, images[(number + done) % len(images)])
            done += 1
        return done

    start = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        answered = sum(pool.map(client, range(clients)))
    return answered / (time.monotonic() - start)


def overload(
    address: str, images: list[bytes], rate: float, seconds: float
) -> tuple[list[tuple[str, float]], list[int]]:
    """Status and seconds of ``rate`` requests a second, each sent at its time; MiB after each tenth."""
    start, sent, tenths = time.monotonic(), [], []
    count = round(rate * seconds)
    with ThreadPoolExecutor(CLIENTS) as pool:
        for number in range(count):
            time.sleep(max(0.0, start + number / rate - time.monotonic()))
            sent.append(pool.submit(ask, address, images[number % len(images)]))
            if (number + 1) * 10 // count > number * 10 // count:
                tenths.append(pool.submit(memory, address))
    return [each.result() for each in sent], [round(each.result()) for each in tenths]


def measure(address: str, options: argparse.Namespace) -> dict[str, object]:
    """All figures of one server."""
    images = []
    for number in range(16):
        file = io.BytesIO()
        Image.fromarray(draw_scene((1, number)).image).save(file, "PNG")
        images.append(file.getvalue())
    ask(address, images[0])
    best = capacity(address, images, options.batch_size, options.seconds / 2)
    before = memory(address)
    answers, tenths = overload(address, images, options.load * best, options.seconds)
    codes = Counter(code for code, _ in answers)
    figures: dict[str, object] = {"capacity, images a second": round(best, 2), "sent": len(answers), "codes": codes}
    for name, code in (("answered", "200"), ("refused", "503")):
        times = [seconds for each, seconds in answers if each == code]
        if times:
            shares = {f"p{share}": round(float(np.percentile(times, share)), 3) for share in (50, 90, 99, 100)}
            figures[f"{name}, seconds"] = shares
    after = {"memory before, MiB": round(before), "memory after each tenth": tenths}
    return figures | after | {"memory after, MiB": round(memory(address))}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="shapes")
    parser.add_argument("--seconds", type=float, default=60, help="of the load; the capacity takes half as long")
    parser.add_argument("--load", type=float, default=2.0, help="times the capacity")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--queue", type=int, default=64)
    parser.add_argument("--out", type=Path, help="write the figures there as JSON")
    options = parser.parse_args()
    command = [sys.executable, "-m", "cornernet", "serve", "--weights", options.weights, "--port", "0"]
    command += ["--batch-size", str(options.batch_size), "--queue", str(options.queue)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout
    try:
        address = re.search(r"http://[^,]+", server.stdout.readline())
        assert address, "the server did not start"
        figures = measure(address[0], options)
    finally:
        server.terminate()
        ended = server.wait(120)
    for name, value in figures.items():
        print(f"{name:26}", *([f"{k} {v} " for k, v in value.items()] if isinstance(value, dict) else [value]))
    if options.out:
        atomic_write_json(options.out, figures)
    codes = figures["codes"]
    assert isinstance(codes, dict)
    if not set(codes) <= {"200", "503"} or ended != 0:
        sys.exit(f"not every request was answered or refused in order, or the server ended with {ended}")


if __name__ == "__main__":
    main()
