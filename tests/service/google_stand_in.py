"""Google behind a proxy, for tests: an authority, TLS servers with certificates it signed, a real tinyproxy."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from samaops.lab.outside.certificates import Authority, authority, signed_for
from tests.service.postgres_server import eventually, free_port

HOST = "localhost"
GOOGLE = "Google Trust Services"


def make_authority(directory: Path, organisation: str, common_name: str) -> tuple[Authority, Path]:
    """Make a certificate authority; return it and its certificate file."""
    name = common_name.replace(" ", "_")
    certificate_file = directory / f"{name}.pem"
    return authority(certificate_file, directory / f"{name}.key", organisation, common_name), certificate_file


@contextmanager
def tls_server(directory: Path, signer: Authority, status: int = 404) -> Iterator[int]:
    """Run an HTTPS server for localhost that answers every GET with one status; yield its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    port = free_port()
    chain = directory / f"server-{port}.pem"
    chain.write_bytes(signed_for(HOST, signer))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    with _Server(("127.0.0.1", port), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield port
        finally:
            server.shutdown()
            thread.join(5)


class _Server(ThreadingHTTPServer):
    """Says nothing of clients that do not trust it."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@dataclass
class TinyProxy:
    """One running tinyproxy."""

    port: int
    directory: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def tinyproxy(*ports: int, user: str = "", password: str = "") -> Iterator[TinyProxy]:
    """Run tinyproxy, which lets CONNECT through to these ports alone."""
    program = shutil.which("tinyproxy")
    if program is None:
        pytest.skip("needs the Debian package tinyproxy")
    directory = Path(tempfile.mkdtemp(prefix="samaops-proxy-"))
    port = free_port()
    lines = [f"Port {port}", "Listen 127.0.0.1", "Timeout 30", "MaxClients 20", "LogLevel Critical"]
    lines += [f'LogFile "{directory}/log"', *(f"ConnectPort {one}" for one in ports)]
    if user:
        lines.append(f"BasicAuth {user} {password}")
    (directory / "tinyproxy.conf").write_text("\n".join(lines) + "\n")
    process = subprocess.Popen([program, "-d", "-c", directory / "tinyproxy.conf"], stdout=subprocess.DEVNULL)
    try:
        eventually(lambda: _accepts(port))
        yield TinyProxy(port, directory, process)
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:  # it was frozen with connections open, which it waits for
            process.kill()
            process.wait(10)
        shutil.rmtree(directory, ignore_errors=True)


def _accepts(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def stop_answering(proxy: TinyProxy) -> None:
    """Freeze a proxy: the kernel still accepts for it, it does not answer."""
    os.kill(proxy.process.pid, signal.SIGSTOP)
