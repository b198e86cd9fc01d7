"""Whatever can be looked at, by name: files, folders, globs, addresses, videos, standard input, and their troubles."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from cornernet.errors import InputError
from cornernet.media import download as downloading
from cornernet.media import video
from cornernet.media.address import shown
from cornernet.media.download import download
from cornernet.media.sources import find_sources, read_frames, total_frames
from media.test_video import truncate, write_video

IMAGE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
PNG = cv2.imencode(".png", IMAGE[..., ::-1])[1].tobytes()


@pytest.fixture
def folder(tmp_path):
    """Two images of one name, and a video between them in the order of names."""
    (tmp_path / "deep").mkdir()
    for name in ("a.png", "deep/A.jpg"):
        cv2.imwrite(str(tmp_path / name), IMAGE[..., ::-1])
    write_video(tmp_path / "b.avi", frames=3)
    return tmp_path


@contextmanager
def serving(pages: dict) -> Iterator[str]:
    """A server whose ``pages`` (path: function of the handler) answer; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            pages[self.path](self)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def send(handler, body: bytes, *, status: int = 200, cut: int | None = None, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[:cut])


def hang(handler) -> None:
    time.sleep(3)


def trickle(handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(30):
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.1)


PAGES = {
    "/photo%20one.png?size=big": lambda h: send(h, PNG),
    "/moved": lambda h: send(h, b"", status=302, Location="/photo%20one.png?size=big"),
    "/round": lambda h: send(h, b"", status=302, Location="/round"),
    "/disk": lambda h: send(h, b"", status=302, Location="file:///etc/hostname"),
    "/page.jpg": lambda h: send(h, b"  <!DOCTYPE html><html><body>Sign in</body></html>"),
    "/text.jpg": lambda h: send(h, b"hello"),
    "/gone.jpg": lambda h: send(h, b"", status=404),
    "/cut.png": lambda h: send(h, PNG, cut=100),
    "/hang.png": hang,
    "/trickle.png": trickle,
    "/large.png": lambda h: send(h, b"x" * 5000),
}


def test_everything_in_the_order_it_was_named_each_with_a_name_of_its_own(folder):
    named = [str(folder / "b.avi"), str(folder), str(folder / "*.png")]
    sources = find_sources(named)
    assert [source.name for source in sources] == ["b", "a", "A_2"]
    assert [source.length for source in sources] == [3, 1, 1]
    assert total_frames(sources) == 5
    frames = list(read_frames(sources, depth=2))
    assert [frame.stem for frame in frames] == ["b/000000", "b/000001", "b/000002", "a", "A_2"]
    assert [frame.source for frame in frames[2:4]] == [str(folder / "b.avi"), str(folder / "a.png")]
    np.testing.assert_array_equal(frames[3].pixels, IMAGE)


def test_one_bad_thing_does_not_cost_the_others(folder):
    truncate(folder / "a.png", 0.5)
    (folder / "c.mp4").write_text("no video")
    truncate(write_video(folder / "d.avi"), 0.6)
    frames = list(read_frames(find_sources([str(folder)]), depth=3))
    bad = {frame.name: str(frame.pixels) for frame in frames if isinstance(frame.pixels, InputError)}
    assert bad.keys() == {"a", "c", "d"}
    assert all(f"{name}." in text.split(":")[0] for name, text in bad.items())
    assert "ends after" in bad["d"]
    assert {frame.name for frame in frames if not isinstance(frame.pixels, InputError)} == {"b", "d", "A_2"}


def test_a_video_is_read_as_it_is_asked_for(tmp_path, monkeypatch):
    reads = []

    class Endless:
        """A camera: there is always another frame."""

        def __init__(self, origin):
            assert origin == 0

        def isOpened(self):
            return True

        def get(self, _):
            return 0.0

        def read(self):
            reads.append(1)
            return True, np.zeros((4, 6, 3), np.uint8)

        def release(self):
            reads.append("released")

    monkeypatch.setattr("cornernet.media.video.cv2.VideoCapture", Endless)
    sources = find_sources(["camera:0"])
    assert total_frames(sources) is None
    assert sources[0].video is not None
    assert sources[0].video.rate == 25
    frames = read_frames(sources, depth=3)
    assert [next(frames).stem for _ in range(4)] == [f"camera_0/{i:06d}" for i in range(4)]
    time.sleep(0.1)
    assert reads.count(1) <= 8
    frames.close()
    assert reads[-1] == "released"


@pytest.mark.parametrize("place", ["camera:", "camera:x", "camera:-1", "nothing.jpg", "*.nothing"])
def test_places_where_nothing_can_be(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        find_sources([place])
    assert place in str(caught.value)


def standard_input(monkeypatch, data: bytes):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    (frame,) = read_frames(find_sources(["-"]), depth=2)
    assert frame.stem == "stdin"
    return frame.pixels


def test_an_image_on_standard_input(monkeypatch):
    np.testing.assert_array_equal(standard_input(monkeypatch, PNG), IMAGE)
    assert str(standard_input(monkeypatch, b"")).startswith("standard input: nothing came")
    assert str(standard_input(monkeypatch, PNG[:500])).startswith("standard input: truncated")
    assert str(standard_input(monkeypatch, b"hello")).startswith("standard input: not an image")


def test_an_image_from_the_web_also_behind_a_redirect():
    with serving(PAGES) as server:
        frames = list(read_frames(find_sources([f"{server}/photo%20one.png?size=big", f"{server}/moved"]), depth=2))
    assert [frame.stem for frame in frames] == ["photo_one", "moved"]
    (long,) = find_sources([f"{server}/{'%E4%BD%A0' * 100}.jpg"])
    assert 0 < len(f"{long.name}_heatmaps.jpg".encode()) < 255  # bytes of a file's name
    for frame in frames:
        np.testing.assert_array_equal(frame.pixels, IMAGE)


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("/round", "redirected more than 5 times"),
        ("/disk", "to what is no web address"),
        ("/page.jpg", "a web page, not an image"),
        ("/text.jpg", "not an image that can be read"),
        ("/gone.jpg", "the server answers 404"),
        ("/cut.png", "the connection ended"),
    ],
)
def test_a_server_that_sends_no_image(page, said):
    with serving(PAGES) as server:
        (frame,) = read_frames(find_sources([server + page]), depth=1)
    assert isinstance(frame.pixels, InputError)
    assert str(frame.pixels).startswith(f"{server}{page}: ")
    assert said in str(frame.pixels)
    assert "\n" not in str(frame.pixels)


def test_a_server_that_does_not_come_to_an_end(monkeypatch):
    monkeypatch.setattr(downloading, "_LARGEST", 1000)
    with serving(PAGES) as server:
        for page, said in (("/hang.png", "no whole answer in time"), ("/trickle.png", "no whole answer in time")):
            start = time.monotonic()
            with pytest.raises(InputError, match=said):
                download(server + page, seconds=0.4)
            assert time.monotonic() - start < 2
        with pytest.raises(InputError, match="more than 0 MiB"):
            download(f"{server}/large.png")
    with pytest.raises(InputError, match="cannot be fetched"):
        download(server)  # nobody there any more


def test_a_list_of_paths_relative_to_its_folder_or_here(folder, tmp_path, monkeypatch):
    (folder / "lists").mkdir()
    monkeypatch.chdir(folder)
    lines = ["# two images, one film", "", '"../a.png"', "deep\\A.jpg", "gone.png", "b.avi", "a.png"]
    (folder / "lists" / "all.TXT").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    sources = find_sources(["lists/all.TXT"])
    assert [source.name for source in sources] == ["a", "A_2", "gone", "b"]
    errors = [frame.pixels for frame in read_frames(sources, 2) if isinstance(frame.pixels, InputError)]
    assert [str(error) for error in errors] == ["gone.png: no such file or folder (named in lists/all.TXT)"]


@pytest.mark.parametrize("content", [b"0 0.5 0.5 0.1 0.1\n", b"\xff\xfe\x00", b"", b"# nothing\n"])
def test_a_text_file_that_is_no_list(tmp_path, content):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.txt: .*; a list has a path or an address on each line"):
        find_sources([str(tmp_path / "a.txt")])


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("rtsp://user:secret@host:554/live/1", "rtsp://host:554/live/1"),
        ("rtsp://user:se/cr@t@host/live", "rtsp://host/live"),
        ("http://host/a@b.jpg?token=secret&size=2", "http://host/a@b.jpg?token=***&size=2"),
        ("http://host/video.cgi?usr=me&pwd=secret", "http://host/video.cgi?usr=***&pwd=***"),
        ("http://host/photo%20one.png?size=big", "http://host/photo%20one.png?size=big"),
        ("photos/a@b.png", "photos/a@b.png"),
    ],
)
def test_addresses_are_shown_without_passwords(given, seen):
    assert shown(given) == seen


def broken_off(jpeg: bytes, times: list[int]):
    """A camera that sends three frames and breaks, until it has no more ``times``."""

    def answer(handler) -> None:
        if not times:
            handler.send_error(503)
            return
        times.pop()
        handler.send_response(200)
        handler.send_header("Content-Type", "multipart/x-mixed-replace; boundary=b")
        handler.end_headers()
        for _ in range(3):
            handler.wfile.write(b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg))
            handler.wfile.write(jpeg + b"\r\n")

    return answer


def test_a_stream_that_breaks_is_taken_up_again_a_few_times(monkeypatch, capsys):
    monkeypatch.setattr(video, "_PAUSES", (0.01, 0.02, 0.03))
    jpeg = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    with serving({"/cam.mjpg": broken_off(jpeg, [1] * 3)}) as server:
        host = server.removeprefix("http://")
        (source,) = find_sources([f"http://me:secret@{host}/cam.mjpg"])
        assert source.video.is_live
        *frames, last = read_frames([source], depth=2)
    assert len(frames) >= 6
    assert [frame.seconds for frame in frames] == sorted({frame.seconds for frame in frames})
    assert str(last.pixels).startswith(f"{server}/cam.mjpg: the stream broke after")
    assert "(3 tries)" in str(last.pixels)
    said = capsys.readouterr().err
    assert said.count("the stream broke; opening it again") == 3
    assert "secret" not in said + frames[0].source + str(last.pixels)


def test_a_video_from_the_web_ends_where_it_ends(tmp_path):
    data = write_video(tmp_path / "a.avi", 20).read_bytes()
    with serving(
        {"/a.avi": lambda h: send(h, data), "/cut.avi": lambda h: send(h, data, cut=len(data) // 3)}
    ) as server:
        whole, cut = (list(read_frames(find_sources([f"{server}/{name}.avi"]), 2)) for name in ("a", "cut"))
    assert [frame.index for frame in whole] == list(range(20))
    assert 0 < len(cut) < 20
