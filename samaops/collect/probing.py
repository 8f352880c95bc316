"""How a marked value is written and removed, on request alone (``diagnose --probe``): what all systems share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

from samaops.clients.errors import ClientError
from samaops.collect.engine import Probe
from samaops.i18n import _
from samaops.model.failure import FailureKind

MARK = "samaops-probe"
_REFUSED = (FailureKind.ERROR, FailureKind.PERMISSION, FailureKind.MISSING)
LIFETIME_SECONDS = 60  # after which what is left removes itself, where a system knows such a thing


def marked_name() -> str:
    """Return a name that nobody else has, and by which everybody sees whose it is."""
    return f"{MARK}-{uuid4()}"


@contextmanager
def writing(probe: Probe, seconds: float) -> Iterator[Callable[[], float]]:
    """Write and remove within the block; yield what tells the milliseconds since its beginning.

    Raises ClientError: nothing is begun that could not be removed in time, and a write that is refused is an outage,
    whatever the reason: it is the application that is refused.
    """
    if probe.remaining() < seconds:
        text = _(
            "{seconds:.1f} s are too few to write a value and to remove it: a later --deadline gives more"
        )
        raise ClientError(FailureKind.DEADLINE, text.format(seconds=probe.remaining()), "write")
    started = time.monotonic()
    try:
        yield lambda: round((time.monotonic() - started) * 1000, 1)
    except ClientError as error:
        if error.kind in _REFUSED:
            stage = error.stage or probe.current_stage
            raise ClientError(FailureKind.UNAVAILABLE, error.message, stage) from error
        raise


def compare(written: bytes, read: object) -> None:
    """Raise ClientError when what was read is not what was written."""
    if read != written:
        raise ClientError(FailureKind.GARBAGE, _("what was read is not what was written"), "read")
