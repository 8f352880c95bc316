"""The stand-in for oauth2.googleapis.com and fcm.googleapis.com: one TLS server, a certificate for each name.

Run as a program with the directory of its files, an address and a port. It reads ``control.json`` at every
request (see ``google_control``) and appends each accepted message to ``accepted.jsonl``.
"""

from __future__ import annotations

import argparse
import json
import ssl
import sys
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from samaops.lab.outside import google_control, google_fcm, google_oauth
from samaops.lab.outside.google_oauth import Answer, Issuer
from samaops.lab.outside.places import FCM_HOST, GOOGLE_HOSTS, OAUTH_HOST

CONNECTION_TIMEOUT_SECONDS = 30
LONGEST_BODY_BYTES = 64 * 1024
NOT_FOUND_PAGE = (
    b"<!DOCTYPE html>\n<html lang=en>\n<title>Error 404 (Not Found)!!1</title>\n"
    b"<p><b>404.</b> <ins>That\xe2\x80\x99s an error.</ins>\n"
    b"<p>The requested URL was not found on this server. <ins>That\xe2\x80\x99s all we know.</ins>\n"
)


class GoogleServer(ThreadingHTTPServer):
    """A TLS server that shakes hands in the thread of each connection: a silent client blocks nobody."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, directory: Path, address: str, port: int) -> None:
        super().__init__((address, port), GoogleHandler)
        self.directory = directory
        self._contexts = {host: _context(directory, host) for host in GOOGLE_HOSTS}
        self._contexts[OAUTH_HOST].sni_callback = self._choose
        self._accepted_lock = threading.Lock()

    def _choose(self, connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _context: object) -> None:
        connection.context = self._contexts.get(name or OAUTH_HOST, self._contexts[OAUTH_HOST])

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands, then serve; a client that distrusts us is only worth a line of log."""
        request.settimeout(CONNECTION_TIMEOUT_SECONDS)
        try:
            with self._contexts[OAUTH_HOST].wrap_socket(request, server_side=True) as connection:
                GoogleHandler(connection, client_address, self)
        except (ssl.SSLError, ConnectionError, TimeoutError) as error:
            print(f"{client_address[0]} connection ended: {error}", file=sys.stderr)  # noqa: T201

    def read_json(self, name: str) -> Any:
        """Read one of the files that were prepared for this server."""
        return json.loads((self.directory / name).read_text(encoding="utf-8"))

    def token_key(self) -> bytes:
        """Return the key that seals access tokens."""
        return (self.directory / "token.key").read_bytes()

    def note_accepted(self, project_path: str, request: dict[str, Any], answer: Answer) -> None:
        """Append one accepted message to the log."""
        message = request["message"]
        line = {
            "time": time.time(),
            "project": project_path.split("/")[3],
            "name": answer.body["name"],
            "token": message.get("token"),
            "topic": message.get("topic"),
            "body": message.get("notification", {}).get("body", ""),
            "validate_only": request.get("validate_only") is True,
        }
        with self._accepted_lock, (self.directory / "accepted.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


class GoogleHandler(BaseHTTPRequestHandler):
    """One connection; which of the two services it wants is in the Host header."""

    server: GoogleServer
    protocol_version = "HTTP/1.1"
    timeout = CONNECTION_TIMEOUT_SECONDS

    def version_string(self) -> str:
        """Name the server as Google's front ends do."""
        return "ESF"

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Give the time by Google's clock."""
        return formatdate(timestamp or self._now(), usegmt=True)

    def do_GET(self) -> None:
        """Answer what is there for a browser: nothing."""
        self._respond(404, NOT_FOUND_PAGE, {"Content-Type": "text/html; charset=UTF-8"})

    do_HEAD = do_GET  # noqa: N815 - the name http.server calls

    def do_POST(self) -> None:
        """Answer a call of one of the two services."""
        length = int(self.headers.get("Content-Length") or 0)
        if length > LONGEST_BODY_BYTES:
            self.close_connection = True
            self._respond(413, b"", {})
            return
        answer = self._answer(self.rfile.read(length))
        if answer is None:
            self.do_GET()
            return
        headers = {"Content-Type": "application/json; charset=UTF-8", **answer.headers}
        self._respond(answer.status, json.dumps(answer.body, indent=2).encode("utf-8"), headers)

    def _answer(self, body: bytes) -> Answer | None:
        host = (self.headers.get("Host") or "").partition(":")[0].lower()
        if host == OAUTH_HOST and self.path == "/token":
            return self._grant(body)
        if host == FCM_HOST and self.path.endswith("/messages:send"):
            return self._send(body)
        return None

    def _grant(self, body: bytes) -> Answer:
        control = self._control()
        if control.oauth_mode == "unavailable":
            return Answer(503, {"error": "temporarily_unavailable", "error_description": "Try again later."})
        issuer = Issuer(
            self.server.read_json("accounts.json"), self.server.token_key(), control.token_seconds
        )
        return google_oauth.grant(dict(parse_qsl(body.decode("utf-8", "replace"))), issuer, self._now())

    def _send(self, body: bytes) -> Answer:
        control = self._control()
        time.sleep(control.delay_seconds)
        request = google_fcm.Request(self.path, self.headers.get("Authorization") or "", body, self._now())
        projects = frozenset(self.server.read_json("projects.json"))
        answer = google_fcm.send(request, projects, self.server.token_key(), control)
        if answer.status == 200:
            self.server.note_accepted(self.path, json.loads(body), answer)
        return answer

    def _control(self) -> google_control.Control:
        return google_control.read(self.server.directory / "control.json")

    def _now(self) -> float:
        return time.time() + self._control().clock_offset_seconds

    def _respond(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _context(directory: Path, host: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(directory / f"{host}.pem")
    return context


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    arguments = parser.parse_args()
    with GoogleServer(arguments.directory, arguments.address, arguments.port) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
