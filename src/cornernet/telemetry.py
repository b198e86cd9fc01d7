"""Packages that report usage from their users' machines are told not to, before they are loaded."""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping

SETTINGS = {
    "DO_NOT_TRACK": "1",  # of several packages
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DISABLE_TELEMETRY": "1",  # transformers
    "DISABLE_SAFETENSORS_CONVERSION": "1",  # transformers asks a server to convert files of others
    "NNCF_CI": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
}
# OpenVINO and NNCF import it where it is installed; loading OpenVINO is enough for it to send an event
# and to write a consent file to ~/intel. Without it both use their own stub.
PACKAGE = "openvino_telemetry"


def disable_telemetry(environment: MutableMapping[str, str] = os.environ) -> None:
    """Switch it off for this process and those it starts; the user's own values of ``SETTINGS`` stay.

    What was imported before cornernet is not changed.
    """
    for name, value in SETTINGS.items():
        environment.setdefault(name, value)
    sys.modules.setdefault(PACKAGE, None)  # type: ignore[arg-type] - importing it now raises ImportError
