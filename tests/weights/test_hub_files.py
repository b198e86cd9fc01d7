"""Weights from the Hugging Face hub and from addresses, and put on the hub, against servers on this machine."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from cornernet.errors import InputError
from cornernet.tasks.model_card import write_card
from cornernet.weights import BUNDLED
from cornernet.weights.fetching import fetch_address
from cornernet.weights.hub_files import SHARED_FILE, is_hub_name, push_files
from cornernet.weights.zoo import open_weights
from hub_server import TOKEN, Hub, running
from small import environment, write_data, write_recipe

SHAPES = BUNDLED["shapes"].read_bytes()


@pytest.fixture
def hub():
    with running() as server:
        yield server


def command(hub: Hub, home: Path, *words: object, **settings: str) -> subprocess.CompletedProcess[str]:
    """The command line with this hub and an empty home."""
    named = {"HF_ENDPOINT": hub.address, "HF_HOME": str(home), "HF_TOKEN": TOKEN, **settings}
    line = [sys.executable, "-m", "cornernet", *map(str, words)]
    return subprocess.run(
        line, capture_output=True, text=True, env=environment() | named, timeout=300, check=False, cwd=home.parent
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished training, which began with a file of a path."""
    folder = tmp_path_factory.mktemp("run")
    recipe = write_recipe(folder, epochs=1, workers=0)
    words = ["train", recipe, "--data", write_data(folder / "data", train=4, val=2), "--out", folder / "run"]
    done = subprocess.run(
        [sys.executable, "-m", "cornernet", *map(str, words), "--no-report"], env=environment(), check=False
    )
    assert done.returncode == 0
    return folder / "run"


def test_weights_come_by_name_once_and_then_without_a_network(hub, tmp_path):
    hub.files["somebody/shapes"] = {SHARED_FILE: SHAPES, "README.md": b"x", "big.bin": b"0" * 99}
    home = tmp_path / "home"
    first = command(hub, home, "weights", "info", "somebody/shapes")
    assert first.returncode == 0, first.stderr
    assert "10: disc" in first.stdout
    assert not [line for line in hub.asked if "big.bin" in line or "README" in line or "/somebody/shapes" not in line]
    count = len(hub.asked)
    again = command(hub, home, "weights", "info", "somebody/shapes", HF_HUB_OFFLINE="1")
    assert again.stdout == first.stdout
    assert len(hub.asked) == count


@pytest.mark.parametrize(
    ("name", "settings", "line"),
    [
        ("somebody/nothing", {}, "no such model on the hub"),
        ("somebody/trunk", {}, f"no {SHARED_FILE} in it: not weights of cornernet; begin a training with its trunk by"),
        ("somebody/new", {"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
    ],
)
def test_names_that_have_none_are_told_in_a_line(hub, tmp_path, name, settings, line):
    hub.files["somebody/trunk"] = {"model.safetensors": b"x"}
    done = command(hub, tmp_path / "home", "weights", "info", name, **settings)
    assert done.returncode == 2
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_what_looks_like_a_path_is_not_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for name in ("runs/mine", "a/b/c", "/a/b", "./a/b", "a", "a/best.safetensors", "a/b.pth", "../b", "a\\b", "a/../b"):
        assert not is_hub_name(name)
    assert is_hub_name("user/name-1.0_x")


def test_a_run_is_put_there_and_used_from_there(hub, run, tmp_path):
    home = tmp_path / "home"
    done = command(hub, home, "weights", "push", run, "me/boxes", "--license", "mit", "--private")
    assert done.returncode == 0, done.stderr
    assert "cornernet predict photo.jpg --weights me/boxes" in done.stdout
    assert hub.private == {"me/boxes": True}
    assert hub.files["me/boxes"].keys() == {SHARED_FILE, "README.md"}
    assert hub.files["me/boxes"][SHARED_FILE] == (run / "best.safetensors").read_bytes()
    used = command(hub, home, "weights", "info", "me/boxes")
    assert "2: red, blue" in used.stdout


def test_the_card_is_read_before_it_is_sent(hub, run, tmp_path):
    card = tmp_path / "card.md"
    done = command(hub, tmp_path / "home", "weights", "push", run, "me/boxes", "--licence", "mit", "--card", card)
    assert done.returncode == 0, done.stderr
    assert not hub.asked
    text = card.read_text()
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front) == {
        "license": "mit",
        "library_name": "cornernet",
        "pipeline_tag": "object-detection",
        "tags": ["object-detection", "cornernet"],
    }
    assert "finds 2 classes: red, blue." in body
    assert "Trained on 4 images for 1 epoch." in body
    assert "On 2 validation images with 4 boxes" in body
    assert str(run.parent) not in text


def test_no_path_of_this_machine_is_in_a_card(run, tmp_path):
    copied = tmp_path / "run"
    copied.mkdir()
    for file in run.iterdir():
        if file.is_file():
            (copied / file.name).write_bytes(file.read_bytes())
    recipe = (run / "recipe.yaml").read_text()
    (copied / "recipe.yaml").write_text(recipe.replace("weights: null", "weights: /home/me/secret/old.pth"))
    assert "weights: old.pth" in write_card(copied, "me/x", "mit")
    (copied / "metrics.json").unlink()
    assert "There was no validation" in write_card(copied, "me/x", "mit")


@pytest.mark.parametrize(
    ("words", "settings", "line"),
    [
        (("me/boxes",), {}, "--licence"),
        (("me/boxes", "--licence", "My own one"), {}, "--licence My own one: give its short name; such as apache-2.0"),
        (("me/boxes", "--licence", "mit"), {"HF_TOKEN": "hf_wrong"}, "me/boxes: the hub refuses this token (401)"),
        (("me/boxes", "--licence", "mit"), {"HF_TOKEN": ""}, "hf auth login"),
        (("a/b/c", "--licence", "mit"), {}, "a/b/c: not a name of the hub; give one, as user/name"),
        (("/tmp/x", "--licence", "mit"), {}, "/tmp/x: not a name of the hub"),
        (("boxes", "--licence", "mit"), {}, "boxes: not a name of the hub"),
    ],
)
def test_what_cannot_be_put_there_is_told_in_a_line(hub, run, tmp_path, words, settings, line):
    done = command(hub, tmp_path / "home", "weights", "push", run, *words, **settings)
    assert done.returncode == 2
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not hub.files.get("me/boxes")


def test_without_the_package_the_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"pip install 'cornernet\[hub\]'"):
        push_files("me/x", {}, private=False, message="x")


@pytest.fixture
def site(tmp_path):
    """A web server with a weights file, and its address."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site/my shapes.safetensors").write_bytes(SHAPES)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "site"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/my%20shapes.safetensors"
    server.shutdown()
    server.server_close()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CORNERNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return tmp_path / "cache"


def test_weights_come_from_an_address_and_their_hash_is_shown(site, cache, capsys, monkeypatch):
    digest = hashlib.sha256(SHAPES).hexdigest()
    path = fetch_address(site)
    assert path.read_bytes() == SHAPES
    assert path.name.endswith("-my shapes.safetensors")
    assert f"SHA-256 {digest}" in capsys.readouterr().err
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch_address(f"{site}#sha256={digest[:8]}") == path  # from the cache
    with pytest.raises(InputError, match="in the cache is another file"):
        fetch_address(f"{site}#sha256=00000000")
    with pytest.raises(InputError, match="#sha256=00: give 8 to 64 hexadecimal digits"):
        fetch_address(f"{site}#sha256=00")
    with pytest.raises(InputError, match="not in the cache, and HF_HUB_OFFLINE is set; put the file at"):
        fetch_address(f"{site}.other")


def test_another_file_than_promised_is_not_kept(site, cache):
    with pytest.raises(InputError, match="is another file: its SHA-256 is"):
        fetch_address(f"{site}#sha256=00000000")
    assert not os.listdir(cache)


def test_what_is_no_weights_file_does_not_stay_in_the_cache(site, cache, tmp_path):
    (tmp_path / "site/page.safetensors").write_text("<html>not here</html>")
    address = site.replace("my%20shapes", "page")
    for _ in range(2):
        with pytest.raises(InputError, match="what is there is not used"):
            open_weights(address)
    assert not os.listdir(cache)
    assert open_weights(site).class_names[0] == "disc"


def test_an_address_without_a_file_is_told(site, cache):
    with pytest.raises(InputError, match=r"\.none: cannot be fetched \(File not found\)"):
        fetch_address(f"{site}.none")
    assert not list(cache.glob("*.safetensors"))
