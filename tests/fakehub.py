"""A local stand-in for the Hugging Face hub, as far as its client and `datasets` need it. The owner of a repository says how it fails.

`good`: does not fail. `silent`: accepts the connection and never answers. `stalls`: sends half of a large file, then nothing.
`resets`: sends half of it, then resets the connection. `busy`: answers 429, retry in an hour. `wrong`: flips one bit of a large file.
"""

import hashlib
import json
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "c" * 40
LARGE = (".safetensors", ".parquet")


class FakeHub:
    """Repositories: {"models/OWNER/NAME" or "datasets/OWNER/NAME": {path: bytes}}. `asked`: every request, as "METHOD path range"."""

    def __init__(self, repositories: dict[str, dict[str, bytes]]):
        self.repositories, self.asked, self.over = repositories, [], threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": self}))
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> "FakeHub":
        self.thread.start()
        return self

    def __exit__(self, *error) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *what) -> None:
        """Logs nothing."""

    def do_GET(self) -> None:
        """Any request."""
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path} {self.headers.get('Range', '')}".strip())
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        name, rest = self.repository(path)
        if name is None:
            return self.answer(b"{}", 404, {"X-Error-Code": "RepoNotFound"})
        owner = name.split("/")[1]
        if owner == "silent":
            return self.hang()
        if owner == "busy":
            return self.answer(b"", 429, {"Retry-After": "3600"})
        files = self.hub.repositories[name]
        if path.startswith("/api/"):
            return self.api(name, files, rest, body)
        file = rest.removeprefix("resolve/").partition("/")[2]
        return self.file(owner, file, files[file]) if file in files else self.answer(b"", 404, {"X-Error-Code": "EntryNotFound"})

    do_HEAD = do_POST = do_GET

    def repository(self, path: str) -> tuple[str | None, str]:
        """The repository that a path belongs to, and the rest of the path."""
        path = path.removeprefix("/api").lstrip("/")
        path = path if path.startswith(("models/", "datasets/")) else f"models/{path}"
        name = "/".join(path.split("/")[:3])
        return (name, path[len(name) :].lstrip("/")) if name in self.hub.repositories else (None, "")

    def api(self, name: str, files: dict[str, bytes], rest: str, body: bytes) -> None:
        """The repository's description, its file tree, or the entries of some paths."""
        if rest.startswith("tree/"):
            return self.tree(files, "/".join(rest.split("/")[2:]))
        if rest.startswith("paths-info/"):
            wanted = json.loads(body)["paths"]
            return self.answer(json.dumps([entry(path, data) for path, data in files.items() if path in wanted]).encode())
        about = {
            "id": name.partition("/")[2],
            "sha": COMMIT,
            "siblings": [{"rfilename": path} for path in files],
            "tags": [],
            "private": False,
        }
        return self.answer(json.dumps(about).encode(), 200 if rest in ("", "revision/main", f"revision/{COMMIT}") else 404)

    def tree(self, files: dict[str, bytes], folder: str) -> None:
        """The files and folders of a folder; with `recursive`, those of its subfolders, too."""
        deep, start = "recursive=true" in self.path.lower(), f"{folder}/" if folder else ""
        inside = {path: data for path, data in files.items() if path.startswith(start)}
        folders = {start + path[len(start) :].split("/")[0] for path in inside if "/" in path[len(start) :]}
        found = [{"type": "directory", "path": path, "oid": "d" * 40} for path in sorted(folders)]
        found += [entry(path, data) for path, data in inside.items() if deep or "/" not in path[len(start) :]]
        self.answer(json.dumps(found).encode(), 200 if inside else 404, {} if inside else {"X-Error-Code": "EntryNotFound"})

    def file(self, owner: str, path: str, data: bytes) -> None:
        """A file, or the range of it that is requested."""
        large, first = path.endswith(LARGE), int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")[0])
        told = {"ETag": f'"{etag(path, data)}"', "X-Repo-Commit": COMMIT}
        if owner == "wrong" and large:
            data = data[: len(data) // 3] + bytes([data[len(data) // 3] ^ 1]) + data[len(data) // 3 + 1 :]
        if owner in ("stalls", "resets") and large and self.command == "GET":
            return self.half(owner, data[first:], told, first)
        self.answer(data[first:], 206 if first else 200, told)

    def half(self, owner: str, data: bytes, told: dict, first: int) -> None:
        """Half of what is requested at the first request, nothing at later ones; then the connection stalls or is reset."""
        self.head(206 if first else 200, {**told, "Content-Length": str(len(data))})
        self.wfile.write(b"" if first else data[: len(data) // 2])
        self.wfile.flush()
        if owner == "stalls":
            return self.hang()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def hang(self) -> None:
        """Sends nothing for as long as the hub runs."""
        self.close_connection = True
        self.hub.over.wait()

    def answer(self, data: bytes, code: int = 200, told: dict | None = None) -> None:
        """A complete response."""
        self.head(code, {**(told or {}), "Content-Length": str(len(data))})
        if self.command != "HEAD":
            self.wfile.write(data)

    def head(self, code: int, told: dict) -> None:
        """Its status line and headers."""
        self.send_response(code)
        for name, value in told.items():
            self.send_header(name, value)
        self.end_headers()


def etag(path: str, data: bytes) -> str:
    """The ETag as the hub gives it: the sha256 for a large file."""
    return hashlib.sha256(data).hexdigest() if path.endswith(LARGE) else hashlib.sha1(data).hexdigest()


def entry(path: str, data: bytes) -> dict:
    """A file in a tree."""
    large = {"lfs": {"oid": etag(path, data), "size": len(data), "pointerSize": 130}} if path.endswith(LARGE) else {}
    return {"type": "file", "path": path, "size": len(data), "oid": etag(path, data)[:40], **large}
