"""The configuration files of a server, as root: read, replaced as a whole, and put back as they were."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from msgspec import Struct

from samaops.clients.as_user import as_user
from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed, Shell, program
from samaops.i18n import _
from samaops.model.failure import FailureKind

STAGE = "configuration files"
_PROGRAM = Path(__file__).with_suffix(".sh")
# Where a server keeps what was replaced; of root alone.
KEPT = "/var/lib/samaops/replaced-files"
MOST_BYTES = 512 * 1024
SECONDS = 30.0


class ConfigFiles(Struct, frozen=True):
    """Those of the server of a shell. Sums are SHA-256 in hexadecimal, "" of a file that is not there."""

    shell: Shell

    def read(self, path: str) -> bytes | None:
        """Return what a file holds; None where there is none. Raises ClientError."""
        head, _line, packed = self._run("read", path, str(MOST_BYTES)).stdout.partition("\n")
        if head == "absent":
            return None
        try:
            return base64.b64decode(packed.strip(), validate=True)
        except binascii.Error as error:
            raise ClientError(FailureKind.GARBAGE, str(error), STAGE) from error

    def put(self, path: str, now: str, then: str, content: bytes) -> None:
        """Put a content in the place of a file that has the sum ``now``; what it had is kept. Raises ClientError."""
        self._run("put", path, now, then, stdin=content)

    def back(self, path: str, now: str, kept: str) -> None:
        """Put back what a file had, or remove it where there was none. Raises ClientError."""
        self._run("back", path, now, kept)

    def _run(self, what: str, path: str, *words: str, stdin: bytes = b"") -> Completed:
        if not path.startswith("/") or ".." in path.split("/") or "\n" in path:
            raise ClientError(FailureKind.GARBAGE, _("{path} is no path of a file").format(path=path), STAGE)
        command = as_user("root", program(_PROGRAM), what, KEPT, path, *words)
        done = self.shell.run(command, SECONDS, stdin)
        if done.exit_code:
            is_denied = "sudo" in done.stderr or "ermission denied" in done.stderr
            kind = FailureKind.PERMISSION if is_denied else FailureKind.ERROR
            raise ClientError(kind, done.reason(), STAGE)
        return done
