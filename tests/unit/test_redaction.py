"""What is masked in what was observed: secrets, but for one that is an ordinary word of the configuration."""

from __future__ import annotations

import html
import json
from base64 import b64encode
from urllib.parse import quote

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


@pytest.mark.parametrize("user", ["", "u", "us", "use", "a longer user"])
@pytest.mark.parametrize("secret", ["ca'na\"ry\\é-8812", "canary-8812", "<canary> & 8812\n"])
def test_a_secret_is_masked_however_it_is_written(
    monkeypatch: pytest.MonkeyPatch, user: str, secret: str
) -> None:
    monkeypatch.setattr(masking, "_known", set())
    masking.remember(secret)
    content = secret.encode()
    basic = b64encode(f"{user}:{secret}".encode()).decode()
    forms = (secret, repr(secret), repr(content), json.dumps(secret), html.escape(secret), quote(secret))
    for form in forms:
        assert masking.MASK in masking.mask(form), form
        assert "8812" not in masking.mask(form), form
    left = masking.mask(f"502 Proxy-Authorization: Basic {basic}").rpartition(" ")[2]
    assert masking.MASK in left
    assert len(left.partition(masking.MASK)[2]) <= 4, "no more than what follows it and the last bits of it"
