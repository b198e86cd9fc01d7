"""No command reports anything from its user's machine: no connection, and no file in the home folder."""

import os
import subprocess
import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

import pytest

from cornernet.telemetry import PACKAGE, SETTINGS, disable_telemetry
from small import write_recipe

# Python loads this before anything else: it writes down who asks for a network, and refuses.
GUARD = """
import os, socket

def refuse(*address, **_):
    with open(os.environ["ASKED"], "a") as file:
        print(address, file=file)
    raise OSError("no network")

def local_only(connect):
    return lambda self, address: connect(self, address) if self.family == socket.AF_UNIX else refuse(address)

socket.getaddrinfo = socket.create_connection = refuse
socket.socket.connect = local_only(socket.socket.connect)
socket.socket.connect_ex = local_only(socket.socket.connect_ex)
"""
COMMANDS = """
import sys
from cornernet.cli import main

ONCE = "--epochs", "1"

def run(*words):
    assert main(list(words)) == 0, words

run("data", "shapes", "data", "--train", "4", "--val", "2")
run("train", "small.yaml", "--data", "data", "--out", "run", *ONCE)
int8 = "--format", "openvino", "--precision", "int8", "--data", "data", "--raw-maps", "--out", "maps.xml"
run("export", "--weights", "run/last.safetensors", *int8)
run("evaluate", "--weights", "shapes.xml", "--data", "data", "--out", "evaluated")
run("predict", "data/val", "--weights", "shapes.xml", "--out", "found")
run("doctor")
if sys.argv[1:]:
    run("train", "--data", "data", "--out", "run2", "--backbone", sys.argv[1], *ONCE, "--augmentation.crop_size", "64")
"""


def run_in_a_fresh_home(tmp_path: Path, code: str, *words: str) -> tuple[str, list[str]]:
    """The connections that Python code asked for, and the files it left in the home folder."""
    (tmp_path / "home").mkdir()
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(GUARD)
    asked = tmp_path / "asked.txt"
    private = (*SETTINGS, "CI", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HF_HOME", "PYTEST_VERSION")
    environment = {name: value for name, value in os.environ.items() if name not in private}
    path = os.pathsep.join((str(tmp_path / "guard"), environment.get("PYTHONPATH", "")))
    environment |= {"HOME": str(tmp_path / "home"), "PYTHONPATH": path, "ASKED": str(asked)}
    environment["MPLCONFIGDIR"] = str(tmp_path / "fonts")  # a cache of its own
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    files = [str(file.relative_to(tmp_path)) for file in (tmp_path / "home").rglob("*") if file.is_file()]
    return asked.read_text() if asked.exists() else "", files


def test_no_command_reports_anything(tmp_path, shapes_onnx):
    """Raw maps are much faster to trace; the file of boxes is that of other tests."""
    pytest.importorskip("nncf")
    import onnx

    from cornernet.export.write import write_openvino

    write_recipe(tmp_path)
    write_openvino(tmp_path / "shapes.xml", onnx.load(shapes_onnx))
    trunk = []
    if find_spec("transformers"):
        from transformers import ResNetBackbone, ResNetConfig

        sizes = {"embedding_size": 16, "hidden_sizes": [16, 16, 16, 16], "depths": [1, 1, 1, 1]}
        ResNetBackbone(ResNetConfig(**sizes)).save_pretrained(tmp_path / "trunk")
        trunk = [str(tmp_path / "trunk")]
    asked, files = run_in_a_fresh_home(tmp_path, COMMANDS, *trunk)
    assert asked == ""
    assert files == []


@pytest.mark.skipif(not PathFinder.find_spec(PACKAGE), reason=f"{PACKAGE} is not installed")
def test_loading_openvino_alone_would_report_it(tmp_path):
    asked, files = run_in_a_fresh_home(tmp_path, "import openvino, time; time.sleep(1)")
    assert asked or files


def test_the_users_own_settings_stay():
    environment = {"DO_NOT_TRACK": "0"}
    disable_telemetry(environment)
    assert environment == SETTINGS | {"DO_NOT_TRACK": "0"}
