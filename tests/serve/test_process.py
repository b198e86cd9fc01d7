"""The server in a process of its own: slow clients, a crowd, and an orderly end."""

import signal
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest

pytest.importorskip("fastapi", reason="the server's packages are absent: pip install 'cornernet[serve]'")

from cornernet.cli import main
from serve.fakes import png
from small import start


@pytest.fixture
def server(tmp_path):
    """A server with little patience; gives the process and its port."""
    options = ("--port", 0, "--timeout", 2, "--queue", 4, "--device", "cpu")
    process = start("serve", "--weights", "shapes", *options)
    try:
        line = process.stdout.readline()
        assert line.startswith("shapes: http://127.0.0.1:"), process.stderr.read()
        yield process, int(line.split(":")[3].split(",")[0])
    finally:
        process.kill()
        process.communicate()


def predict(port: int, image: bytes) -> int:
    """The answer's status."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/predict", image, {"Content-Type": "image/png"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def send(port: int, text: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    connection.sendall(text.encode().replace(b"\n", b"\r\n"))
    return connection


def answer_of(connection: socket.socket) -> bytes:
    data = b""
    while part := connection.recv(65536):
        data += part
    return data


def test_slow_clients_a_crowd_and_the_end(server):
    process, port = server
    assert predict(port, png(height=64, width=64)) == 200
    assert predict(port, b"x" * 40_000_000) == 413  # by a client that sends everything before it reads

    head = "POST /predict HTTP/1.1\nHost: x\nContent-Type: image/png\nConnection: close\n"
    silent, half = send(port, ""), send(port, "POST /predict HTTP/1.1\nHo")
    slow = send(port, f"{head}Content-Length: 1000\n\nabc")
    large = send(port, f"{head}Content-Length: 999999999\n\n")
    assert b" 413 " in answer_of(large).splitlines()[0]  # before the body
    answer = answer_of(slow)
    assert b" 408 " in answer.splitlines()[0]
    assert b'{"error":"the image did not come within 2 s' in answer
    assert answer_of(silent) == answer_of(half) == b""  # closed

    codes: list[int] = []
    image = png(height=128, width=128)
    crowd = [threading.Thread(target=lambda: codes.append(predict(port, image))) for _ in range(24)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert len(codes) == 24
    assert set(codes) == {200, 503}

    begun = send(port, f"{head}Content-Length: {len(image)}\n\n")
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    begun.sendall(image)
    assert b" 200 " in answer_of(begun).splitlines()[0]
    assert process.wait(30) == 0
    assert process.stderr.read() == ""


def test_a_port_in_use_is_said(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", "--weights", "shapes", "--port", str(taken.getsockname()[1])]) == 2
    line = capsys.readouterr().err.strip()
    assert line.endswith("choose another address or port")
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize(
    ("option", "value"),
    [("--max-bytes", "much"), ("--max-pixels", "0"), ("--queue", "0"), ("--batch-wait-ms", "-1")],
)
def test_options_that_make_no_sense(option, value, capsys):
    assert main(["serve", "--weights", "shapes", option, value]) == 2
    assert option in capsys.readouterr().err
