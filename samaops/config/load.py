"""Find, read and check the configuration file; every fault is one clear ConfigurationError."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from samaops.config.settings import Settings
from samaops.errors import ConfigurationError
from samaops.i18n import _

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def search_path() -> list[Path]:
    """Return where a configuration is looked for, first found wins (after ``--config``)."""
    named = os.environ.get("SAMAOPS_CONFIG")
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    found = [Path(named)] if named else []
    return [*found, home / "samaops" / "config.toml", Path("/etc/samaops/config.toml")]


def load(path: Path) -> Settings:
    """Read one configuration file."""
    document = _parse(path)
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            _("{path}: {reason}").format(path=path, reason=error.strerror), hint="samaops config init"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(_("{path}: not valid TOML: {reason}").format(path=path, reason=error)) from error
