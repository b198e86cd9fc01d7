"""The server in this process: what it answers, what it refuses, and that it lives on."""

import io
import struct
import threading
import time
import zlib

import pytest
from PIL import Image, ImageChops

pytest.importorskip("fastapi", reason="the server's packages are absent: pip install 'cornernet[serve]'")

from cornernet.cli import main
from cornernet.errors import InputError
from serve.fakes import FakeDetector, png, serving

PNG = {"Content-Type": "image/png"}


@pytest.fixture
def client():
    with serving(FakeDetector(), max_bytes=50_000, max_pixels=10_000, timeout=2.0) as client:
        yield client


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb() -> bytes:
    """A small PNG file of 30000x30000 pixels."""
    rows = zlib.compress(b"\0" * 100_000)
    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def tiled_bomb(side: int = 4096) -> bytes:
    """A small TIFF file of one pixel, in a tile of so many pixels a side."""
    tile = zlib.compress(bytes(side * side))
    shorts = {258: 8, 259: 8, 262: 1, 277: 1}  # bits, deflate, black is 0, one channel
    tags = shorts | {256: 1, 257: 1, 322: side, 323: side, 324: 200, 325: len(tile)}
    fields = [struct.pack("<HHII", tag, 3 if tag in shorts else 4, 1, value) for tag, value in sorted(tags.items())]
    head = struct.pack("<2sHIH", b"II", 42, 8, len(fields)) + b"".join(fields) + bytes(4)
    return head.ljust(200, b"\0") + tile


def test_body_and_form_give_the_same_boxes(client):
    body = client.post("/predict", content=png(), headers=PNG)
    form = client.post("/predict", files={"image": ("a.png", png(), "image/png")})
    assert body.status_code == form.status_code == 200
    assert body.json() == form.json()
    assert body.json() == {
        "width": 30,
        "height": 20,
        "classes": ["left"],
        "threshold": 0.3,
        "detections": [{"box": [0, 0, 15, 20], "score": 0.78431, "label": 0, "class": "left"}],
    }


def test_the_field_may_be_called_file(client):
    named = client.post("/predict", files={"file": ("a.png", png(), "image/png")})
    assert named.status_code == 200
    assert named.json() == client.post("/predict", content=png(), headers=PNG).json()


def test_a_decimal_comma_gets_a_hint(client):
    answer = client.post("/predict?threshold=0,4", content=png(), headers=PNG)
    assert answer.status_code == 422
    assert answer.json()["fix"] == "write 0.4"
    assert answer.json()["error"].startswith("threshold: ")


def test_threshold_and_picture(client):
    assert client.post("/predict?threshold=0.9", content=png(), headers=PNG).json()["detections"] == []
    request = {"content": png(height=60, width=90), "headers": PNG}
    answer = client.post("/predict?format=picture", **request)
    assert answer.headers["content-type"] == "image/jpeg"
    picture = Image.open(io.BytesIO(answer.content))
    plain = Image.open(io.BytesIO(client.post("/predict?format=picture&threshold=1", **request).content))
    assert picture.size == plain.size == (90, 60)
    assert plain.getextrema() == ((200, 200),) * 3
    changed = ImageChops.difference(picture, plain).point(lambda value: 255 * (value > 40)).getbbox()
    assert changed == pytest.approx((0, 0, 45, 60), abs=3)


@pytest.mark.parametrize(
    ("status", "said", "request_"),
    [
        (400, "empty", {"content": b"", "headers": PNG}),
        (400, "'image'", {"files": {"photo": ("a.png", png(), "image/png")}}),
        (400, "'image'", {"data": {f"field{i}": "x" for i in range(50)}, "files": {"image": ("a.png", png())}}),
        (400, "'image'", {"files": [("image", ("a.png", png())), ("image", ("b.png", png()))]}),
        (400, "'image'", {"content": b"junk", "headers": {"Content-Type": "multipart/form-data"}}),
        (413, "50000 bytes", {"content": b"x" * 60_000, "headers": PNG}),
        (413, "50000 bytes", {"content": iter([b"x" * 30_000] * 3), "headers": PNG}),
        (413, "50000 bytes", {"files": {"image": ("a.png", b"x" * 60_000)}}),
        (413, "30000x30000", {"content": bomb(), "headers": PNG}),
        (422, "tiles (4096x4096) are far larger", {"content": tiled_bomb(), "headers": {"Content-Type": "image/tiff"}}),
        (413, "101x100", {"content": png(height=101, width=100), "headers": PNG}),
        (415, "image/jpeg", {"content": b"a=b", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}),
        (415, "no content type", {"content": png()}),
        (422, "truncated", {"content": png()[:-30], "headers": PNG}),
        (422, "not an image", {"content": b"<html>", "headers": PNG}),
        (422, "threshold", {"params": {"threshold": "2"}, "content": png(), "headers": PNG}),
        (422, "format", {"params": {"format": "xml"}, "content": png(), "headers": PNG}),
        (413, "image: too much memory for one; send a smaller image", {"content": png(2), "headers": PNG}),
        (500, "tripped", {"content": png(0), "headers": PNG}),
    ],
)
def test_errors_are_one_line_and_the_server_lives_on(client, status, said, request_):
    answer = client.post("/predict", **request_)
    assert answer.status_code == status
    error = answer.json()
    assert list(error) == ["error", "what", "where", "fix"]
    assert error["error"] == str(InputError(error["what"], error["where"], error["fix"]))
    assert said in error["error"]
    assert len(answer.json()["error"].splitlines()) == 1
    assert "/tmp" not in answer.text
    assert client.post("/predict", content=png(), headers=PNG).status_code == 200


def test_other_addresses_say_what_there_is(client):
    assert "POST /predict" in client.get("/nothing").json()["error"]
    assert client.get("/predict").status_code == 405


def test_what_comes_together_shares_a_pass():
    detector = FakeDetector()
    with serving(detector, batch_size=4, batch_wait=0.5) as client:
        detector.go.clear()
        threads = [ask(client, png(first)) for first in (101,)]
        assert detector.began.wait(10)
        threads += [ask(client, png(first, height=height)) for first, height in ((102, 20), (103, 40), (104, 20))]
        time.sleep(0.3)
        detector.go.set()
        answers = [answer for thread in threads for answer in join(thread)]
    assert sorted(sorted(batch) for batch in detector.batches) == [[101], [102, 104], [103]]
    scores = sorted(answer.json()["detections"][0]["score"] for answer in answers)
    assert scores == pytest.approx([101 / 255, 102 / 255, 103 / 255, 104 / 255], abs=1e-4)


def test_one_image_too_many_for_a_batch_does_not_cost_the_others_theirs():
    detector = FakeDetector()
    with serving(detector, batch_size=2, batch_wait=5) as client:
        answers = [answer for thread in [ask(client, png(1)), ask(client, png(200))] for answer in join(thread)]
    assert [answer.status_code for answer in answers] == [200, 200]


def test_a_full_queue_refuses_and_answers_all_it_took():
    detector = FakeDetector()
    with serving(detector, queue=3, batch_size=1) as client:
        detector.go.clear()
        threads = [ask(client, png()) for _ in range(3)]
        wait_for(client, "cornernet_queue_length 3.0")
        refused = client.post("/predict", content=png(), headers=PNG)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert "try again" in refused.json()["error"]
        detector.go.set()
        assert [answer.status_code for thread in threads for answer in join(thread)] == [200] * 3
        assert client.post("/predict", content=png(), headers=PNG).status_code == 200


def test_what_could_not_be_answered_in_time_is_not_taken():
    detector = FakeDetector()
    with serving(detector, batch_size=1, timeout=1.0) as client:
        client.app.state.service.batcher.seconds_per_image = 3.0
        detector.go.clear()
        thread = ask(client, png())
        assert detector.began.wait(10)
        assert client.post("/predict", content=png(), headers=PNG).status_code == 503
        detector.go.set()
        assert join(thread)[0].status_code == 200


def test_a_picture_too_long_for_jpeg():
    with serving(FakeDetector()) as client:
        answer = client.post("/predict?format=picture", content=png(height=1, width=66_000), headers=PNG)
    assert answer.status_code == 413
    assert "format=json" in answer.json()["error"]


def test_who_waits_for_a_picture_is_inside(monkeypatch):
    drawing, done = threading.Event(), threading.Event()

    def draw(*_):
        drawing.set()
        assert done.wait(10)
        return b""

    monkeypatch.setattr("cornernet.serve.service.detections_as_jpeg", draw)
    with serving(FakeDetector(), queue=1) as client:
        asked = ask(client, png(), "/predict?format=picture")
        assert drawing.wait(10)
        assert client.post("/predict", content=png(), headers=PNG).status_code == 503
        done.set()
        assert join(asked)[0].status_code == 200


def test_an_answer_that_takes_too_long():
    detector = FakeDetector()
    with serving(detector, timeout=0.3) as client:
        detector.go.clear()
        answer = client.post("/predict", content=png(), headers=PNG)
        assert answer.status_code == 504
        assert "0.3 s" in answer.json()["error"]
        detector.go.set()
        assert client.post("/predict", content=png(), headers=PNG).status_code == 200


def test_health_and_metrics(client):
    health = client.get("/health").json()
    assert health.pop("classes") == [{"name": "left", "color": "#e69f00"}]
    assert health == {
        "live": True,
        "ready": True,
        "model": "fake",
        "device": "cpu",
        "threshold": 0.3,
        "explains": False,
        "needs_token": False,
    }
    client.post("/predict", content=png(), headers=PNG)
    client.post("/predict", content=b"", headers=PNG)
    client.get("/made/up")
    text = client.get("/metrics").text
    for line in (
        'cornernet_requests_total{code="200",route="/predict"} 1.0',
        'cornernet_requests_total{code="400",route="/predict"} 1.0',
        'cornernet_requests_total{code="404",route="other"} 1.0',
        'cornernet_request_seconds_count{route="/predict"} 2.0',
        "cornernet_images_total 1.0",
        "cornernet_batch_images_count 1.0",
        "cornernet_queue_length 0.0",
    ):
        assert f"\n{line}\n" in text
    assert "process_resident_memory_bytes" in text


def test_what_gives_no_heatmaps_says_so(client):
    answer = client.post("/explain", content=png(), headers=PNG)
    assert answer.status_code == 501
    assert "no heatmaps" in answer.json()["error"]


def test_the_description_needs_no_other_server(client):
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {"/predict", "/explain", "/health", "/metrics"}
    assert set(described["paths"]["/predict"]["post"]["requestBody"]["content"]) == {"image/*", "multipart/form-data"}
    assert client.get("/docs").status_code == 404
    page = client.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http" not in page.text


def ask(client, image: bytes, path: str = "/predict?threshold=0"):
    """A request in a thread of its own, and a list for its answer."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(client.post(path, content=image, headers=PNG)), daemon=True)
    thread.start()
    return thread, answers


def join(asked) -> list:
    thread, answers = asked
    thread.join(30)
    assert len(answers) == 1
    return answers


def wait_for(client, line: str) -> None:
    end = time.monotonic() + 20
    while line not in client.get("/metrics").text:
        assert time.monotonic() < end, f"never {line}"
        time.sleep(0.02)


TOKEN = "0123456789abcdef"


@pytest.mark.parametrize("path", ["/predict", "/predict?format=picture", "/explain", "/metrics"])
@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({}, "wants its token"),
        ({"Authorization": f"Basic {TOKEN}"}, "wants its token"),
        ({"Authorization": TOKEN}, "wants its token"),
        ({"Authorization": f"Bearer {TOKEN[:-1]}"}, "not the server's token"),
        ({"Authorization": "Bearer caf\u00e9".encode()}, "not the server's token"),
    ],
)
def test_without_the_token_there_is_no_answer(path, header, said):
    detector = FakeDetector()
    with serving(detector, token=TOKEN) as client:
        if path == "/metrics":
            answer = client.get(path, headers=header)
        else:
            answer = client.post(path, content=png(), headers=PNG | header)
        assert answer.status_code == 401
        assert said in answer.json()["what"]
        assert answer.json()["fix"] == "send the header Authorization: Bearer TOKEN"
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert detector.batches == []


def test_with_the_token_all_is_as_without_one(client):
    good = {"Authorization": f"Bearer {TOKEN}"}
    with serving(FakeDetector(), token=TOKEN) as guarded:
        answer = guarded.post("/predict", content=png(), headers=PNG | good)
        assert answer.json() == client.post("/predict", content=png(), headers=PNG).json()
        assert guarded.get("/metrics", headers=good).status_code == 200
        for path in ("/", "/health", "/page/app.js"):  # the page asks for the token itself
            assert guarded.get(path).status_code == 200
        assert guarded.get("/health").json()["needs_token"]
        assert "401" in guarded.get("/openapi.json").json()["paths"]["/predict"]["post"]["responses"]
    assert not client.get("/health").json()["needs_token"]


def test_bodies_of_requests_without_the_token_are_not_kept(client):
    with serving(FakeDetector(), token=TOKEN, max_bytes=50_000) as guarded:
        assert guarded.post("/predict", content=bytes(5_000_000), headers=PNG).status_code == 401


@pytest.mark.parametrize("token", ["", "2hrt", "0123456789 abcdef", "0123456789abcd\u00e9f", "0123456789abcdef\n"])
def test_tokens_that_protect_nothing_are_refused(token, monkeypatch, capsys):
    assert main(["serve", "--token", token]) == 2
    monkeypatch.setenv("CORNERNET_TOKEN", token)
    assert main(["serve"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all("--token: is short" in line for line in lines)
    assert not token or token not in lines[0]
