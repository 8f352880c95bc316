"""A catalogue of backups into which others have put files: what is no row is named, and the rest is read."""

from __future__ import annotations

import base64
import gzip
import io
import tarfile
from collections.abc import Mapping

import pytest

from samaops.clients.backup_store import Store
from samaops.clients.errors import ClientError
from samaops.config.backup_settings import Backup

ID = "20260131T020000Z-a1b2"


def archive_of(files: Mapping[str, bytes]) -> str:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("link.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/shadow"
        archive.addfile(link)
    return base64.b64encode(gzip.compress(stream.getvalue())).decode()


def catalogue(lines: list[str], files: Mapping[str, bytes]) -> dict[str, str]:
    store = Store(None, Backup(), "dakar")  # type: ignore[arg-type]
    read = store._catalogue([*lines, "samaops-store: archive", archive_of(files)])
    assert not read.rows
    return dict(read.unreadable)


@pytest.mark.parametrize(
    "line",
    [
        "half of a name.json",
        "f\t12",
        "f\tx\ty.json",
        f"f\t{'9' * 5000}\ty.json",
        "f\t-1\ty.json",
        "",
        "\x1b[31m\u202e",
    ],
)
def test_a_name_with_the_end_of_a_line_in_it_is_no_row(line: str) -> None:
    named = catalogue([line, "f\t2\tother.json"], {"other.json": b"{}"})

    assert line[:200] in named
    assert "other.json" in named, "the rest is read"


@pytest.mark.parametrize(
    "content",
    [b'{"x":' + b"[" * 15_000, b"\xff\xfe", b"null", b'{"id": 1}', b"{" * 100],
    ids=("deep", "bytes", "null", "kind", "open"),
)
def test_what_is_no_row_costs_itself(content: bytes) -> None:
    assert f"{ID}.json" in catalogue([f"f\t{len(content)}\t{ID}.json"], {f"{ID}.json": content})


def test_a_link_is_not_followed() -> None:
    assert catalogue(["f\t12\tlink.json"], {}) == {"link.json": "it could not be read"}


def test_an_archive_that_is_none_is_said() -> None:
    store = Store(None, Backup(), "dakar")  # type: ignore[arg-type]
    with pytest.raises(ClientError):
        store._catalogue(["f\t1\tx.json", "samaops-store: archive", "!!!"])


def test_a_manifest_that_is_nested_without_end_is_garbage() -> None:
    store = Store(None, Backup(), "dakar")  # type: ignore[arg-type]
    with pytest.raises(ClientError):
        store.decoded_manifest(ID, b'{"x":' + b"[" * 200_000)
