"""A proxy that looks into TLS, as some companies' do: an incident starts it in the place of the proxy.

It ends the client's TLS with a certificate for the wanted host signed by the Senelec Proxy CA, and opens its
own TLS to the host. Whoever does not trust that CA sees CERTIFICATE_VERIFY_FAILED; whoever looks finds the
issuer's name.
"""

from __future__ import annotations

import argparse
import contextlib
import select
import socket
import socketserver
import ssl
import sys
import threading
from pathlib import Path

from samaops.lab.outside.certificates import Authority, authority, server_certificate
from samaops.lab.outside.names import Destination, destination
from samaops.lab.outside.places import INTERCEPTED

TIMEOUT_SECONDS = 10
IDLE_SECONDS = 60
LONGEST_REQUEST_BYTES = 16 * 1024
_CHUNK_BYTES = 16 * 1024


class InterceptingProxy(socketserver.ThreadingTCPServer):
    """The listening proxy, its authority and the certificates it made so far."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, directory: Path, address: str, port: int) -> None:
        super().__init__((address, port), InterceptingHandler)
        self.names_file = directory / "proxy" / "names.json"
        self._tls = directory / "tls"
        self._lock = threading.Lock()
        self._authority: Authority = proxy_authority(self._tls)

    def context_for(self, host: str) -> ssl.SSLContext:
        """Return what the proxy shows to a client that wants ``host``."""
        with self._lock:
            certificate = server_certificate(self._tls / INTERCEPTED, host, self._authority)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        return context

    def outward_context(self) -> ssl.SSLContext:
        """Return how the proxy itself verifies the real host."""
        return ssl.create_default_context(cafile=str(self._tls / "ca-bundle.pem"))


class InterceptingHandler(socketserver.BaseRequestHandler):
    """One client."""

    server: InterceptingProxy

    def handle(self) -> None:
        """Read the CONNECT, then stand between the two sides."""
        client: socket.socket = self.request
        client.settimeout(TIMEOUT_SECONDS)
        try:
            upstream = destination(_request(client), self.server.names_file)
            if upstream is None:
                client.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            else:
                self._intercept(client, upstream)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            print(f"{self.client_address[0]} ended: {error}", file=sys.stderr)  # noqa: T201

    def _intercept(self, client: socket.socket, upstream: Destination) -> None:
        outward = socket.create_connection((upstream.address, upstream.port), timeout=TIMEOUT_SECONDS)
        with self.server.outward_context().wrap_socket(outward, server_hostname=upstream.host) as server:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with self.server.context_for(upstream.host).wrap_socket(client, server_side=True) as inward:
                _carry(inward, server)


def proxy_authority(tls: Path) -> Authority:
    """Return the Senelec Proxy CA, making it the first time."""
    return authority(
        tls / "senelec-proxy-ca.pem", tls / "senelec-proxy-ca.key", "Senelec", "Senelec Proxy CA"
    )


def _request(client: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = client.recv(_CHUNK_BYTES)
        if not chunk or len(received) > LONGEST_REQUEST_BYTES:
            raise ValueError("the request has no end")
        received += chunk
    return received


def _carry(left: ssl.SSLSocket, right: ssl.SSLSocket) -> None:
    """Carry decrypted bytes both ways until either side ends or both are silent."""
    other = {left: right, right: left}
    while ready := [side for side in other if side.pending()] or _readable(left, right):
        for side in ready:
            side.settimeout(0)
            with contextlib.suppress(ssl.SSLWantReadError):  # a session ticket is readable and holds no data
                chunk = side.recv(_CHUNK_BYTES)
                if not chunk:
                    return
                other[side].settimeout(TIMEOUT_SECONDS)
                other[side].sendall(chunk)


def _readable(left: ssl.SSLSocket, right: ssl.SSLSocket) -> list[ssl.SSLSocket]:
    readable, _writable, _exceptional = select.select([left, right], [], [], IDLE_SECONDS)
    return list(readable)


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    arguments = parser.parse_args()
    with InterceptingProxy(arguments.directory, arguments.address, arguments.port) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
