"""The gate before the S3 stand-in: a request passes with the right signature only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from samaops.lab import s3_server

# The example of AWS, "Signature Calculations for the Authorization Header", GET Object.
ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
SCOPE = "20130524/us-east-1/s3/aws4_request"
SIGNED = "host;range;x-amz-content-sha256;x-amz-date"
SIGNATURE = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def request(**changes: str) -> dict[str, Any]:
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{SCOPE},SignedHeaders={SIGNED},Signature={SIGNATURE}"
    )
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/test.txt",
        "QUERY_STRING": "",
        "HTTP_HOST": "examplebucket.s3.amazonaws.com",
        "HTTP_RANGE": "bytes=0-9",
        "HTTP_X_AMZ_DATE": "20130524T000000Z",
        "HTTP_X_AMZ_CONTENT_SHA256": EMPTY,
        "HTTP_AUTHORIZATION": authorization,
    }
    return {**environ, **changes}


def answer(
    environ: dict[str, Any], access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY
) -> tuple[str, bytes]:
    statuses: list[str] = []

    def application(_environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        start("200 OK", [])
        return [b"object"]

    gate = s3_server.Gate(application, access_key, secret_key)
    body = b"".join(gate(environ, lambda status, _headers: statuses.append(status)))  # type: ignore[arg-type]
    return statuses[0], body


def test_the_signature_is_that_of_the_documentation() -> None:
    assert s3_server.signature(request(), SIGNED, SCOPE, SECRET_KEY) == SIGNATURE
    assert answer(request()) == ("200 OK", b"object")


@pytest.mark.parametrize(
    ("environ", "access_key", "secret_key", "code"),
    [
        (request(), ACCESS_KEY, "another", b"SignatureDoesNotMatch"),
        (request(), "another", SECRET_KEY, b"InvalidAccessKeyId"),
        (request(PATH_INFO="/secret.txt"), ACCESS_KEY, SECRET_KEY, b"SignatureDoesNotMatch"),
        (request(HTTP_AUTHORIZATION=""), ACCESS_KEY, SECRET_KEY, b"AccessDenied"),
        (request(HTTP_AUTHORIZATION="Basic eDp5"), ACCESS_KEY, SECRET_KEY, b"AccessDenied"),
    ],
)
def test_a_wrong_key_signature_or_no_signature_is_refused(
    environ: dict[str, Any], access_key: str, secret_key: str, code: bytes
) -> None:
    status, body = answer(environ, access_key, secret_key)
    assert status == "403 Forbidden"
    assert b"<Code>" + code + b"</Code>" in body


def test_the_health_path_needs_no_signature() -> None:
    assert answer(request(PATH_INFO="/minio/health/live", HTTP_AUTHORIZATION=""))[0] == "200 OK"
