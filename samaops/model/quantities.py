"""Say sizes and times in the units a person reads."""

from __future__ import annotations

from datetime import datetime, timezone

from samaops.i18n import N_, _, number

_UNITS = (N_("B"), N_("kB"), N_("MB"), N_("GB"), N_("TB"))
_LAST_EPOCH = datetime(9999, 12, 31, 23, 59, tzinfo=timezone.utc).timestamp()
_SPANS = ((N_("d"), 86400), ("h", 3600), ("min", 60))


def size(count: float) -> str:
    """Return a number of bytes in binary units, as df -h and Docker's limits count them: ``1.5 GB``."""
    for unit in _UNITS:
        if abs(count) < 1024 or unit == _UNITS[-1]:
            amount = f"{count:.0f}" if unit == "B" or count >= 100 else f"{count:.1f}"
            return number(amount) + " " + _(unit)
        count /= 1024
    raise AssertionError("unreachable: the last unit takes everything")


def moment(epoch: float) -> str:
    """Return seconds since 1970 as a date and a time; what no calendar has becomes the nearest that one has."""
    known = datetime.fromtimestamp(min(max(epoch, 0.0), _LAST_EPOCH), timezone.utc)
    return known.strftime("%Y-%m-%d %H:%M UTC")


def duration(seconds: float) -> str:
    """Return a time span in the largest unit that fits: ``90 s``, ``3.5 h``, ``12 d``."""
    unit, length = next(((unit, length) for unit, length in _SPANS if abs(seconds) >= 2 * length), ("s", 1))
    amount = seconds / length
    return number(f"{amount:.0f}" if abs(amount) >= 10 else f"{amount:.1f}") + " " + _(unit)
