"""The user's language: gettext with French and English, chosen once at start.

``_`` translates now; ``N_`` only marks a text that is translated later with ``_``.
"""

from __future__ import annotations

import gettext
import os
from pathlib import Path

DOMAIN = "samaops"
LANGUAGES = ("en", "fr")
_LOCALE_DIRECTORY = Path(__file__).parent / "locale"


class _Chosen:
    """The language in use and its catalogue."""

    language = "en"
    catalogue: gettext.NullTranslations = gettext.NullTranslations()


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
    return _Chosen.catalogue.gettext(message)


def ngettext(singular: str, plural: str, count: int) -> str:
    """Translate a message that depends on a count."""
    return _Chosen.catalogue.ngettext(singular, plural, count)


def N_(message: str) -> str:  # noqa: N802 - the field's usual name for "mark, translate later"
    """Mark a message for translation without translating it."""
    return message
