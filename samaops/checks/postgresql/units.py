"""Compare settings that say the same in different units: 2GB and 262144 blocks of 8kB, 500 and 500ms, on and true."""

from __future__ import annotations

import re

from samaops.facts.postgresql import Setting

_BYTES = {"B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "min": 60_000.0, "h": 3_600_000.0, "d": 86_400_000.0}
_SWITCH = {
    "on": "on",
    "true": "on",
    "yes": "on",
    "1": "on",
    "off": "off",
    "false": "off",
    "no": "off",
    "0": "off",
}


def difference(expected: str, shown: str, setting: str, unit: str | None) -> bool:
    """Return whether a setting differs from what is expected of it.

    ``shown`` is what SHOW prints, ``setting`` the number in ``unit`` ("8kB", "ms"; None without one).
    """
    if expected.strip() in (shown, setting):
        return False
    wanted, actual = quantity(expected, unit), quantity(setting, unit)
    if wanted is not None and actual is not None:
        return abs(wanted - actual) > 1e-9 * max(1.0, abs(wanted))
    return _word(expected) != _word(shown)


def quantity(text: str, unit: str | None) -> float | None:
    """Return a size in bytes, a time in milliseconds, or a plain number; None when it is none of them.

    A number without unit is counted in ``unit``, as PostgreSQL does.
    """
    match = re.fullmatch(r"\s*(-?\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    if match is None:
        return None
    number, word = float(match[1]), match[2]
    if number < 0:
        return number  # -1 is "off" and has no unit
    if not word:
        return number * (_factor(unit) or 1.0)
    factor = _factor(word)
    return None if factor is None else number * factor


def _factor(unit: str | None) -> float | None:
    match = re.fullmatch(r"(\d*)([A-Za-z]+)", unit or "")
    if match is None:
        return None
    base = _BYTES.get(match[2], _MILLISECONDS.get(match[2]))
    return None if base is None else base * int(match[1] or 1)


def _word(text: str) -> str:
    plain = text.strip().strip("'").lower()
    return _SWITCH.get(plain, plain)


def whole(settings: dict[str, Setting], name: str) -> int | None:
    """Return a setting that is a whole number; None where it is absent, or none."""
    text = settings[name].setting if name in settings else ""
    return int(text) if text.isdecimal() else None
