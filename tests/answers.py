"""What samaops answers programs with keeps to the schemas in docs/, each named by the document itself."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

DOCS = Path(__file__).parents[1] / "docs"
_ENDING = ".schema.json"
KINDS = tuple(sorted(path.name.removesuffix(_ENDING) for path in DOCS.glob(f"*{_ENDING}")))


@cache
def schema_of(kind: str) -> Any:
    """Return the schema of one kind of document."""
    return json.loads((DOCS / f"{kind}{_ENDING}").read_text(encoding="utf-8"))


def validated(document: Any) -> Any:
    """Return a document that says which schema it keeps to, and does. Raises ValidationError."""
    program, kind, version = document["schema"].split("/")
    assert (program, version) == ("samaops", "1")
    jsonschema.validate(document, schema_of(kind), format_checker=jsonschema.FormatChecker())
    return document
