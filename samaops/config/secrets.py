"""Secrets by reference: environment variable, file, command, or a literal in a private file."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, SecretStr, model_validator
from pydantic_core import CoreSchema

from samaops.config import files, masking, programs
from samaops.config.fields import UserPath
from samaops.errors import ConfigurationError, reason_of
from samaops.i18n import _

COMMAND_TIMEOUT_SECONDS = 5.0
# Of a file, and of what a command writes: a password, a token, a key.
LARGEST_BYTES = 64 * 1024


class Wait(Struct, frozen=True):
    """What a thread waited for: the commands that give its secrets, in seconds, and the last of them."""

    seconds: float
    command: str
    since: float | None = None


# By the thread's number, which is used again once a thread has ended.
_waits: dict[int, Wait] = {}


def forget_waits() -> None:
    """Begin to count what this thread waits for."""
    _waits.pop(threading.get_ident(), None)


def wait_of(thread: int | None) -> Wait:
    """Return how long a thread has waited for its secrets since ``forget_waits``, until now where it still does."""
    wait = _waits.get(thread or 0, Wait(0.0, ""))
    more = 0.0 if wait.since is None else time.monotonic() - wait.since
    return Wait(wait.seconds + more, wait.command)


@contextmanager
def _waiting(command: str) -> Iterator[None]:
    thread = threading.get_ident()
    _waits[thread] = Wait(wait_of(thread).seconds, command, time.monotonic())
    try:
        yield
    finally:
        _waits[thread] = wait_of(thread)


class Secret(BaseModel):
    """One secret: exactly one of ``env``, ``file``, ``command`` or ``literal``.

    In TOML a plain string is a literal; the loader refuses it in a file that others can read.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    env: str | None = None
    file: UserPath | None = None
    command: tuple[str, ...] | None = None
    literal: SecretStr | None = None

    @model_validator(mode="before")
    @classmethod
    def _string_is_literal(cls, value: object) -> object:
        return {"literal": value} if isinstance(value, (str, SecretStr)) else value

    @model_validator(mode="after")
    def _exactly_one(self) -> Secret:
        given = sum(part is not None for part in (self.env, self.file, self.command, self.literal))
        if given != 1 or self.command == ():
            raise ValueError(_('a secret is a string, {env = "NAME"}, {file = "PATH"} or {command = ["…"]}'))
        if self.literal is not None:
            masking.remember(self.literal.get_secret_value())
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Say in the JSON schema that a plain string is allowed too."""
        return {"anyOf": [{"type": "string", "format": "password"}, handler(core)]}

    @property
    def is_literal(self) -> bool:
        """Whether the secret itself stands in the configuration."""
        return self.literal is not None

    def reveal(self) -> str:
        """Return the secret's value.

        Raises ConfigurationError, which never contains the value, when the reference leads nowhere.
        """
        value = self._look_up()
        masking.remember(value)
        if "\0" in value or not _is_text(value):
            raise ConfigurationError(
                _("The secret of {source} is not text that a system could take").format(source=self._source())
            )
        return value

    def _source(self) -> str:
        """Return where the secret comes from, without any of it."""
        named = self.env or self.file or (self.command and self.command[0])
        return str(named) if named else "literal"

    def _look_up(self) -> str:
        if self.literal is not None:
            return self.literal.get_secret_value()
        if self.env is not None:
            return self._from_environment(self.env)
        if self.file is not None:
            return self._from_file(self.file)
        return self._from_command(self.command or ())

    @staticmethod
    def _from_environment(name: str) -> str:
        value = os.environ.get(name)
        if value is None:
            raise ConfigurationError(
                _("The environment variable {name} with a secret is not set").format(name=name)
            )
        return value

    @staticmethod
    def _from_file(path: Path) -> str:
        try:
            return files.read_trusted(path, LARGEST_BYTES).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                _("The secret file {path} cannot be read: {reason}").format(path=path, reason=_reason(error))
            ) from None  # bytes that are not text stand in the error

    @staticmethod
    def _from_command(command: tuple[str, ...]) -> str:
        with _waiting(command[0]):
            return Secret._output_of(command)

    @staticmethod
    def _output_of(command: tuple[str, ...]) -> str:
        try:
            _require_trusted_program(command)
            ended = programs.run(command, COMMAND_TIMEOUT_SECONDS, LARGEST_BYTES)
            reason = _("exit code {code}").format(code=ended.exit_code)
            if ended.exit_code == 0:
                return ended.stdout.decode().strip()
        except programs.TooMuchOutputError:
            reason = _("it wrote more than {bytes} bytes").format(bytes=LARGEST_BYTES)
        except TimeoutError:
            reason = _("it did not end within {seconds:g} s").format(seconds=COMMAND_TIMEOUT_SECONDS)
        except (OSError, ValueError) as error:
            reason = _reason(error)
        # Never what the command wrote: that may be the secret.
        raise ConfigurationError(
            _("The command that gives a secret failed: {command} ({reason})").format(
                command=command[0], reason=reason
            )
        )


def _is_text(value: str) -> bool:
    """Return whether it can be sent: an environment may hold bytes that are no UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _require_trusted_program(command: tuple[str, ...]) -> None:
    """Raise OSError when root would run what others may write: the program, and a script among its arguments."""
    program = shutil.which(command[0])
    for path in map(Path, (program or command[0], *command[1:])):
        if len(path.parts) > 1 and files.is_regular(path):
            files.require_trusted(path)


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return _("it is not text")
    return reason_of(error) if isinstance(error, OSError) else type(error).__name__
