#!/usr/bin/env python3
"""What it takes to list and compare 100,000 objects that are all copied already, against `rclone check` in the same run.

    PYTHONPATH=. .venv/bin/python benchmarks/objects.py [--objects 100000] [--runs 3]

The storage answers listings from memory, in another process, as fast as this machine can: half of the objects in one flat bucket,
half in 1,000 folders. samaops lists, compares with the last list and with the files of its copy, and keeps a new list; rclone compares
the same files with the same storage, once by sizes and sums as it does by itself, once by sizes alone. In turn, the best of each.
"""

from __future__ import annotations

import argparse
import bisect
import getpass
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit
from xml.sax.saxutils import escape

import msgspec

from samaops.changes.run.objects import copying as object_copy
from samaops.config.settings import Settings
from samaops.facts.objects import WHOLE, BucketRun, Kept, ObjectRun
from samaops.site.site import Site

FOLDERS = 1_000
FIRST = "20260101T000000Z-0001"


def keys_of(count: int) -> dict[str, list[str]]:
    """Return the names in each bucket, in order."""
    half = count // 2
    return {
        "flat": sorted(f"facture-{number:08}.pdf" for number in range(half)),
        "nested": sorted(
            f"{number % 10}/{number % FOLDERS:03}/releve {number}.pdf" for number in range(half)
        ),
    }


def content_of(key: str) -> bytes:
    return key.encode() * 4


class Storage(BaseHTTPRequestHandler):
    """Lists buckets and objects as S3 does, and takes every signature."""

    protocol_version = "HTTP/1.1"
    buckets: dict[str, list[str]]
    rows: dict[str, list[str]]

    def log_message(self, *_words: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        """Answer that it is there."""
        self.answer(b"")

    def do_GET(self) -> None:
        """Answer a listing."""
        parts = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        bucket = parts.path.strip("/")
        if not bucket:
            names = "".join(f"<Bucket><Name>{name}</Name></Bucket>" for name in self.buckets)
            self.answer(
                f"<ListAllMyBucketsResult><Buckets>{names}</Buckets></ListAllMyBucketsResult>".encode()
            )
            return
        self.answer(self.page(bucket, asked).encode())

    def page(self, bucket: str, asked: dict[str, str]) -> str:
        keys, rows = self.buckets[bucket], self.rows[bucket]
        prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter", "")
        most, after = (
            int(asked.get("max-keys", 1000)),
            asked.get("continuation-token") or asked.get("start-after", ""),
        )
        place = max(bisect.bisect_left(keys, prefix), bisect.bisect_right(keys, after) if after else 0)
        found, folders, last = [], [], ""
        while place < len(keys) and keys[place].startswith(prefix) and len(found) + len(folders) < most:
            key = keys[place]
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            if cut < 0:
                found.append(rows[place])
                place, last = place + 1, key
            else:
                folder = key[: cut + 1]
                folders.append(f"<CommonPrefixes><Prefix>{quote(folder)}</Prefix></CommonPrefixes>")
                last = folder + "\U0010ffff"
                place = bisect.bisect_right(keys, last)
        is_cut = place < len(keys) and keys[place].startswith(prefix)
        token = f"<NextContinuationToken>{escape(last)}</NextContinuationToken>" if is_cut else ""
        return (
            f"<ListBucketResult><Name>{bucket}</Name><EncodingType>url</EncodingType>"
            f"<IsTruncated>{str(is_cut).lower()}</IsTruncated>{token}{''.join(found)}{''.join(folders)}</ListBucketResult>"
        )

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def serve(count: int) -> None:
    """Serve until killed; the port is written first."""
    Storage.buckets = keys_of(count)
    Storage.rows = {bucket: [row_of(key) for key in keys] for bucket, keys in Storage.buckets.items()}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Storage)
    print(server.server_address[1], flush=True)
    server.serve_forever()


def row_of(key: str) -> str:
    content = content_of(key)
    return (
        f"<Contents><Key>{quote(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>&quot;{hashlib.md5(content, usedforsecurity=False).hexdigest()}&quot;</ETag>"
        f"<Size>{len(content)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


@contextmanager
def storage(count: int) -> Iterator[str]:
    command = [sys.executable, __file__, "--serve", "--objects", str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def make_copy(directory: Path, count: int) -> None:
    """Lay down what an earlier run has copied: the files, their list, its row."""
    buckets = {}
    (directory / "objects").mkdir(parents=True)
    (directory / "runs").mkdir()
    with gzip.open(directory / f"objects/{FIRST}.jsonl.gz", "wb", 1) as lines:
        for bucket, keys in keys_of(count).items():
            for key in keys:
                content = content_of(key)
                file = directory / "current" / bucket / key
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
                md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
                kept = Kept(bucket, key, len(content), md5, md5, hashlib.sha256(content).hexdigest())
                lines.write(msgspec.json.encode(kept) + b"\n")
            buckets[bucket] = BucketRun(len(keys), 0)
    row = ObjectRun(FIRST, "objects", WHOLE, "2026-01-01T00:00:00+00:00", buckets=buckets)
    (directory / f"runs/{FIRST}.json").write_bytes(msgspec.json.encode(row))


def compare(url: str, directory: Path, number: int) -> None:
    """Do what samaops does with them, in this process."""
    settings = Settings.model_validate(
        {
            "site": "objects",
            "servers": {"db": {"address": "127.0.0.1", "ssh": "local"}},
            "minio": {"url": url, "access_key": "key", "secret_key": "secret", "buckets": []},
            "backup": {"os_user": getpass.getuser(), "objects": {"directory": str(directory)}},
        }
    )
    run = object_copy.take(Site(settings), f"20260102T00000{number}Z-0001", lambda _words: None)
    assert run.state == WHOLE, run.reason
    assert (run.sent, run.left_out) == (0, ())
    print(run.objects)


def measured(command: list[str], environment: dict[str, str], count: int, marker: str) -> tuple[float, float]:
    """Return the seconds of a command and the most megabytes that it, or what it started, held."""
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        env={**_without_bundle(), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = process.stdout.read()
    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, said[-500:]
    assert marker.format(count=count) in said, said[-500:]
    return time.monotonic() - began, usage.ru_maxrss / 1024


def _without_bundle() -> dict[str, str]:
    """Return our environment without what Debian's rclone breaks with."""
    return {name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--compare", nargs=3, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.serve:
        serve(wanted.objects)
    elif wanted.compare:
        compare(wanted.compare[0], Path(wanted.compare[1]), int(wanted.compare[2]))
    else:
        run(wanted.objects, wanted.runs)


def run(count: int, runs: int) -> None:
    place = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    try:
        make_copy(place, count)
        with storage(count) as url:
            rclone = {
                "RCLONE_CONFIG": "/dev/null",
                "RCLONE_CONFIG_S_TYPE": "s3",
                "RCLONE_CONFIG_S_PROVIDER": "Minio",
                "RCLONE_CONFIG_S_ENDPOINT": url,
                "RCLONE_CONFIG_S_ACCESS_KEY_ID": "key",
                "RCLONE_CONFIG_S_SECRET_ACCESS_KEY": "secret",
            }
            check = ["rclone", "check", "s:", str(place / "current"), "--checkers", "16", "-v"]
            best: dict[str, tuple[float, float]] = {}
            for number in range(runs):
                ours = [sys.executable, __file__, "--compare", url, str(place), str(number)]
                for name, command, environment, marker in (
                    ("samaops", ours, {}, "{count}"),
                    ("rclone check", check, rclone, "{count} matching files"),
                    ("rclone check --size-only", [*check, "--size-only"], rclone, "{count} matching files"),
                ):
                    seen = measured(command, environment, count, marker)
                    best[name] = min(best.get(name, seen), seen)
            for name, (seconds, megabytes) in best.items():
                ratio = best["samaops"][0] / seconds
                print(f"{name:26} {seconds:7.2f} s  {megabytes:6.0f} MB  samaops takes {ratio:.2f} of it")
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
