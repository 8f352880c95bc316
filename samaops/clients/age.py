"""Open what was encrypted with age, by the program of this machine: the key goes to no server and into no file."""

from __future__ import annotations

import tempfile
from pathlib import Path

from samaops.clients.errors import ClientError
from samaops.config import programs
from samaops.i18n import _
from samaops.model.failure import FailureKind

STAGE = "age"
SECONDS = 30.0
_MOST_REASON = 200


def decrypted(content: bytes, identity: str, most_bytes: int) -> bytes:
    """Return the clear text; ``identity`` is the content of a key file. Raises ClientError."""
    with tempfile.TemporaryDirectory(prefix="samaops-") as directory:
        file = Path(directory) / "encrypted"
        file.write_bytes(content)
        try:
            command = ["age", "--decrypt", "-i", "-", str(file)]
            ended = programs.run(command, SECONDS, most_bytes, stdin=f"{identity}\n".encode())
        except TimeoutError as error:
            text = _("the command did not end within {seconds:.1f} s").format(seconds=SECONDS)
            raise ClientError(FailureKind.NO_ANSWER, text, STAGE) from error
        except programs.TooMuchOutputError as error:
            text = _("more than {bytes} bytes of output").format(bytes=most_bytes)
            raise ClientError(FailureKind.ERROR, text, STAGE) from error
        except OSError as error:
            raise ClientError(
                FailureKind.MISSING, _("age is not installed on this machine"), STAGE
            ) from error
    if ended.exit_code:
        lines = ended.stderr.decode("utf-8", "replace").strip().splitlines() or [""]
        reason = lines[0].removeprefix("age: ").removeprefix("error: ")
        kind = FailureKind.AUTHENTICATION if "no identity matched" in reason else FailureKind.ERROR
        raise ClientError(kind, reason[:_MOST_REASON], STAGE)
    return ended.stdout
