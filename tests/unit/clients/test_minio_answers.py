"""What MinIO answers is bounded as what all others answer, and is read as nothing but what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from samaops.clients.errors import ClientError
from samaops.clients.http import MAX_BYTES
from samaops.clients.minio import S3Connection, list_buckets
from samaops.model.failure import FailureKind
from tests.service import faulty

BUCKETS = (
    b"<ListAllMyBucketsResult><Buckets><Bucket><Name>%b</Name></Bucket></Buckets></ListAllMyBucketsResult>"
)
ENTITIES = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>' + BUCKETS % b"&b;"


@contextmanager
def answering(body: bytes, status: str = "200 OK") -> Iterator[str]:
    with faulty.answering(faulty.http_response(body, status)) as (host, port):
        yield f"http://{host}:{port}"


def buckets(url: str) -> object:
    return list_buckets(url, "user", "secret", 5.0)


def pass_through(url: str) -> object:
    with S3Connection(url, "user", "secret", 5.0) as connection:
        return connection.request("GET", "/avatars/marked")


def test_names_are_read() -> None:
    with answering(BUCKETS % b"avatars") as url:
        assert buckets(url) == ("avatars",)
    with answering(BUCKETS % (b"a" * 100_000)) as url:
        assert buckets(url) == ("a" * 255,)


@pytest.mark.parametrize("ask", [buckets, pass_through])
def test_an_answer_that_is_too_large_is_told_as_that(ask: Callable[[str], object]) -> None:
    with answering(b"<a>" + b"x" * MAX_BYTES) as url, pytest.raises(ClientError) as caught:
        ask(url)
    assert caught.value.message == f"the answer is larger than {MAX_BYTES} bytes"


def test_long_words_of_a_refusal_are_cut() -> None:
    body = b"<Error><Code>AccessDenied</Code><Message>%b</Message></Error>" % (b"no " * 100_000)
    with answering(body, "403 Forbidden") as url, pytest.raises(ClientError) as caught:
        buckets(url)
    assert caught.value.kind is FailureKind.PERMISSION
    assert len(caught.value.message) == 300


@pytest.mark.parametrize(
    "body",
    [
        ENTITIES,
        ENTITIES.decode().encode("utf-16"),
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd">' + BUCKETS % b"a",
        b'<?xml version="1.0" encoding="no-such"?><a/>',
        b'<?xml version="1.0" encoding="utf-7"?><a/>',
        b"<a>" * 100_000,
        b"",
    ],
)
def test_what_is_not_s3s_is_not_read(body: bytes) -> None:
    with answering(body) as url, pytest.raises(ClientError) as caught:
        buckets(url)
    assert (caught.value.kind, caught.value.message) == (FailureKind.GARBAGE, "the answer is not S3's")
