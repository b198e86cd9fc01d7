"""One measurement of ``gpu.py``, in a process of its own, started with a job as JSON.

Prepares, prints ``ready``, waits for a line, measures, and prints its answer, or its error, as one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from itertools import product
from statistics import median
from typing import Any

import numpy as np
import torch
from gpu import Answer, Job, Scale, Variant, scale_of, variant_of
from gpu_shared import HALF, Road, autocast, compile_options, draw_objects
from torch import Tensor

from cornernet.config import Preprocessing
from cornernet.inference.preprocess import normalize, to_input
from cornernet.model.checkpointing import compile_parts
from cornernet.model.corner_pool import corner_pool, corner_pool_pair
from cornernet.model.cornernet import CornerNet, channels_last
from cornernet.model.criterion import batch_losses
from cornernet.model.decode import decode, pixels_per_cell
from cornernet.model.fuse import fuse
from cornernet.model.soft_nms import soft_nms
from cornernet.model.targets import find_occupied_maps, make_targets

LAYOUTS = {"channels-last": torch.channels_last, "contiguous": torch.contiguous_format}
Measure = Callable[[], Answer]
Pool = Callable[..., Tensor]


def wait(device: str) -> None:
    """Wait until the device has no work left."""
    if device == "cuda":
        torch.cuda.synchronize()


def seconds_of(call: Callable[[], object], device: str, repeats: int) -> float:
    """Median seconds of a call, the device idle before and after."""
    taken = []
    for _ in range(max(1, repeats)):
        wait(device)
        start = time.perf_counter()
        call()
        wait(device)
        taken.append(time.perf_counter() - start)
    return median(taken)


def device_seconds(calls: list[Callable[[], object]], device: str, repeats: int) -> float:
    """Seconds for each call on the device, without Python: ``calls`` are recorded as one CUDA graph."""
    if device != "cuda":
        return seconds_of(lambda: [call() for call in calls], device, repeats) / len(calls)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # what a graph records must have run before, on a stream beside the usual one
        for call in calls:
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = [call() for call in calls]  # each has its own memory
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    graph.replay()
    start.record()
    for _ in range(repeats):
        graph.replay()
    end.record()
    wait(device)
    del kept
    return start.elapsed_time(end) / 1000 / repeats / len(calls)


def peak(device: str) -> dict[str, Any]:
    """The peak memory of tensors since the last reset, in MiB; unknown on the CPU."""
    return {"peak_mib": round(torch.cuda.max_memory_allocated() / 2**20, 1) if device == "cuda" else None}


def reset_peak(device: str) -> None:
    """Reset the peak to the memory in use now."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()


def set_precision(variant: Variant) -> None:
    """TF32 and cuDNN's search as the variant says, in this process."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = variant.precision == "tf32"
    torch.backends.cudnn.benchmark = variant.search


def prepare_network(model: CornerNet, variant: Variant, scale: Scale) -> None:
    """Change and compile it as the variant says."""
    if variant.change:
        variant.change(model)
    if variant.compiled:
        compile_parts(model, **compile_options(variant, scale))


def by_cummax(x: Tensor, dim: int, *, reverse: bool) -> Tensor:
    """A corner pool in PyTorch's own operators."""
    return x.flip(dim).cummax(dim).values.flip(dim) if reverse else x.cummax(dim).values


# each pool: ours, the other, number of inputs
POOLS: dict[str, tuple[Pool, Pool, int]] = {
    "top": (lambda x: corner_pool(x, 2, reverse=True), lambda x: by_cummax(x, 2, reverse=True), 1),
    "right": (lambda x: corner_pool(x, 3, reverse=False), lambda x: by_cummax(x, 3, reverse=False), 1),
    "top + left": (
        lambda x, y: corner_pool_pair(x, y, reverse=True),
        lambda x, y: by_cummax(x, 2, reverse=True) + by_cummax(y, 3, reverse=True),
        2,
    ),
}


def prepare_pooling(job: Job) -> Measure:
    """Every pool of ``POOLS`` in every shape, type and layout."""
    scale, device = scale_of(job), job["device"]

    def measure() -> Answer:
        end, rows, left_out = time.monotonic() + job["seconds"] - 10, [], 0
        bandwidth = copy_bandwidth(scale, device)
        cases = product(scale.pooled, (torch.bfloat16, torch.float32), LAYOUTS, POOLS, (False, True))
        for shape, dtype, layout, name, backward in cases:
            if time.monotonic() > end:
                left_out += 1
                continue
            kind = {"shape": "x".join(map(str, shape)), "dtype": str(dtype).removeprefix("torch.")}
            kind |= {"layout": layout, "pool": name, "pass": "forward + backward" if backward else "forward"}
            try:
                figures = time_pool(job, shape, dtype, layout, name, backward, bandwidth)
            except Exception as error:  # the others go on
                figures = {"error": one_line(error)}
            rows.append(kind | figures)
        return {"copy_gb_per_s": round(bandwidth / 1e9, 1), "left_out": left_out, "rows": rows}

    return measure


def copy_bandwidth(scale: Scale, device: str) -> float:
    """Bytes a second of a large copy, read and written."""
    source = torch.ones(scale.copied, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * scale.copied / device_seconds([lambda: target.copy_(source)], device, scale.repeats)


def time_pool(
    job: Job, shape: tuple[int, ...], dtype: torch.dtype, layout: str, name: str, backward: bool, bandwidth: float
) -> Answer:
    """Microseconds on the device, ours and the other's; of one call of ours from Python; ours against a copy.

    That share is of a copy's bandwidth, and counts only the necessary bytes: inputs and
    output once each; backward, the output's gradient, the inputs, and their gradients.
    """
    scale, device, (ours, other, inputs) = scale_of(job), job["device"], POOLS[name]
    size = torch.Size(shape).numel() * dtype.itemsize

    def fresh() -> Tensor:
        return torch.randn(shape, device=device, dtype=dtype).to(memory_format=LAYOUTS[layout])

    count = max(1, min(16, scale.fresh // size))
    sets = [([fresh().requires_grad_(backward) for _ in range(inputs)], fresh()) for _ in range(count)]

    def calls(pool: Pool) -> list[Callable[[], object]]:
        def call(maps: list[Tensor], grad: Tensor) -> object:
            out = pool(*maps)
            return (out, torch.autograd.grad(out, maps, grad)) if backward else out

        return [lambda chosen=chosen: call(*chosen) for chosen in sets]

    if not torch.equal(ours(*sets[0][0]), other(*sets[0][0])):
        raise ValueError("the two differ")
    mine, theirs = (device_seconds(calls(pool), device, scale.repeats) for pool in (ours, other))
    least = size * (inputs + 1 + (2 * inputs + 1 if backward else 0))
    return {
        "cornernet_us": round(mine * 1e6, 1),
        "cummax_us": round(theirs * 1e6, 1),
        "called_us": round(seconds_of(calls(ours)[0], device, scale.repeats) * 1e6, 1),
        "share_of_copy": round(least / mine / bandwidth, 3),
    }


def own_road(job: Job) -> Road:
    """Pixels to boxes as ``Detector`` goes: pad and normalise, network, peaks and pairs, soft-NMS.

    A network that is not trained makes almost no pairs. So soft-NMS gets 1000 random boxes, as many as after a
    trained one.
    """
    scale, variant, device = scale_of(job), variant_of(job), job["device"]
    model = channels_last(CornerNet(scale.architecture, scale.classes).to(device))
    model = fuse(model, HALF.get(variant.precision, torch.float32))
    prepare_network(model, variant, scale)
    settings = Preprocessing(pad_mask=scale.pad_mask)
    pixels = np.random.default_rng(0).integers(0, 256, (*scale.image, 3), dtype=np.uint8)
    boxes, labels, _ = draw_objects(job, 1, 1000)
    scores = torch.linspace(1, 0.01, 1000, device=device)[None]

    def road() -> Iterator[str]:
        images, shifts = to_input([pixels], settings, device)
        yield "input"
        output = model(images, last_only=True)[-1]
        yield "network"
        decode(output, pixels_per_cell(output, (images.shape[-2], images.shape[-1])), shifts[:, None])
        yield "peaks and pairs"
        kept = soft_nms(boxes, scores, labels)
        for found in (kept.boxes, kept.scores, kept.valid, labels.gather(1, kept.chosen)):
            found.cpu()
        yield "soft-NMS"

    return road


def prepare_inference(job: Job) -> Measure:
    """Images a second from pixels to boxes, one at a time; milliseconds of the stages; peak memory."""
    device, repeats = job["device"], scale_of(job).repeats
    whole_road = peer().peer_road(job) if job["side"] == "peer" else own_road(job)

    def road() -> Iterator[str]:
        torch.compiler.cudagraph_mark_step_begin()  # until the next, compiled parts leave each other's outputs alone
        return whole_road()

    @torch.inference_mode()
    def detect() -> None:
        for _ in road():
            pass

    for _ in range(4):  # CUDA graphs are recorded in the third call at the earliest
        detect()
    wait(device)

    @torch.inference_mode()
    def measure() -> Answer:
        reset_peak(device)
        taken, memory, stages = seconds_of(detect, device, repeats), peak(device), {}
        for _ in range(repeats):
            start = time.perf_counter()
            for stage in road():
                wait(device)
                stages.setdefault(stage, []).append(time.perf_counter() - start)
                start = time.perf_counter()
        stages_ms = {name: round(median(values) * 1000, 3) for name, values in stages.items()}
        rate = {"median_ms": round(taken * 1000, 3), "images_per_s": round(1 / taken, 2)}
        used = {"soft_nms": peer().soft_nms_used()} if job["side"] == "peer" else {}
        return rate | memory | used | {"stages_ms": stages_ms}

    return measure


def own_loss(job: Job) -> tuple[CornerNet, Callable[[], Tensor]]:
    """Our network and the loss of one batch of uint8 crops, as the training computes it."""
    scale, device = scale_of(job), job["device"]
    model = channels_last(CornerNet(scale.architecture, scale.classes).to(device)).train()
    prepare_network(model, variant_of(job), scale)
    size, settings = (scale.crop, scale.crop), Preprocessing()
    images = torch.randint(0, 256, (scale.batch, 3, *size), dtype=torch.uint8, device=device)
    images = images.to(memory_format=torch.channels_last)
    boxes, labels, planes = draw_objects(job, scale.batch)

    def loss() -> Tensor:
        parts = batch_losses(model, normalize(images, settings), boxes, labels, occupied_maps=planes)
        return torch.stack(list(parts.values())).sum()

    return model, loss


def prepare_training(job: Job) -> Measure:
    """A step: forward, backward, clipping, Adam; images a second and peak memory."""
    scale, variant, device = scale_of(job), variant_of(job), job["device"]
    own = job["side"] == "own"
    model, loss = own_loss(job) if own else peer().peer_loss(job)
    optimizer = torch.optim.Adam(model.parameters(), 5e-4, fused=own or None)  # ours is; the peer's is PyTorch's choice

    def step() -> None:
        optimizer.zero_grad()
        with autocast(variant, device):
            total = loss()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 35.0)
        optimizer.step()

    for _ in range(3):
        step()
    wait(device)

    def measure() -> Answer:
        reset_peak(device)
        taken = seconds_of(step, device, scale.repeats // 2)
        rate = {"median_ms": round(taken * 1000, 2), "images_per_s": round(scale.batch / taken, 2)}
        return rate | peak(device)

    return measure


def prepare_targets(job: Job) -> Measure:
    """Targets of a whole batch on the device; ours get the occupied heatmaps from the loader."""
    scale, device, own = scale_of(job), job["device"], job["side"] == "own"
    size, cells = (scale.crop, scale.crop), (-(-scale.crop // 4),) * 2
    boxes, labels, planes = draw_objects(job, scale.target_images)
    theirs = None if own else peer().peer_targets(job, boxes, labels, cells)
    build = theirs or (lambda: make_targets(boxes, labels, size, cells, occupied_maps=planes))
    build()

    def measure() -> Answer:
        reset_peak(device)
        answer = {"median_ms": round(seconds_of(build, device, scale.repeats if own else 2) * 1000, 2)} | peak(device)
        if own:
            listed = labels.cpu()
            answer["planes_ms"] = round(seconds_of(lambda: find_occupied_maps(listed), "cpu", scale.repeats) * 1000, 2)
        return answer

    return measure


def peer() -> Any:
    """mmdetection's side; imported only if asked."""
    import gpu_peer

    return gpu_peer


PREPARE: dict[str, Callable[[Job], Measure]] = {
    "inference": prepare_inference,
    "training": prepare_training,
    "targets": prepare_targets,
    "pooling": prepare_pooling,
}


def one_line(error: BaseException) -> str:
    """An error's type and first line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]


def main() -> None:
    """Run the job in the first argument."""
    job = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed is no answer
    try:
        set_precision(variant_of(job))
        torch.manual_seed(0)
        start = time.perf_counter()
        measure = PREPARE[job["section"]](job)
        prepared = round(time.perf_counter() - start, 1)
        print("ready", file=answers, flush=True)
        sys.stdin.readline()
        answer = measure() | {"prepared_s": prepared}
    except Exception as error:
        traceback.print_exc()
        answer = {"error": one_line(error)}
    print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
