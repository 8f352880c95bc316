"""Secrets by reference: environment variable, file, command, or a literal in a private file."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, SecretStr, model_validator
from pydantic_core import CoreSchema

from samaops.config import masking
from samaops.config.fields import UserPath
from samaops.errors import ConfigurationError
from samaops.i18n import _

COMMAND_TIMEOUT_SECONDS = 5.0


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
        if sum(part is not None for part in (self.env, self.file, self.command, self.literal)) != 1:
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
        return value

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
            return path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                _("The secret file {path} cannot be read: {reason}").format(
                    path=path, reason=getattr(error, "strerror", None) or _("it is not text")
                )
            ) from error

    @staticmethod
    def _from_command(command: tuple[str, ...]) -> str:
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                timeout=COMMAND_TIMEOUT_SECONDS,
                check=True,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            # Not the error's text: a failed command's output may hold the secret.
            raise ConfigurationError(
                _("The command that gives a secret failed: {command} ({kind})").format(
                    command=command[0] if command else "", kind=type(error).__name__
                )
            ) from error
        return done.stdout.decode("utf-8", errors="replace").strip()
