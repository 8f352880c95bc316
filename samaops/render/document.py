"""A page of the documentation: for people as a screen, for programs as a document."""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType
from rich.markdown import Markdown

SCHEMA = "samaops/document/1"


def document(name: str, title: str, text: str) -> dict[str, Any]:
    """Return a page as plain values, for JSON."""
    return {"schema": SCHEMA, "page": name, "title": title, "text": text}


def page(text: str) -> RenderableType:
    """Return a page for a terminal; addresses of links are written out."""
    return Markdown(text, hyperlinks=False)
