"""Packages that are absent, old, broken, or there twice; a crash on import does not end the report."""

import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from cornernet.doctor import packages
from cornernet.doctor.packages import check_imports, check_opencv, check_packages, check_torchvision
from cornernet.doctor.probe import ask


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Write a package that is found before any other, here and in processes started from here."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, code: str) -> None:
        (tmp_path / f"{name}.py").write_text(code)

    return write


def test_questions_are_answered_whatever_the_package_does(fake):
    fake("good_one", "__version__ = '1.2'; print('noise')")
    assert ask("package", "good_one") == {"version": "1.2"}
    fake("raising_one", "raise RuntimeError('operator nms\\ndoes not exist')")
    assert ask("package", "raising_one") == {"error": "RuntimeError: operator nms does not exist"}
    fake("crashing_one", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert ask("package", "crashing_one") == {"error": "crashed with SIGSEGV"}
    fake("leaving_one", "import sys; sys.exit('so long')")
    assert ask("package", "leaving_one") == {"error": "so long"}
    assert "No module named" in ask("package", "absent_one")["error"]


def test_a_stray_file_in_the_current_folder_is_not_the_package(tmp_path, monkeypatch):
    (tmp_path / "safetensors.py").write_text("raise RuntimeError('stray')")
    monkeypatch.chdir(tmp_path)
    assert "error" not in ask("package", "safetensors")


def test_a_slow_import_is_given_up(fake, monkeypatch):
    monkeypatch.setattr("cornernet.doctor.probe._SECONDS", 0.5)
    fake("slow_one", "import time; time.sleep(60)")
    assert "timed out" in ask("package", "slow_one")["error"]


def test_a_torchvision_that_does_not_fit_is_found_without_importing_it_here(fake):
    assert [finding.mark for finding in check_torchvision()] == ["ok"]
    fake("torchvision", "raise RuntimeError('operator torchvision::nms does not exist')")
    (finding,) = check_torchvision()
    assert finding.mark == "FAIL"
    assert "operator torchvision::nms does not exist" in finding.said
    assert "pip uninstall torchvision" in finding.fix
    fake("torchvision", "__version__ = '0.28'")
    assert [finding.mark for finding in check_torchvision()] == ["ok"]


@pytest.mark.parametrize(
    ("name", "error", "fix"),
    [
        ("lightning.pytorch", "RuntimeError: operator torchvision::nms does not exist", "pip uninstall torchvision"),
        ("cv2", "ImportError: libGL.so.1: cannot open shared object file", "pip uninstall opencv-python,"),
        ("PIL", "ImportError: oh", "pip install --force-reinstall --no-deps pillow"),
    ],
)
def test_broken_imports(name, error, fix, monkeypatch):
    monkeypatch.setattr(packages, "ask", lambda _, asked: {"error": error} if asked == name else {"version": "1"})
    (finding,) = check_imports()
    assert finding.mark == "FAIL"
    assert finding.said == f"{name}: {error}"
    assert fix in finding.fix


def test_requirements_absent_and_old(monkeypatch):
    versions = {"cornernet": "0.1", "torch": "2.13.0+cpu", "numpy": "1.26.4", "onnx": "1.0"}
    monkeypatch.setattr(packages, "installed", versions.get)
    wanted = ["torch>=2.11", "numpy>=2.0", "pillow>=11.0", "old; python_version < '3'"]
    wanted += ["onnx; extra == 'export'", "openvino; extra == 'export'"]
    monkeypatch.setattr(metadata, "requires", lambda _: wanted)
    found = check_packages()
    assert [(finding.mark, finding.fix) for finding in found[1:]] == [
        ("FAIL", "pip install 'numpy>=2.0'"),
        ("FAIL", "pip install 'pillow>=11.0'"),
        ("ok", "pip install 'cornernet[export]' if you want it"),
    ]
    assert "without openvino: no ONNX" in found[3].said
    assert "torch 2.13.0+cpu" in found[0].said
    assert "opencv-python-headless absent" in found[0].said


def test_this_environment_has_what_it_requires():
    assert {finding.mark for finding in check_packages()} == {"ok"}


def test_every_extra_has_a_purpose():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["optional-dependencies"].keys() - {"dev", "docs"} <= packages._PURPOSES.keys()


def test_two_opencvs(monkeypatch):
    monkeypatch.setattr(packages, "installed", {"opencv-python": "5.0", "opencv-python-headless": "5.0"}.get)
    (finding,) = check_opencv()
    assert finding.mark == "warn"
    assert finding.fix.startswith("pip uninstall opencv-python-headless opencv-python, then")
    monkeypatch.setattr(packages, "installed", {"opencv-python": "5.0"}.get)
    assert [finding.mark for finding in check_opencv()] == ["ok"]
