"""Servers that keep what they are sent: an HTTP server with chosen answers, and a mail server (aiosmtpd)."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class Listener:
    """What an HTTP server was asked, and what it answers."""

    url: str
    status: int = 200
    answer: bytes = b"ok"
    asked: list[tuple[str, str, bytes]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        return [path for _method, path, _body in self.asked]

    def documents(self) -> list[Any]:
        """Return the JSON of every request."""
        return [json.loads(body) for _method, _path, body in self.asked]


@contextlib.contextmanager
def http_listener(status: int = 200, answer: bytes = b"ok") -> Iterator[Listener]:
    """Start an HTTP server on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            kept.asked.append((self.command, self.path, body))
            kept.headers.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(kept.status)
            self.send_header("Content-Length", str(len(kept.answer)))
            self.end_headers()
            self.wfile.write(kept.answer)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the tests' output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept = Listener(f"http://127.0.0.1:{server.server_address[1]}", status, answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class MailServer:
    """A mail server and what it was given."""

    port: int
    mails: list[Message] = field(default_factory=list)


@contextlib.contextmanager
def mail_server(refused: str = "", **options: Any) -> Iterator[MailServer]:
    """Start a mail server; ``refused`` is a recipient it does not take, options are those of aiosmtpd."""
    controller_module = pytest.importorskip("aiosmtpd.controller")
    from aiosmtpd.handlers import Message as MessageHandler

    class Keeper(MessageHandler):
        async def handle_RCPT(  # noqa: N802 - aiosmtpd calls it so
            self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
        ) -> str:
            if address == refused:
                return "550 no such user"
            envelope.rcpt_tos.append(address)
            return "250 OK"

        def handle_message(self, message: Message) -> None:
            kept.mails.append(message)

    from tests.service.ssh_server import free_port

    kept = MailServer(free_port())
    controller = controller_module.Controller(Keeper(), hostname="127.0.0.1", port=kept.port, **options)
    controller.start()
    try:
        yield kept
    finally:
        controller.stop()
