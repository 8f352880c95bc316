"""Say sizes and times in the units a person reads."""

from __future__ import annotations

_UNITS = ("B", "kB", "MB", "GB", "TB")


def size(count: float) -> str:
    """Return a number of bytes in binary units, as df -h and Docker's limits count them: ``1.5 GB``."""
    for unit in _UNITS:
        if abs(count) < 1024 or unit == _UNITS[-1]:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("unreachable: the last unit takes everything")


def duration(seconds: float) -> str:
    """Return a time span in the largest unit that fits: ``90 s``, ``3.5 h``, ``12 d``."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if abs(seconds) >= 2 * length:
            return (
                f"{seconds / length:.0f} {unit}"
                if abs(seconds) >= 10 * length
                else f"{seconds / length:.1f} {unit}"
            )
    return f"{seconds:.1f} s" if abs(seconds) < 10 else f"{seconds:.0f} s"
