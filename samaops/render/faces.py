"""The faces of a report, by the names of ``--output``."""

from __future__ import annotations

from enum import Enum
from importlib import import_module

from samaops.model.report import Report


class Output(str, Enum):
    """How an answer is written."""

    HUMAN = "human"
    JSON = "json"
    NAGIOS = "nagios"
    PROMETHEUS = "prometheus"
    JUNIT = "junit"
    MARKDOWN = "markdown"

    def __str__(self) -> str:
        return self.value


def render(report: Report, output: Output) -> str:
    """Return a report as text for machines and documents; people's screens are ``samaops.render.human``."""
    face = import_module(f"samaops.render.{output.value}")
    text: str = face.render(report)
    return text
