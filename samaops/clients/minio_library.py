"""The MinIO SDK, imported without its administration half, which we never use.

That half wants argon2, pycryptodome and a C parser for the keys of ``mc admin``: they cost more time than the look itself.
"""

from __future__ import annotations

import sys
from types import ModuleType

_UNUSED = "minio.minioadmin"

if "minio" not in sys.modules:
    _placeholder = ModuleType(_UNUSED)
    _placeholder.MinioAdmin = None  # type: ignore[attr-defined]  # the package's own import of it
    sys.modules[_UNUSED] = _placeholder
    try:
        import minio  # noqa: F401
    finally:
        del sys.modules[_UNUSED]

from minio import Minio  # noqa: E402 - after it was imported in our way
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError  # noqa: E402

__all__ = ["InvalidResponseError", "Minio", "MinioException", "S3Error", "ServerError"]
