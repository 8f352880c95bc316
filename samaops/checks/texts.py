"""What people read of the checks: ``playbooks/checks/<system>.yaml``, read only when a text of the system is needed."""

from __future__ import annotations

from functools import cache

from pydantic import ConfigDict, TypeAdapter

from samaops import resources
from samaops.config import documents
from samaops.config.documents import Text
from samaops.config.fields import Section


class CheckText(Section):
    """The texts of one check. The commands under ``confirm`` only read."""

    model_config = ConfigDict(defer_build=True)

    title: Text
    meaning: Text
    confirm: tuple[str, ...]
    fix: Text
    avoid: Text | None = None


@cache
def of_system(system: str) -> dict[str, CheckText]:
    """Return the texts of all checks of a system by code, in the order of the file."""
    path = resources.directory("playbooks") / "checks" / f"{system}.yaml"
    return documents.load(path, TypeAdapter(dict[str, CheckText]))


def of(code: str) -> CheckText:
    """Return the texts of one check."""
    return of_system(code.partition(".")[0])[code]
