"""Why a stream's server gives no video, in words that help."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cornernet.errors import InputError
from cornernet.media.rtsp import why_refused
from cornernet.media.video import Video


@contextmanager
def answering(status: str) -> Iterator[tuple[int, list[str]]]:
    """A server that gives every question the same answer; its port, and the questions."""
    asked: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    asked.append(connection.recv(4096).decode())
                    connection.sendall(f"RTSP/1.0 {status}\r\nCSeq: 1\r\n\r\n".encode())

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield server.getsockname()[1], asked
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(
    ("status", "login", "said"),
    [
        ("404 Not Found", "", "the server answers 404 Not Found"),
        ("401 Unauthorized", "", "the server wants a user and a password (rtsp://USER:PASSWORD@...)"),
        ("401 Unauthorized", "me:secret@", "the server refuses this user and password, or has no such stream"),
        ("200 OK", "", ""),
    ],
)
def test_what_the_server_says(status, login, said):
    with answering(status) as (port, asked):
        assert why_refused(f"rtsp://{login}127.0.0.1:{port}/live?size=2") == said
    assert asked[0].startswith(f"DESCRIBE rtsp://127.0.0.1:{port}/live?size=2 RTSP/1.0\r\n")
    assert "secret" not in asked[0]


def test_no_server(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert why_refused(f"rtsp://127.0.0.1:{port}/x") == f"no server answers at port {port}"
    assert "special letters" in why_refused("rtsp://me:a/b@127.0.0.1/x")

    def unknown(*_: object) -> None:
        raise socket.gaierror

    monkeypatch.setattr(socket, "create_connection", unknown)
    assert why_refused("rtsp://cam/x") == "there is no host cam"


def test_the_line_has_no_password(capfd):
    with answering("404 Not Found") as (port, _), pytest.raises(InputError) as raised:
        Video(f"rtsp://me:secret@127.0.0.1:{port}/x", f"rtsp://127.0.0.1:{port}/x")
    assert str(raised.value) == f"rtsp://127.0.0.1:{port}/x: the server answers 404 Not Found; check the address"
    assert capfd.readouterr().err == ""
