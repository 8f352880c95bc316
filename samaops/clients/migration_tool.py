"""The application's own migration tool, asked for the SQL of a way down or up: it writes it, and reaches no database."""

from __future__ import annotations

import shlex
from pathlib import Path

from msgspec import Struct

from samaops.clients.errors import ClientError
from samaops.clients.shell import Shell, program
from samaops.i18n import _
from samaops.model.failure import FailureKind

STAGE = "alembic"
_PROGRAM = Path(__file__).with_suffix(".sh")
SECONDS = 60.0
# For the engine to make the container, and to remove it.
_SLACK_SECONDS = 20.0


class MigrationTool(Struct, frozen=True):
    """On the server of a shell, the tool in an image, with the environment of the container that runs the application."""

    shell: Shell
    container: str
    image: str
    command: str

    def written(self, direction: str, came_from: str, to: str) -> str:
        """Return the SQL that leads from one revision to another, ``direction`` "downgrade" or "upgrade".

        Raises ClientError: also for a migration that must read the database before it knows what to do.
        """
        words = (self.container, self.image, str(round(SECONDS)), self.command)
        asked = (direction, f"{came_from}:{to}", "--sql")
        command = shlex.join(["sh", "-c", program(_PROGRAM), "sh", *words, *asked])
        done = self.shell.run(command, SECONDS + _SLACK_SECONDS)
        if done.exit_code:
            text = _("{tool} writes no SQL of the {direction}: {reason}")
            words_of = {
                "tool": self.command,
                "direction": direction,
                "reason": done.reason("docker: ", "failed:"),
            }
            raise ClientError(FailureKind.ERROR, text.format(**words_of), STAGE)
        return done.stdout
