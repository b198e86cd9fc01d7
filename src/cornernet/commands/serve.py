"""``cornernet serve``."""

from __future__ import annotations

import os
import re
from pathlib import Path

from cornernet.commands import options
from cornernet.devices import find_device
from cornernet.errors import InputError
from cornernet.tasks.detectors import open_detector

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


def serve(
    *,
    weights: options.WeightsOrExported = "photos",
    host: str = "127.0.0.1",
    port: int = 8000,
    device: options.Device = None,
    precision: options.Precision = "fp32",
    tta: options.TTA = "none",
    max_size: options.MaxSize = None,
    batch_size: options.BatchSize = 8,
    batch_wait_ms: float = 5.0,
    queue: int = 64,
    max_bytes: str = "20MB",
    max_pixels: str = "50M",
    timeout: float = 30.0,
    token: str | None = None,
) -> None:
    """Answer over HTTP: boxes as JSON or pictures, and a page to drop images on. SIGTERM or Ctrl-C ends it in order.

    Args:
        host: Address to listen on. Without --token everyone who can reach it can use it.
        port: Port to listen on; 0 takes a free one.
        batch_wait_ms: Milliseconds that an image waits for others to share its pass.
        queue: Largest number of requests at once; others are answered 503, try again.
        max_bytes: Largest body of a request.
        max_pixels: Largest image; checked before it is decoded.
        timeout: Seconds for an image to arrive, and again for its answer.
        token: Answer only those who send it, as the header Authorization: Bearer TOKEN. Default: the environment
            variable CORNERNET_TOKEN, which other users of this machine cannot see; without both, everyone.
    """
    numbers = {"batch-size": batch_size, "queue": queue, "timeout": timeout}
    for name, value in numbers.items():
        if not value > 0:
            raise InputError("give a number above 0", f"--{name} {value}")
    if not batch_wait_ms >= 0:
        raise InputError("give 0 or more", f"--batch-wait-ms {batch_wait_ms}")
    largest = _number("--max-bytes", max_bytes), _number("--max-pixels", max_pixels)
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise InputError(f"needs {error.name}", "serve", "pip install 'cornernet[serve]' brings it") from None
    from cornernet.serve.app import make_app
    from cornernet.serve.limits import Limits
    from cornernet.serve.server import bind, run_server
    from cornernet.serve.service import Service
    from cornernet.serve.token import check_token

    token = check_token(token if token is not None else os.environ.get("CORNERNET_TOKEN"))
    place = bind(host, port)
    detector = open_detector(weights, device, tta, precision, max_size)
    settings = Limits(batch_size, batch_wait_ms / 1000, queue, *largest, timeout)
    app = make_app(Service(detector, settings), Path(weights).name, str(find_device(device)), token)
    place.listen()
    shown = f"[{host}]" if ":" in host else host
    print(f"{Path(weights).name}: http://{shown}:{place.getsockname()[1]}, Ctrl-C ends it", flush=True)
    run_server(app, place, settings)


def _number(option: str, text: str) -> int:
    """``"20MB"``, ``"50M"`` or ``"1000"`` as a number."""
    parts = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?)b?", text.strip().lower())
    if not parts or not float(parts[1]):
        raise InputError("give a number above 0, as 500k, 20M or 1G", f"{option} {text}")
    return round(float(parts[1]) * _UNITS[parts[2]])
