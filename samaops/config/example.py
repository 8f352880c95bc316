"""The commented example, with what is known of a site filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from msgspec import Struct

from samaops import resources
from samaops.config.fields import require_host, require_url
from samaops.config.soundness import is_mail_address
from samaops.i18n import N_, _

# What the example has in these places: the addresses of the guide, filled up.
_DB, _API, _WORKERS = "10.101.10.11", "10.101.10.12", "10.101.10.13"
_VIP, _MAIL_HOST, _SITE, _USER = "http://10.101.10.10:8080", "10.101.10.20", "samaconso", "samaops"
_USER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")


class Question(Struct, frozen=True):
    """One thing that is asked: ``require`` raises ValueError, with a sentence, for an answer that cannot be used."""

    key: str
    text: str
    proposed: str
    require: Callable[[str], object]


def filled_in(answers: Mapping[str, str]) -> str:
    """Return the text of the example with the answers in the places of its own values."""
    text = resources.example_config().read_text(encoding="utf-8")
    site, user = answers.get("site", _SITE), answers.get("ssh_user", _USER)
    text = text.replace(f'site = "{_SITE}"', f"site = {json.dumps(site, ensure_ascii=False)}", 1)
    text = text.replace(f'[servers.db.ssh]\nuser = "{_USER}"', f'[servers.db.ssh]\nuser = "{user}"')
    text = text.replace(f'ssh = {{ user = "{_USER}" }}', f'ssh = {{ user = "{user}" }}')
    places = {_DB: "db", _API: "api", _WORKERS: "workers", _VIP: "vip", _MAIL_HOST: "mail_host"}
    values = {proposed: answers.get(key, proposed) for proposed, key in places.items()}
    text = re.sub("|".join(map(re.escape, values)), lambda match: values[match[0]], text)
    recipients = _addresses(answers.get("recipients", ""))
    if recipients:
        text = text.replace('#recipients = ["ops@senelec.sn"]', f"recipients = {json.dumps(recipients)}")
        for line in ("[notify.mail]", f'host = "{values[_MAIL_HOST]}"', 'sender = "samaops@senelec.sn"'):
            text = text.replace(f"#{line}", line)
    return text


def _addresses(text: str) -> list[str]:
    return [address.strip() for address in text.split(",") if address.strip()]


def _require_name(text: str) -> None:
    if not text.isprintable() or len(text) > 100:
        raise ValueError(_("this cannot be used as a name"))


def _require_user(text: str) -> None:
    if not _USER_NAME.fullmatch(text):
        raise ValueError(_("this cannot be used as a name"))


def _require_addresses(text: str) -> None:
    for address in _addresses(text):
        if not is_mail_address(address):
            raise ValueError(_("{value!r} is not a mail address").format(value=address))


QUESTIONS = (
    Question("site", N_("The name of this site in reports"), _SITE, _require_name),
    Question("db", N_("The address of server 1: database and storage"), _DB, require_host),
    Question("api", N_("The address of server 2: API and message broker"), _API, require_host),
    Question("workers", N_("The address of server 3: workers and cache"), _WORKERS, require_host),
    Question("ssh_user", N_("The user to log in with over SSH"), _USER, _require_user),
    Question("vip", N_("The address that customers reach, behind the F5"), _VIP, require_url),
    Question("recipients", N_("Who gets mail when something fails (empty: nobody)"), "", _require_addresses),
    Question("mail_host", N_("The mail server"), _MAIL_HOST, require_host),
)
