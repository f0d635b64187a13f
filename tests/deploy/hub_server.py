"""A hub on 127.0.0.1: the few routes that huggingface_hub needs to create, commit and download."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

LARGE = 1000  # bytes from which files have a SHA-256
TOKEN = "hf_secretsecretsecret"


class Hub(ThreadingHTTPServer):
    """Commits by repository, each a mapping of files; `asked`: every request, method and path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.commits: dict[str, list[tuple[str, dict[str, bytes]]]] = {}
        self.asked: list[str] = []
        self.refuses: int | None = None
        self.sends: dict[str, bytes] = {}  # other bytes than those that a file is said to have

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def files(self, repository: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        commits = self.commits.get(repository, [])
        if revision == "main":
            return commits[-1] if commits else None
        return next((commit for commit in commits if commit[0] == revision), None)


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        """Nothing on stderr."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self._note()
        path = unquote(urlsplit(self.path).path)
        kinds = "(?:models|datasets)"
        if match := re.fullmatch(rf"/api/{kinds}/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            return self._info(match[1], match[2] or "main")
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)(?:/.*)?", path):
            held = self.server.files(match[1], match[2])
            return self._json(200, [self._entry(*item) for item in held[1].items()] if held else [])
        if match := re.fullmatch(r"/(?:datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._file(match[1], match[2], match[3])
        self._json(404, {"error": "no such route"})
        return None

    def do_POST(self) -> None:
        self._note()
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else self._chunks()
        path = unquote(urlsplit(self.path).path)
        if self.server.refuses:
            return self._json(self.server.refuses, {"error": f"no, {TOKEN}"})
        if path == "/api/repos/create":
            asked = json.loads(body)
            owner = asked.get("organization") or "someone"
            self.server.commits.setdefault(f"{owner}/{asked['name']}", [])
            return self._json(200, {"url": f"{self.server.address}/{owner}/{asked['name']}"})
        if path == "/api/validate-yaml":
            return self._json(200, {"errors": [], "warnings": []})
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/main", path):
            files = [
                {"path": item["path"], "uploadMode": "regular", "shouldIgnore": False}
                for item in json.loads(body)["files"]
            ]
            return self._json(200, {"files": files})
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
            return self._commit(match[1], body)
        self._json(404, {"error": "no such route"})
        return None

    def _note(self) -> None:
        self.server.asked.append(f"{self.command} {urlsplit(self.path).path}")

    def _chunks(self) -> bytes:
        body = b""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return body
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _commit(self, repository: str, body: bytes) -> None:
        files: dict[str, bytes] = {}
        for line in filter(None, body.splitlines()):
            item = json.loads(line)
            if item["key"] == "file":
                files[item["value"]["path"]] = base64.b64decode(item["value"]["content"])
        oid = hashlib.sha1(body).hexdigest()
        self.server.commits[repository].append((oid, files))
        url = f"{self.server.address}/{repository}/commit/{oid}"
        self._json(200, {"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})

    def _info(self, repository: str, revision: str) -> None:
        if repository not in self.server.commits:
            return self._json(404, {"error": "x"}, {"X-Error-Code": "RepoNotFound"})
        held = self.server.files(repository, revision)
        if held is None:
            return self._json(404, {"error": "x"}, {"X-Error-Code": "RevisionNotFound"})
        siblings = [
            {"rfilename": name, "size": len(data), "blobId": _blob(data), **self._large(data)}
            for name, data in held[1].items()
        ]
        self._json(200, {"id": repository, "sha": held[0], "siblings": siblings})
        return None

    @staticmethod
    def _large(data: bytes) -> dict[str, Any]:
        """What a hub says of files that git keeps elsewhere."""
        if len(data) < LARGE:
            return {}
        sha256 = hashlib.sha256(data).hexdigest()
        return {"lfs": {"sha256": sha256, "size": len(data), "pointerSize": 130}}

    @staticmethod
    def _entry(name: str, data: bytes) -> dict[str, Any]:
        return {"type": "file", "path": name, "size": len(data), "oid": _blob(data)}

    def _file(self, repository: str, revision: str, name: str) -> None:
        held = self.server.files(repository, revision)
        if held is None or name not in held[1]:
            return self._json(404, {"error": "x"}, {"X-Error-Code": "EntryNotFound"})
        data = self.server.sends.get(name, held[1][name])
        self._send(200, data, {"ETag": f'"{_blob(data)}"', "X-Repo-Commit": held[0]})
        return None

    def _json(self, code: int, value: Any, headers: dict[str, str] | None = None) -> None:
        self._send(code, json.dumps(value).encode(), headers or {})

    def _send(self, code: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _blob(data: bytes) -> str:
    """The id that git gives a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@contextmanager
def hub() -> Iterator[Hub]:
    """A hub that listens while the block lasts."""
    server = Hub()
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
