"""The user's language: gettext with French and English, chosen once at start.

``_`` translates now; ``N_`` only marks a text that is translated later with ``_``.
"""

from __future__ import annotations

import gettext
import os
import re
import string
from collections.abc import Iterable
from pathlib import Path
from typing import Any

DOMAIN = "samaops"
LANGUAGES = ("en", "fr")
_LOCALE_DIRECTORY = Path(__file__).parent / "locale"


class _Chosen:
    """The language in use and its catalogue."""

    language = "en"
    catalogue: gettext.NullTranslations = gettext.NullTranslations()


class _FrenchNumbers(string.Formatter):
    """Formats as ``str.format`` does, and writes numbers as French does: ``93,0``, ``12 345``."""

    def format_field(self, value: Any, format_spec: str) -> Any:
        text = super().format_field(value, format_spec)
        return _in_french(text) if isinstance(value, (int, float)) else text


class _FrenchSentence(str):
    """A sentence with places, which may be for numbers. It lives until they are filled in."""

    __slots__ = ()

    def format(self, *arguments: object, **values: object) -> str:
        return _FrenchNumbers().vformat(str(self), arguments, values)


_PLACE = re.compile(r"\{\w*(:[^{}]*)?\}")


def use_language(language: str) -> None:
    """Switch every later message to ``language`` ("fr" or "en"), those of the command-line library too."""
    _Chosen.language = language if language in LANGUAGES else "en"
    _Chosen.catalogue = gettext.translation(
        DOMAIN, _LOCALE_DIRECTORY, languages=[_Chosen.language], fallback=True
    )
    # typer asks the standard library's gettext, which asks the environment.
    gettext.bindtextdomain(DOMAIN, str(_LOCALE_DIRECTORY))
    gettext.textdomain(DOMAIN)
    os.environ["LANGUAGE"] = _Chosen.language


def language() -> str:
    """Return the language in use."""
    return _Chosen.language


def language_of_environment() -> str:
    """Return "fr" when the locale is French, "en" otherwise.

    LANGUAGE, a list by preference, comes first; then LC_ALL, LC_MESSAGES and LANG, of which the first that is
    set decides.
    """
    for name in os.environ.get("LANGUAGE", "").split(":"):
        if name[:2].lower() in LANGUAGES:
            return name[:2].lower()
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(variable)
        if value:
            return "fr" if value.lower().startswith("fr") else "en"
    return "en"


def _(message: str) -> str:
    """Translate a message into the language in use."""
    return _with_its_numbers(_Chosen.catalogue.gettext(message))


def ngettext(singular: str, plural: str, count: int) -> str:
    """Translate a message that depends on a count."""
    return _with_its_numbers(_Chosen.catalogue.ngettext(singular, plural, count))


def joined(sentences: Iterable[str]) -> str:
    """Return sentences as one, with what the language in use puts between them."""
    return _("; ").join(sentences)


def some(names: Iterable[object], most: int) -> str:
    """Return the first names, with an ellipsis where there are more."""
    listed = [str(name) for name in names]
    return ", ".join(listed[:most]) + ("…" if len(listed) > most else "")


def number(text: str) -> str:
    """Return a number as the language in use writes it: ``93.0``, ``93,0``."""
    return _in_french(text) if _Chosen.language == "fr" else text


def _with_its_numbers(text: str) -> str:
    if _Chosen.language == "fr" and _PLACE.search(text):
        return _FrenchSentence(text)
    return text


def _in_french(text: str) -> str:
    return text.replace(",", "\N{NARROW NO-BREAK SPACE}").replace(".", ",")


def N_(message: str) -> str:  # noqa: N802 - the field's usual name for "mark, translate later"
    """Mark a message for translation without translating it."""
    return message
