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

_translations: gettext.NullTranslations = gettext.NullTranslations()
_language = "en"


def use_language(language: str) -> None:
    """Switch every later message to ``language`` ("fr" or "en")."""
    global _translations, _language
    _language = language if language in LANGUAGES else "en"
    _translations = gettext.translation(DOMAIN, _LOCALE_DIRECTORY, languages=[_language], fallback=True)


def language() -> str:
    """Return the language in use."""
    return _language


def language_of_environment() -> str:
    """Return "fr" when the locale is French, "en" otherwise (LANGUAGE, LC_ALL, LC_MESSAGES, LANG in this order)."""
    for variable in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(variable)
        if value:
            return "fr" if value.lower().startswith("fr") else "en"
    return "en"


def _(message: str) -> str:
    """Translate a message into the language in use."""
    return _translations.gettext(message)


def ngettext(singular: str, plural: str, count: int) -> str:
    """Translate a message that depends on a count."""
    return _translations.ngettext(singular, plural, count)


def N_(message: str) -> str:  # noqa: N802 - the field's usual name for "mark, translate later"
    """Mark a message for translation without translating it."""
    return message
