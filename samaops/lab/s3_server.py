"""A small S3 server that stands in for MinIO: moto behind MinIO's health path, and its signatures checked.

Run as a program: ``python -m samaops.lab.s3_server ADDRESS PORT``; the credentials are in MINIO_ROOT_USER and
MINIO_ROOT_PASSWORD, as MinIO takes them. Objects live in memory.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HEALTH_PATHS = ("/minio/health/live", "/minio/health/ready", "/minio/health/cluster")
ALGORITHM = "AWS4-HMAC-SHA256"
FORBIDDEN = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>%s</Code><Message>%s</Message>'
    b"<Resource>/</Resource><RequestId>lab</RequestId></Error>"
)


class Gate:
    """Answers the health paths, lets requests with a right AWS signature (version 4, in the header) through."""

    def __init__(self, application: WSGIApplication, access_key: str, secret_key: str) -> None:
        self._application = application
        self._access_key = access_key
        self._secret_key = secret_key

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        if environ["PATH_INFO"] in HEALTH_PATHS:
            start_response("200 OK", [("Content-Length", "0"), ("Server", "MinIO (samaops lab)")])
            return [b""]
        refusal = self._refusal(environ)
        if refusal is None:
            return self._application(environ, start_response)
        body = FORBIDDEN % refusal
        headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
        start_response("403 Forbidden", headers)
        return [body]

    def _refusal(self, environ: WSGIEnvironment) -> tuple[bytes, bytes] | None:
        authorization = parse_authorization(environ.get("HTTP_AUTHORIZATION", ""))
        if authorization is None:
            return b"AccessDenied", b"Access Denied."
        access_key, _slash, scope = authorization["Credential"].partition("/")
        if access_key != self._access_key:
            return b"InvalidAccessKeyId", b"The Access Key Id you provided does not exist in our records."
        expected = signature(environ, authorization["SignedHeaders"], scope, self._secret_key)
        if not hmac.compare_digest(expected, authorization["Signature"]):
            return b"SignatureDoesNotMatch", b"The request signature does not match."
        return None


def parse_authorization(header: str) -> dict[str, str] | None:
    """Return the parts of an AWS4 Authorization header; None when it is not one."""
    algorithm, _space, rest = header.partition(" ")
    parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    if algorithm != ALGORITHM or not {"Credential", "SignedHeaders", "Signature"} <= set(parts):
        return None
    return parts


def signature(environ: WSGIEnvironment, signed_headers: str, scope: str, secret_key: str) -> str:
    """Compute the AWS signature, version 4, that a request must carry."""
    request = canonical_request(environ, signed_headers)
    digest = hashlib.sha256(request.encode()).hexdigest()
    to_sign = "\n".join((ALGORITHM, environ.get("HTTP_X_AMZ_DATE", ""), scope, digest))
    key = f"AWS4{secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()


def canonical_request(environ: WSGIEnvironment, signed_headers: str) -> str:
    """Return the canonical form of a request, of which the signature is made."""
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ["PATH_INFO"]
    path = quote(unquote(raw.partition("?")[0]), safe="/-_.~")
    pairs = sorted(
        (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
        for name, value in parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    )
    query = "&".join(f"{name}={value}" for name, value in pairs)
    headers = "".join(f"{name}:{_header(environ, name)}\n" for name in signed_headers.split(";"))
    payload = environ.get("HTTP_X_AMZ_CONTENT_SHA256", "UNSIGNED-PAYLOAD")
    return "\n".join((environ["REQUEST_METHOD"], path, query, headers, signed_headers, payload))


def _header(environ: WSGIEnvironment, name: str) -> str:
    key = name.upper().replace("-", "_")
    value = environ.get(key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}", "")
    return " ".join(str(value).split())


def main() -> None:
    """Serve until killed."""
    from moto.moto_server import utilities, werkzeug_app
    from werkzeug.serving import run_simple

    class AnyName(utilities.RegexConverter):
        """The name of an object may hold a line break, as that of a file."""

        def __init__(self, url_map: Any, *items: Any) -> None:
            super().__init__(url_map, *items)
            self.regex = f"(?s:{self.regex})"

    vars(werkzeug_app)["RegexConverter"] = AnyName
    address, port = sys.argv[1], int(sys.argv[2])
    application: Any = werkzeug_app.DomainDispatcherApplication(werkzeug_app.create_backend_app)
    gate = Gate(application, os.environ["MINIO_ROOT_USER"], os.environ["MINIO_ROOT_PASSWORD"])
    run_simple(address, port, gate, threaded=True)


if __name__ == "__main__":
    main()
