"""A log-in that we end because the password itself is asked for: said as that, with what to do, and never an outage."""

from __future__ import annotations

import pytest

from samaops.causes.services import other_scheme
from samaops.checks import failures
from samaops.model.failure import Failure, FailureKind
from samaops.model.finding import Finding
from samaops.model.status import Status

FAILURE = Failure(FailureKind.SCHEME, "it asks for the password in clear", "clear")


def test_the_finding_says_what_was_asked_for_and_that_nothing_was_given() -> None:
    assert failures.title(FAILURE, "pgbouncer/db") == (
        "pgbouncer/db asks for our password in clear, and was not given it"
    )
    assert not FAILURE.is_outage


@pytest.mark.parametrize("system", ["postgresql", "pgbouncer"])
def test_the_cause_names_the_setting(system: str) -> None:
    evidence = failures.evidence_of(FAILURE)
    finding = Finding(
        f"{system}.service.unreachable", Status.UNKNOWN, f"{system}/db", "asks", evidence=evidence
    )
    root = other_scheme(finding, None)  # type: ignore[arg-type]

    assert "in clear" in (root.title or "")
    assert f"[{system}] tls" in str(root.fixes)
    assert "clear_text_password" in str(root.fixes)
