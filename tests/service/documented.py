"""An HTTP server that gives documented answers: a path, with its query, to a status and a JSON value."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent.parent / "data"
Answers = Mapping[str, tuple[int, Any]]


def data(name: str) -> Any:
    """Return one saved answer of tests/data."""
    return json.loads((DATA / name).read_text(encoding="utf-8"))


class DocumentedServer:
    """The URL of a running server, and what it was asked: path and Authorization header."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[tuple[str, str, str]] = []


@contextmanager
def documented(answers: Answers) -> Iterator[DocumentedServer]:
    """Run a server with these answers; any other path is 404."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            authorization = self.headers.get("Authorization", "")
            running.requests.append((self.command, self.path, authorization))
            status, value = answers.get(self.path, (404, {"code": 404, "message": "not found"}))
            body = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        host, port = server.server_address[:2]
        running = DocumentedServer(f"http://{host!s}:{port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield running
        finally:
            server.shutdown()
            thread.join(5)
