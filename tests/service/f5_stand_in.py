"""An F5 on its documented answers: iControl REST of one pool, with tokens that run out, and what it may do wrong.

Members: https://clouddocs.f5.com/api/icontrol-rest/APIRef_tm_ltm_pool_members.html; log-in and tokens: the iControl REST
user guide, "About authentication". What is read back has other words than what was written: a watched member that is
enabled has session monitor-enabled, and state up or down by its monitor.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USER, PASSWORD = "samaops", 'secret-of-f5 "x" pass\'word\\'
POOL = "/mgmt/tm/ltm/pool/~Common~samaconso_api_pool"
_MEMBER = re.compile(re.escape(POOL) + r"/members/~Common~([^/]+)")


class Member:
    """One member: what a person has set, and what its monitor sees. ``connections`` goes down by one a look."""

    def __init__(self, *, connections: int = 0) -> None:
        self.state, self.session = "user-up", "user-enabled"
        self.is_well = True
        self.connections = connections

    @property
    def is_enabled(self) -> bool:
        return self.session == "user-enabled"

    def item(self, name: str) -> dict[str, Any]:
        """Return it as it is read back."""
        seen = "up" if self.is_well else "down"
        return {
            "kind": "tm:ltm:pool:members:membersstate",
            "name": name,
            "partition": "Common",
            "fullPath": f"/Common/{name}",
            "address": name.partition(":")[0],
            "session": "monitor-enabled" if self.is_enabled else self.session,
            "state": self.state if self.state == "user-down" else seen,
        }

    def stats(self, name: str) -> dict[str, Any]:
        """Return its statistics."""
        node, _colon, port = name.partition(":")
        is_down = self.state == "user-down"
        words = {
            "addr": node,
            "nodeName": f"/Common/{node}",
            "monitorStatus": "forced-down" if is_down else "up" if self.is_well else "down",
            "sessionStatus": "enabled" if self.is_enabled else "user-disabled",
            "status.availabilityState": "available" if self.is_well and not is_down else "offline",
            "status.enabledState": "enabled" if self.is_enabled else "disabled",
            "status.statusReason": "Forced down" if is_down else "Pool member is available",
        }
        numbers = {"port": int(port), "serverside.curConns": self.connections}
        entries: dict[str, Any] = {key: {"description": value} for key, value in words.items()}
        return entries | {key: {"value": value} for key, value in numbers.items()}


class F5:
    """The state of the stand-in, what it does wrong, and what it was asked.

    ``takes`` are the fields that a PATCH changes. ``uses`` is how many requests a token is good for.
    """

    def __init__(self, *names: str) -> None:
        self.url = ""
        self.members = {name: Member() for name in names}
        self.takes: tuple[str, ...] = ("state", "session")
        self.patch_status = 200
        self.uses = 10_000
        self.tokens: dict[str, int] = {}
        self.asked: list[tuple[str, str]] = []
        self._lock = threading.Lock()

    def logins(self) -> int:
        return sum(path == "/mgmt/shared/authn/login" for _method, path in self.asked)

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, Any]:
        """Return status and JSON of one request."""
        with self._lock:
            self.asked.append((method, path))
            if (method, path) == ("POST", "/mgmt/shared/authn/login"):
                return self._log_in(json.loads(body))
            if not self._is_known(headers):
                return 401, {"code": 401, "message": "Authorization failed: X-F5-Auth-Token does not exist."}
            if method == "DELETE":
                self.tokens.pop(path.rpartition("/")[2], None)
                return 200, {}
            return self._of_pool(method, path, body)

    def _log_in(self, who: dict[str, str]) -> tuple[int, Any]:
        if (who["username"], who["password"], who["loginProviderName"]) != (USER, PASSWORD, "tmos"):
            return 401, {"code": 401, "message": "Authentication failed."}
        token = f"TOKEN{len(self.tokens) + self.logins()}"
        self.tokens[token] = self.uses
        answer = {
            "token": token,
            "name": token,
            "userName": USER,
            "timeout": 1200,
            "kind": "shared:authz:tokens",
        }
        return 200, {"username": USER, "loginReference": {"link": "https://localhost/x"}, "token": answer}

    def _is_known(self, headers: Any) -> bool:
        basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if headers.get("Authorization") == basic:
            return True
        token = headers.get("X-F5-Auth-Token", "")
        self.tokens[token] = self.tokens.get(token, 0) - 1
        return self.tokens[token] >= 0

    def _of_pool(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        if path == f"{POOL}/members":
            return 200, {"items": [member.item(name) for name, member in self.members.items()]}
        if path == f"{POOL}/members/stats":
            return 200, {"entries": dict(self._statistics())}
        if path == POOL:
            return 200, {"name": "samaconso_api_pool", "monitor": "/Common/http_health_samaconso"}
        named = _MEMBER.fullmatch(path)
        if named is None or named[1] not in self.members:
            return 404, {"code": 404, "message": "01020036:3: The requested Pool Member was not found."}
        member = self.members[named[1]]
        if method == "PATCH":
            if self.patch_status != 200:
                return self.patch_status, {"code": self.patch_status}
            for field, value in json.loads(body).items():
                if field in self.takes:
                    setattr(member, field, value)
        return 200, member.item(named[1])

    def _statistics(self) -> Iterator[tuple[str, Any]]:
        for name, member in self.members.items():
            yield (
                f"https://localhost{POOL}/members/~Common~{name}/stats",
                {"nestedStats": {"entries": member.stats(name)}},
            )
            if not member.is_enabled:
                member.connections = max(0, member.connections - 1)


@contextmanager
def answering(*names: str) -> Iterator[F5]:
    """Serve an F5 whose pool has these members."""
    f5 = F5(*names)

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, value = f5.answer(self.command, self.path, self.headers, body)
            text = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *words: Any) -> None:
            del format, words

    for method in ("GET", "POST", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", Handler._serve)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    f5.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield f5
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
