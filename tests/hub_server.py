"""A stand-in for the Hugging Face hub: one model repository at a time, in memory, as much as its client asks for."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789" * 4
TOKEN = "hf_right"


class Hub(ThreadingHTTPServer):
    """``files`` by repository and name; ``asked`` has each request's method and path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, dict[str, bytes]] = {}
        self.asked: list[str] = []
        self.private: dict[str, bool] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub  # type: ignore[assignment]
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, code: int, content: Any = b"", **headers: str) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"] and "/".join(parts[2:4]) in self.server.files:
            name = "/".join(parts[2:4])
            if parts[4:5] == ["tree"]:
                files = self.server.files[name].items()
                self._answer(
                    200, [{"type": "file", "path": file, "size": len(data), "oid": _oid(data)} for file, data in files]
                )
                return
            siblings = [{"rfilename": file} for file in self.server.files[name]]
            self._answer(200, {"id": name, "sha": COMMIT, "siblings": siblings, "tags": [], "private": False})
        elif len(parts) > 4 and parts[2] == "resolve" and parts[4] in self.server.files.get("/".join(parts[:2]), {}):
            data = self.server.files["/".join(parts[:2])][parts[4]]
            self._answer(200, data, ETag=f'"{_oid(data)}"', X_Repo_Commit=COMMIT)
        else:
            code = "EntryNotFound" if "/".join(parts[:2]) in self.server.files else "RepoNotFound"
            self._answer(404, {"error": "Not found"}, X_Error_Code=code)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        body = self._body()
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(401, {"error": "Invalid user token."})
            return
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            self.server.files.setdefault(name, {})
            self.server.private[name] = "private" in (asked.get("visibility"), asked.get("private") and "private")
            self._answer(200, {"url": f"{self.server.address}/{name}", "name": name})
        elif self.path == "/api/validate-yaml":
            self._answer(200, {"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in json.loads(body)["files"]
            ]
            self._answer(200, {"files": files})
        elif "/commit/" in self.path:
            name = "/".join(self.path.split("/")[3:5])
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.server.files[name][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            page = f"{self.server.address}/{name}/commit/{COMMIT}"
            self._answer(200, {"success": True, "commitOid": COMMIT, "commitUrl": page})
        else:
            self._answer(404, {"error": self.path})


def _oid(data: bytes) -> str:
    """Git's hash of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@contextmanager
def running() -> Iterator[Hub]:
    """A hub on a free port."""
    hub = Hub()
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
