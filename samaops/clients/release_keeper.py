"""What keeps releases on a server, and makes containers of them, through one small program there."""

from __future__ import annotations

import base64
import binascii
import shlex
from pathlib import Path

from msgspec import Struct

from samaops.clients.errors import ClientError
from samaops.clients.shell import Completed, Shell, program
from samaops.facts.release import holder_name, keep_tag, short
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.quantities import size

STAGE = "release"
_PROGRAM = Path(__file__).with_suffix(".sh")
NONE = "none"
_MARK = "samaops-release: "


class Kept(Struct, frozen=True):
    """One release on one server: how its image is named there, and where its record and its file are."""

    image: str
    repository: str
    directory: str

    @property
    def tag(self) -> str:
        return keep_tag(self.repository, self.image)

    @property
    def holder(self) -> str:
        return holder_name(self.image)

    @property
    def name(self) -> str:
        """The name of its files, without their ending."""
        return short(self.image)

    @property
    def file(self) -> str:
        """The image as a file."""
        return f"{self.directory}/{self.name}.tar"


class Composed(Struct, frozen=True):
    """How compose made a container: its project, from where, from which files, as which service."""

    project: str
    directory: str
    files: tuple[str, ...]
    service: str


class ReleaseKeeper(Struct, frozen=True):
    """Who does it on one server."""

    shell: Shell

    def hold(self, kept: Kept, migrations: str, most_bytes: int, timeout: float) -> bytes | None:
        """Name an image and hold it; return the directory of its migrations as a tar archive, None where it has none.

        Raises ClientError.
        """
        words = (kept.image, kept.tag, kept.holder, kept.file, migrations, str(most_bytes + 1))
        done = self._run("hold", words, timeout)
        if done.stdout.strip() == NONE:
            return None
        try:
            archive = base64.b64decode("".join(done.stdout.split()), validate=True)
        except binascii.Error as error:
            raise ClientError(FailureKind.GARBAGE, str(error), STAGE) from error
        if len(archive) > most_bytes:
            raise ClientError(FailureKind.GARBAGE, f"{migrations}: > {most_bytes} bytes", STAGE)
        return archive

    def write(self, kept: Kept, record: bytes, timeout: float, *, runs: bool) -> None:
        """Write the record of a release and its image as a file, where these are missing. Raises ClientError.

        With ``runs`` it is noted that the release runs now.
        """
        words = (kept.directory, kept.name, kept.tag, "yes" if runs else "no")
        self._run("write", words, timeout, record)

    def seen(self, kept: tuple[Kept, ...], timeout: float) -> None:
        """Note that releases run now: their records are touched. Raises ClientError."""
        self._run("seen", tuple(f"{each.directory}/{each.name}.json" for each in kept), timeout)

    def drop(self, kept: Kept, timeout: float) -> None:
        """Keep a release no longer: its name, what holds it, its record and its file go. Raises ClientError."""
        self._run("drop", (kept.tag, kept.holder, f"{kept.directory}/{kept.name}"), timeout)

    def recreate(self, kept: Kept, composed: Composed, stop_seconds: int, timeout: float) -> None:
        """Replace the container of a service by one of a release; an image that is gone comes from its file.

        What was begun is brought to its end on the server, also when we are gone. Raises ClientError.
        """
        words = (kept.image, kept.tag, kept.file, composed.project, composed.directory, composed.service)
        self._run("recreate", (*words, str(stop_seconds), *composed.files), timeout)

    def _run(self, what: str, words: tuple[str, ...], timeout: float, stdin: bytes = b"") -> Completed:
        command = shlex.join(["sh", "-c", program(_PROGRAM), "sh", what, *words])
        done = self.shell.run(command, timeout, stdin)
        if done.exit_code:
            raise ClientError(FailureKind.ERROR, _reason(done), STAGE)
        return done


def _reason(done: Completed) -> str:
    """Return why the program failed, in the language in use where it is its own reason."""
    marked = [line for line in done.stderr.splitlines() if line.startswith(_MARK)]
    name, *words = marked[-1].removeprefix(_MARK).split(" ", 3) if marked else ("",)
    if name == "busy":
        return _("another docker compose still replaces a container")
    if name == "gone" and len(words) > 1:
        text = _("the image {image} is gone, and there is no {file}")
        return text.format(image=short(words[0]), file=" ".join(words[1:]))
    if name == "other" and len(words) > 1:
        text = _("{file} holds another image than {image}")
        return text.format(image=short(words[0]), file=" ".join(words[1:]))
    if name == "room" and len(words) > 2 and words[0].isdigit() and words[1].isdigit():
        text = _("{directory}: {free} are free, and the image has {size}")
        return text.format(directory=words[2], free=size(int(words[0])), size=size(int(words[1])))
    if name == "save" and words:
        return _("docker has not written the image {image} to its end").format(image=" ".join(words))
    return done.reason()
