"""The internet as the Senelec proxy sees it: a CONNECT forwarder that knows where Google's names are.

There is no DNS for Google in the lab and the machine's /etc/hosts is not ours, so tinyproxy hands every
CONNECT for googleapis.com to this program as to an upstream proxy. ``names.json`` is read at every
connection: {"fcm.googleapis.com": ["127.101.0.10", 443]}; a name that is missing cannot be resolved.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
from pathlib import Path

from msgspec import Struct

REQUEST_TIMEOUT_SECONDS = 10
CONNECT_TIMEOUT_SECONDS = 5
LONGEST_REQUEST_BYTES = 16 * 1024
_CHUNK_BYTES = 64 * 1024
_END = b"\r\n\r\n"


class Destination(Struct, frozen=True):
    """Where a name leads."""

    host: str
    address: str
    port: int


def destination(request: bytes, names_file: Path) -> Destination | None:
    """Return where a CONNECT request leads, or None when its name is not known.

    Raises:
        ValueError: this is not a CONNECT request.
    """
    line = request.split(b"\r\n", 1)[0].decode("ascii", "replace")
    words = line.split()
    if len(words) != 3 or words[0] != "CONNECT":
        raise ValueError(f"not a CONNECT request: {line[:80]!r}")
    host = words[1].rpartition(":")[0].lower()
    known = json.loads(names_file.read_text(encoding="utf-8")).get(host)
    return Destination(host, str(known[0]), int(known[1])) if known else None


async def relay(
    client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    """Carry bytes both ways until either side ends."""
    both = [
        asyncio.create_task(_copy(client[0], server[1])),
        asyncio.create_task(_copy(server[0], client[1])),
    ]
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    for copying in both:
        copying.cancel()
    await asyncio.gather(*both, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(_CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()


class Forwarder:
    """Serves CONNECT with the names of one file."""

    def __init__(self, names_file: Path) -> None:
        self._names_file = names_file

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client to its end."""
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            try:
                request = await asyncio.wait_for(reader.readuntil(_END), REQUEST_TIMEOUT_SECONDS)
                upstream = destination(request, self._names_file)
            except (ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.TimeoutError):
                writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                return
            if upstream is None:
                writer.write(b"HTTP/1.1 502 Bad Gateway\r\nX-Reason: unknown host\r\n\r\n")
                return
            await self._tunnel(upstream, (reader, writer))

    async def _tunnel(
        self, upstream: Destination, client: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    ) -> None:
        opening = asyncio.open_connection(upstream.address, upstream.port)
        try:
            server = await asyncio.wait_for(opening, CONNECT_TIMEOUT_SECONDS)
        except (OSError, asyncio.TimeoutError):
            client[1].write(b"HTTP/1.1 504 Gateway Timeout\r\nX-Reason: host does not answer\r\n\r\n")
            return
        with contextlib.closing(server[1]):
            client[1].write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await relay(client, server)


async def _serve(names_file: Path, address: str, port: int) -> None:
    forwarder = Forwarder(names_file)
    server = await asyncio.start_server(forwarder.serve, address, port, limit=LONGEST_REQUEST_BYTES)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names_file", type=Path)
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.names_file, arguments.address, arguments.port))


if __name__ == "__main__":
    main()
