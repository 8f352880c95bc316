"""What all tests share. In CI a skip that hides a missing service is a failure."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import settings

from samaops import i18n
from samaops.config import masking
from samaops.site import chosen

# How long an example takes says how busy the machine is.
settings.register_profile("samaops", deadline=None)
settings.load_profile("samaops")
# A shell that runs the tests in the background has them ignore Ctrl-C, and so would every samaops they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    """Turn a skip into a failure where everything must be there."""
    outcome = yield
    report = outcome.get_result()
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"


@pytest.fixture(autouse=True)
def _as_at_the_start() -> None:
    """Undo what an earlier command line of this process has chosen."""
    i18n.use_language("en")
    chosen.remember(None, lab=False)


@pytest.fixture(autouse=True)
def _secrets_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test calls a secret is none in the next: it would be masked in its plans."""
    monkeypatch.setattr(masking, "_known", set(masking._known))
