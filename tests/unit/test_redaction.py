"""What is masked in what was observed: secrets, but for one that is an ordinary word of the configuration."""

from __future__ import annotations

import pytest

from samaops.config import masking
from samaops.config.settings import Settings
from samaops.site import redaction
from samaops.site.site import Site

SITE = Site(Settings.model_validate({"postgresql": {"database": "samaconso"}}))


def test_a_password_that_is_a_word_of_the_configuration_hides_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(masking, "_known", {"samaconso", "s3cret-word"})
    seen = {"title": "database samaconso refuses s3cret-word"}
    assert redaction.redacted(seen, SITE) == {"title": f"database samaconso refuses {masking.MASK}"}
