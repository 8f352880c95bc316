"""Unfinished uploads at the lab's real S3 server: listed with their parts, aborted, and listed no more."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from msgspec.structs import replace

from samaops.changes import verbs
from samaops.changes.run import operations
from samaops.clients import s3_uploads
from samaops.clients.errors import ClientError
from samaops.clients.minio import S3Connection, xml_of
from samaops.config.settings import Settings
from samaops.facts.minio import UploadsFacts
from samaops.facts.observation import Snapshot
from samaops.facts.selection import Selection
from samaops.model.failure import FailureKind
from samaops.site.site import Site
from samaops.workflows import diagnose
from tests.service import s3_server
from tests.service.s3_server import ACCESS, SECRET, S3Server

pytestmark = pytest.mark.service
KEY = "2026/été à Dakar.mp4"


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server.running() as started:
        started.put("uploads", {"whole.txt": b"whole"})
        started.put("avatars", {"face.png": b"png"})
        yield started


def begin(connection: S3Connection, bucket: str, key: str, *contents: bytes) -> str:
    target = f"/{bucket}/{quote(key, safe='/-_.~')}"
    answer = xml_of(connection.request("POST", f"{target}?uploads="), "begin")
    upload = answer.findtext("{*}UploadId") or ""
    for number, content in enumerate(contents, start=1):
        connection.request("PUT", f"{target}?partNumber={number}&uploadId={quote(upload, safe='')}", content)
    return upload


def site_of(server: S3Server) -> Site:
    minio = {"url": server.url, "access_key": ACCESS, "secret_key": SECRET, "server": "db"}
    return Site(Settings.model_validate({"servers": {"db": {"address": "127.0.0.1"}}, "minio": minio}))


def look(site: Site, *codes: str) -> Snapshot:
    return diagnose.observe(site, Selection(only=codes))


def uploads_in(snapshot: Snapshot) -> UploadsFacts:
    (facts,) = (facts for _observation, facts in snapshot.facts_of(UploadsFacts))
    return facts


def test_they_are_planned_with_their_parts_aborted_and_seen_to_be_gone(server: S3Server) -> None:
    site, verb = site_of(server), verbs.find("disk abort-uploads")
    with server.connect() as connection:
        upload = begin(connection, "uploads", KEY, b"x" * 5_242_880, b"y" * 1000)
        other = begin(connection, "avatars", "face.png", b"z" * 10)
    seen = look(site, *verb.codes(site, ("", "1")))
    found = {each.id: each for each in uploads_in(seen).uploads}
    assert (found[upload].key, found[upload].parts, found[upload].bytes) == (KEY, 2, 5_243_880)
    # The parts came just now, whenever the upload was begun: somebody may be at it.
    assert verb.plan(seen, site, ("", "1")).steps == ()
    tomorrow = replace(uploads_in(seen), epoch=uploads_in(seen).epoch + 90_000)
    aged = replace(seen, observations=tuple(replace(each, facts=tomorrow) for each in seen.observations))
    plan = verb.plan(aged, site, ("uploads", "24"))
    (step,) = plan.steps
    wanted = {"bucket": "uploads", "key": KEY, "id": upload, "bytes": 5_243_880}
    assert step.operation.arguments == wanted
    outcome = operations.run(step.operation, site)
    assert (outcome.is_ok, outcome.measured) == (True, {"bytes": 5_243_880})
    codes = verbs.find("disk abort-uploads").codes(site, ("", "1"))
    assert [each.id for each in uploads_in(look(site, *codes)).uploads] == [other]
    again = operations.run(step.operation, site)
    assert (again.is_ok, again.measured) == (True, {"bytes": 0})
    assert server.all("uploads") == {"whole.txt": b"whole"}
    with server.connect() as connection:
        assert s3_uploads.abort(connection, "avatars", "face.png", other)


def test_one_object_is_listed_by_its_name_alone(server: S3Server) -> None:
    with server.connect() as connection:
        ids = [begin(connection, "uploads", key, b"1") for key in ("a.bin", "a.bin.old", "b.bin")]
        listed, is_all = s3_uploads.uploads(connection, "uploads", "a.bin")
        assert ([each.id for each in listed], is_all) == (ids[:1], True)
        pages, _is_all = s3_uploads.uploads(connection, "uploads")
        assert {each.id for each in pages} >= set(ids)
        for key, upload in zip(("a.bin", "a.bin.old", "b.bin"), ids, strict=True):
            s3_uploads.abort(connection, "uploads", key, upload)


def test_a_wrong_key_and_a_bucket_that_is_not_there_are_told_apart(server: S3Server) -> None:
    wrong = S3Connection(server.url, ACCESS, "wrong", 10.0)
    with wrong as connection, pytest.raises(ClientError) as refused:
        s3_uploads.uploads(connection, "uploads")
    assert refused.value.kind is FailureKind.AUTHENTICATION
    with server.connect() as connection, pytest.raises(ClientError) as missing:
        s3_uploads.uploads(connection, "nowhere")
    assert missing.value.kind is FailureKind.MISSING
