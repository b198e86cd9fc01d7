"""Fetching released weights from a server that misbehaves."""

import hashlib
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cornernet.errors import InputError
from cornernet.files import cache_folder
from cornernet.weights import zoo
from cornernet.weights.fetching import sha256
from cornernet.weights.zoo import RELEASES, Release, fetch, find_release, open_weights

CONTENT = bytes(range(256)) * 4000
SHA = hashlib.sha256(CONTENT).hexdigest()[:8]
RELEASE = Release("tiny-1x1_none", f"tiny_1x1_20200101_000000-{SHA}.pth", "1 x 1", 1.0, 1.0, 1.0)


class Server:
    """Answers by ``behave(handler, start)``; counts requests and remembers where each began."""

    def __init__(self, behave):
        self.behave, self.starts = behave, []


@contextmanager
def serving(behave):
    server = Server(behave)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            span = self.headers.get("Range")
            start = int(span.removeprefix("bytes=").rstrip("-")) if span else 0
            server.starts.append(start)
            server.path = self.path
            behave(self, start)

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{http.server_port}/zoo"
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()


def answer(handler, start, *, content=CONTENT, claimed=None, cut=None, ranges=True):
    """Send ``content`` from ``start``, at most ``cut`` bytes of it, saying that there are ``claimed``."""
    if start and ranges and start >= len(content):
        handler.send_error(416)
        return
    begin = start if ranges else 0
    body = content[begin:]
    handler.send_response(206 if begin else 200)
    handler.send_header("Content-Length", str(len(body) if claimed is None else claimed))
    handler.end_headers()
    handler.wfile.write(body[:cut])


def test_a_file_is_fetched_once_and_its_progress_told(tmp_path):
    seen = []
    with serving(answer) as server:
        path = fetch(RELEASE, mirror=server.url, folder=tmp_path, progress=lambda *now: seen.append(now))
        assert fetch(RELEASE, mirror=server.url, folder=tmp_path) == path
    assert path.read_bytes() == CONTENT
    assert server.path == f"/zoo/tiny_1x1/{RELEASE.file}"
    assert server.starts == [0]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [p.name for p in tmp_path.iterdir()] == [RELEASE.file]


def test_a_connection_that_is_cut_goes_on_where_it_ended(tmp_path):
    with serving(lambda h, start: answer(h, start, cut=100_000)) as server:
        path = fetch(RELEASE, mirror=server.url, folder=tmp_path)
    assert path.read_bytes() == CONTENT
    assert len(server.starts) == -(-len(CONTENT) // 100_000)
    assert server.starts == sorted(set(server.starts))


def test_a_second_call_goes_on_with_the_first_ones_part(tmp_path):
    (tmp_path / f"{RELEASE.file}.part").write_bytes(CONTENT[:5000])
    with serving(answer) as server:
        assert fetch(RELEASE, mirror=server.url, folder=tmp_path).read_bytes() == CONTENT
    assert server.starts == [5000]


def test_a_server_without_ranges_begins_again(tmp_path):
    (tmp_path / f"{RELEASE.file}.part").write_bytes(CONTENT[:5000])
    with serving(lambda h, start: answer(h, start, ranges=False)) as server:
        assert fetch(RELEASE, mirror=server.url, folder=tmp_path).read_bytes() == CONTENT


def test_a_length_too_large_does_not_matter_where_the_content_is_right(tmp_path):
    with serving(lambda h, start: answer(h, start, claimed=len(CONTENT) + 999)) as server:
        assert fetch(RELEASE, mirror=server.url, folder=tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "behave",
    [
        lambda h, start: answer(h, start, content=b"another file"),
        lambda h, start: answer(h, start, content=CONTENT + b"more"),
        lambda h, start: answer(h, start, claimed=1000),
    ],
)
def test_a_wrong_file_is_refused_and_removed(tmp_path, behave):
    with serving(behave) as server, pytest.raises(InputError, match=f"another file.*not {SHA}") as caught:
        fetch(RELEASE, mirror=server.url, folder=tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_server_that_gives_nothing_ends_after_some_attempts(tmp_path):
    with serving(lambda h, start: answer(h, start, cut=0)) as server, pytest.raises(InputError, match="cannot be"):
        fetch(RELEASE, mirror=server.url, folder=tmp_path)
    assert len(server.starts) == 5


@pytest.mark.parametrize("code", [403, 404, 500])
def test_an_error_of_the_server_is_told_with_address_and_place(tmp_path, code):
    with serving(lambda h, start: h.send_error(code)) as server, pytest.raises(InputError) as caught:
        fetch(RELEASE, mirror=server.url, folder=tmp_path)
    for part in (RELEASE.file, server.url, str(tmp_path)):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mirror", ["http://127.0.0.1:1/zoo", "http://no-such-host.invalid", "nonsense"])
def test_without_a_network_one_line_names_file_address_and_place(tmp_path, mirror):
    with pytest.raises(InputError, match=RELEASE.file) as caught:
        fetch(RELEASE, mirror=mirror, folder=tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert mirror in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_log_lies_beside_the_weights(tmp_path):
    with serving(lambda h, start: answer(h, start, content=b"{}")) as server:
        assert fetch(RELEASE, log=True, mirror=server.url, folder=tmp_path).read_bytes() == b"{}"
    assert server.path == "/zoo/tiny_1x1/tiny_1x1_20200101_000000.log.json"


def test_the_table(monkeypatch, tmp_path):
    assert [release.sha256 for release in RELEASES] == ["5fefbf1c", "79b44c30", "1efaea91"]
    assert find_release("cornernet_hourglass104_8xb6") is find_release(RELEASES[1].name) is RELEASES[1]
    assert RELEASES[1].folder == "cornernet_hourglass104_mstest_8x6_210e_coco"
    assert RELEASES[1].log == "cornernet_hourglass104_mstest_8x6_210e_coco_20200825_150618.log.json"
    assert find_release("resnet") is None
    monkeypatch.setenv("CORNERNET_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("CORNERNET_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "cornernet"


def test_weights_by_name(monkeypatch, tmp_path, shared):
    source = shared("reference/tiny_0.pth")
    release = Release("tiny-x_y", f"tiny_20200101_000000-{sha256(source)[:8]}.pth", "", 1.0, 1.0, 1.0)
    monkeypatch.setattr(zoo, "RELEASES", (release,))
    monkeypatch.setenv("CORNERNET_CACHE", str(tmp_path))
    with serving(lambda h, start: answer(h, start, content=source.read_bytes())) as server:
        monkeypatch.setenv("CORNERNET_MIRROR", server.url)
        assert open_weights("tiny").info["dialect"] == "OpenMMLab"
    assert open_weights("shapes").class_names
    with pytest.raises(InputError, match="none of the names photos, shapes, lite0, lite1, lite2, tiny"):
        open_weights("huge")
    with pytest.raises(InputError, match="not a file"):
        open_weights(tmp_path)


def test_the_readme_has_this_table():
    script = Path(__file__).parents[2] / "benchmarks/zoo_table.py"
    assert subprocess.run([sys.executable, script, "--check"]).returncode == 0, "run python benchmarks/zoo_table.py"
