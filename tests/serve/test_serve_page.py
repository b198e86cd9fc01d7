"""The page in a browser: an image dropped, boxes to look at, a threshold that answers at once, the keyboard."""

import base64
import time

import pytest

pytest.importorskip("fastapi", reason="the server's packages are absent: pip install 'cornernet[serve]'")

from chromium import CHROMIUM, browser
from cornernet.data.shapes import draw_scene
from cornernet.drawing.draw import save_image
from small import start

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")
DROP = """(() => {
  const bytes = Uint8Array.from(atob("%s"), (c) => c.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], "%s", { type: "image/png" }));
  document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
})()"""
BOXES = "document.querySelectorAll('.box').length"
TOKEN = "a-token-of-this-test"
ERROR = "document.getElementById('error').textContent"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page, loaded, in a server of the bundled weights that wants a token; it is typed in."""
    process = start("serve", "--weights", "shapes", "--port", 0, "--device", "cpu", "--token", TOKEN)
    try:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        with browser(tmp_path_factory.mktemp("profile")) as page:
            page("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
            page.open(line.split(" ")[1].rstrip(","))
            until(page, "document.getElementById('model').textContent !== ''")
            type_token(page, TOKEN)
            yield page
    finally:
        process.kill()
        process.communicate()


def until(page, script: str) -> None:
    end = time.monotonic() + 30
    while not page.value(script):
        assert time.monotonic() < end, f"never {script}"
        time.sleep(0.05)


def drop(page, name: str, data: bytes) -> None:
    page.value(DROP % (base64.b64encode(data).decode(), name))


def type_token(page, text: str) -> None:
    page.value(f"document.getElementById('token').value = {text!r}")


def press(page, key: str, code: int, text: str = "") -> None:
    for kind in ("keyDown", "keyUp"):
        page("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, text=text)


def slide(page, value: float) -> None:
    page.value(f"(() => {{ const s = document.getElementById('threshold'); s.value = {value};"
               " s.dispatchEvent(new Event('input')); })()")  # fmt: skip


def test_from_a_dropped_image_to_its_corners(page, tmp_path):
    drop(page, "scene.png", save_image(tmp_path / "scene.png", draw_scene((20261, 11)).image).read_bytes())
    until(page, BOXES)
    asked = len(page.requests())

    slide(page, 0.05)
    many = page.value(BOXES)
    slide(page, 0.7)
    few = page.value(BOXES)
    assert 1 < few < many
    scores = page.value(
        "[...document.querySelectorAll('.box span')].map((s) => Number(s.textContent.split(' ').at(-1)))"
    )
    assert min(scores) >= 0.7
    assert f"{few} objects in 320×320 pixels" in page.value("document.getElementById('status').textContent")
    assert len(page.requests()) == asked  # the slider asks nobody

    page.value("document.getElementById('threshold').focus()")
    press(page, "Tab", 9)
    assert page.value("document.activeElement.ariaLabel").startswith("Box 1: ")
    press(page, "Enter", 13, "\r")
    assert page.value("document.activeElement.ariaPressed") == "true"
    details = page.value("document.getElementById('details').innerText")
    assert "Box 1: " in details
    assert details.count("-left") == details.count("-right") == 1
    assert "how far predicted and real sizes differ" in details
    assert page.value("document.querySelectorAll('.corner:not([hidden])').length") == 4

    # the boxes' frames lie over the image, and nothing is wider than a phone
    inside = """(() => { const out = document.getElementById('photo').getBoundingClientRect();
      return [...document.querySelectorAll('.box')].every((b) => { const r = b.getBoundingClientRect();
        return r.left >= out.left - 1 && r.right <= out.right + 1 && r.bottom <= out.bottom + 1; }); })()"""
    assert page.value(inside)
    assert page.value("document.documentElement.scrollWidth") == 390
    assert page.value("document.querySelector('.heat').naturalWidth") > 100
    assert page.complaints() == []
    assert len({request.split("/")[2] for request in page.requests() if request.startswith("http")}) == 1


def test_errors_are_shown_in_words(page, tmp_path):
    drop(page, "broken.png", b"no image at all")
    until(page, f"{ERROR} !== ''")
    assert "broken.png: not an image that can be read" in page.value(ERROR)
    assert page.value("document.getElementById('result').hidden")
    drop(page, "scene.png", save_image(tmp_path / "scene.png", draw_scene((20261, 12)).image).read_bytes())
    until(page, f"{ERROR} === '' && document.getElementById('status').textContent.includes('object')")


def test_the_token_is_asked_for(page, tmp_path):
    assert page.value("document.getElementById('token').offsetWidth > 0")
    scene = save_image(tmp_path / "scene.png", draw_scene((20261, 13)).image).read_bytes()
    for wrong in ("", "another token", "caf\u00e9"):
        type_token(page, wrong)
        drop(page, "scene.png", scene)
        until(page, f"{ERROR} !== ''")
        assert "No boxes: type this server's token, and choose the image again." in page.value(ERROR)
        assert page.value("document.activeElement.id") == "token"
        page.value("document.getElementById('error').textContent = ''")
    type_token(page, TOKEN)
    drop(page, "scene.png", scene)
    until(page, "document.getElementById('status').textContent.includes('object')")
    assert page.value(ERROR) == ""
