"""A report that another samaops wrote (``-o json``), read back strictly: what does not fit is refused with its place."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, field

from samaops.i18n import _
from samaops.model.cause import Cause, Fix, Verdict
from samaops.model.encoding import MisfitError
from samaops.model.finding import Finding
from samaops.model.report import SCHEMA, Footprint, Report, ReportError
from samaops.model.typed import ready

# More is no report of a site: the lab has 200 findings.
MOST_FINDINGS = 20_000
_Code = Annotated[str, Meta(pattern=r"^[a-z0-9_-]+(\.[a-z0-9_]+)+$", max_length=200)]
_Subject = Annotated[str, Meta(pattern=r"^[a-z0-9_-]+/", max_length=2000)]


class _Cause(Struct, frozen=True):
    id: str
    verdict: Verdict
    subject: _Subject
    title: str
    runbook: str | None = None
    speaks_for: tuple[str, ...] = field(default=(), name="for")
    speaks_against: tuple[str, ...] = field(default=(), name="against")
    explains: tuple[str, ...] = ()
    fixes: tuple[Fix, ...] = ()
    address: str = ""
    outside: bool = False


class _Finding(Finding, frozen=True):
    code: _Code
    subject: _Subject


class _Document(Struct, frozen=True):
    schema: str
    started_at: Annotated[datetime, Meta(tz=True)]
    findings: Annotated[tuple[_Finding, ...], Meta(max_length=MOST_FINDINGS)]
    causes: Annotated[tuple[_Cause, ...], Meta(max_length=MOST_FINDINGS)]
    command: str = "diagnose"
    duration_ms: Annotated[int, Meta(ge=0)] = 0
    deadline_hit: bool = False
    deep: bool = False
    footprint: Footprint = field(default_factory=Footprint)
    timings_ms: Mapping[str, int] = {}
    errors: tuple[ReportError, ...] = ()


class _Schema(Struct, frozen=True):
    schema: str = ""


def decode(document: str) -> Report:
    """Return the report that a document is. Raises MisfitError: not JSON, another schema, a value of another kind.

    Fields that this version does not know are left out, as those of a newer samaops; so are actions and differences.
    """
    try:
        schema = msgspec.json.decode(document, type=ready(_Schema)).schema
        if schema != SCHEMA:
            raise MisfitError(
                _("its schema is {other!r} and not {schema}").format(other=schema[:80], schema=SCHEMA)
            )
        read = msgspec.json.decode(document, type=ready(_Document))
    except (msgspec.DecodeError, RecursionError) as error:  # a ValidationError names the place
        raise MisfitError(str(error)) from error
    return Report(
        command=read.command,
        started_at=read.started_at,
        duration_ms=read.duration_ms,
        deadline_hit=read.deadline_hit,
        findings=tuple(_plain(finding) for finding in read.findings),
        causes=tuple(_read(cause) for cause in read.causes),
        footprint=read.footprint,
        errors=read.errors,
        deep=read.deep,
        timings_ms=read.timings_ms,
    )


def _plain(finding: _Finding) -> Finding:
    return Finding(**{name: getattr(finding, name) for name in Finding.__struct_fields__})


def _read(cause: _Cause) -> Cause:
    return Cause(
        id=cause.id,
        runbook=cause.runbook,
        verdict=Verdict.OUTSIDE if cause.outside else cause.verdict,
        subject=cause.subject,
        title=cause.title,
        speaks_for=cause.speaks_for,
        speaks_against=cause.speaks_against,
        explains=cause.explains,
        fixes=cause.fixes,
        address=cause.address,
    )
