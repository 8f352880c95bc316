"""What S3 says of unfinished uploads, page after page, and what is no answer to it."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

import pytest

from samaops.clients import s3_uploads
from samaops.clients.errors import ClientError
from samaops.clients.minio import S3Connection
from samaops.facts.minio import Upload
from samaops.model.failure import FailureKind

FIRST = Upload("uploads", "a b.bin", "id-1", 0.0, 0.0)
BEGUN = 1_769_904_000.0  # 2026-02-01


def listed(
    *uploads: tuple[str, str],
    following: tuple[str, str] | None = None,
    begun: str = "2026-02-01T00:00:00.000Z",
) -> str:
    rows = "".join(
        f"<Upload><Key>{key}</Key><UploadId>{id_}</UploadId><Initiated>{begun}</Initiated></Upload>"
        for key, id_ in uploads
    )
    more = (
        ""
        if following is None
        else f"<NextKeyMarker>{following[0]}</NextKeyMarker><NextUploadIdMarker>{following[1]}</NextUploadIdMarker>"
    )
    flag = "false" if following is None else "true"
    return (
        '<ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><EncodingType>url</EncodingType>'
        f"<IsTruncated>{flag}</IsTruncated>{more}{rows}</ListMultipartUploadsResult>"
    )


def counted(*sizes: int, following: str = "") -> str:
    rows = "".join(
        f"<Part><Size>{size}</Size><LastModified>2026-02-02T00:00:00.000Z</LastModified></Part>"
        for size in sizes
    )
    more = (
        f"<IsTruncated>true</IsTruncated><NextPartNumberMarker>{following}</NextPartNumberMarker>"
        if following
        else ""
    )
    return f"<ListPartsResult><UploadId>id-1</UploadId>{more}{rows}</ListPartsResult>"


@contextmanager
def answering(*bodies: str) -> Iterator[tuple[S3Connection, list[dict[str, list[str]]]]]:
    """Answer one request after the other with these; the parameters of each are kept."""
    asked: list[dict[str, list[str]]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(parse_qs(urlsplit(self.path).query, keep_blank_values=True))
            body = bodies[min(len(asked), len(bodies)) - 1].encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        with S3Connection(f"http://127.0.0.1:{server.server_port}", "user", "secret", 5.0) as connection:
            yield connection, asked
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()


def test_a_listing_goes_on_after_the_last_of_a_page() -> None:
    pages = (listed(("a%20b.bin", "id-1"), following=("a%20b.bin", "id-1")), listed(("c", "id-2")))
    with answering(*pages) as (connection, asked):
        found, is_all = s3_uploads.uploads(connection, "uploads")
    assert [(each.key, each.id, each.begun) for each in found] == [
        ("a b.bin", "id-1", BEGUN),
        ("c", "id-2", BEGUN),
    ]
    assert is_all
    assert "key-marker" not in asked[0]
    assert (asked[1]["key-marker"], asked[1]["upload-id-marker"]) == (["a b.bin"], ["id-1"])


def test_a_listing_that_does_not_go_on_is_no_answer() -> None:
    with (
        answering(listed(("a", "1"), following=("a", "1"))) as (connection, asked),
        pytest.raises(ClientError),
    ):
        s3_uploads.uploads(connection, "uploads")
    assert len(asked) == 2


def test_no_more_is_read_than_was_asked_for() -> None:
    with answering(listed(("a", "1"), ("a", "2"), following=("a", "2"))) as (connection, asked):
        found, is_all = s3_uploads.uploads(connection, "uploads", most=2)
    assert (len(found), is_all, len(asked)) == (2, False, 1)


def test_of_one_object_only_its_own_are_taken() -> None:
    with answering(listed(("a", "1"), ("a.old", "2"))) as (connection, asked):
        found, _is_all = s3_uploads.uploads(connection, "uploads", "a")
    assert [each.id for each in found] == ["1"]
    assert asked[0]["prefix"] == ["a"]


def test_parts_are_counted_over_all_pages_and_the_newest_says_when_somebody_was_at_it() -> None:
    with answering(counted(5, 6, following="2"), counted(7)) as (connection, asked):
        found = s3_uploads.parts(connection, FIRST)
    assert (found.parts, found.bytes, found.latest) == (3, 18, BEGUN + 86_400)
    assert asked[1]["part-number-marker"] == ["2"]


@pytest.mark.parametrize(
    "body",
    ["<html/>", listed(("", "1")), listed(("a", "")), listed(("a", "1"), begun="yesterday"), listed(("a", "1"), begun="")],
    ids=["not S3", "no key", "no id", "no date", "no time"],
)  # fmt: skip
def test_what_is_not_whole_is_no_answer(body: str) -> None:
    with answering(body) as (connection, _asked), pytest.raises(ClientError) as caught:
        s3_uploads.uploads(connection, "uploads")
    assert caught.value.kind is FailureKind.GARBAGE


@pytest.mark.parametrize(
    "body", ["<html/>", counted().replace("id-1", "id-2"), counted(1).replace("<Size>1</Size>", "")]
)
def test_what_does_not_count_parts_is_no_upload_without_parts(body: str) -> None:
    with answering(body) as (connection, _asked), pytest.raises(ClientError) as caught:
        s3_uploads.parts(connection, FIRST)
    assert caught.value.kind is FailureKind.GARBAGE
