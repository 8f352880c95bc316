"""What of [notify] cannot work is refused, what a webhook gets is what its template says, and what is told is in the mail."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from samaops.config.settings import Settings
from samaops.errors import ConfigurationError
from samaops.model.bulletin import Bulletin
from samaops.model.finding import Finding, Silenced
from samaops.model.news import Known, News, Recovery
from samaops.model.report import Report
from samaops.model.status import Status
from samaops.render import human, markdown, nagios, prometheus
from samaops.render import json as json_face
from samaops.render.bulletin import bulletin
from samaops.render.words import symbols_for
from samaops.site.site import Site
from samaops.workflows.notify import payload, telling, trying
from tests.answers import schema_of
from tests.unit.config.test_soundness import checked

NOW = datetime(2026, 1, 31, 6, 0, tzinfo=timezone.utc)
DISK = Finding(
    "servers.disk.full", Status.CRITICAL, "servers/db:/", "/ is 95 % full", server="db", value=95.0
)
QUEUE = Finding("rabbitmq.queue.ready", Status.WARNING, "rabbitmq/normal", "normal has 900", server="api")
SILENCED = Silenced(3, NOW + timedelta(hours=4), "awa", "migration")
OVER = Recovery("redis.memory.high@redis/w", "Redis is full", "critical", NOW - timedelta(hours=3), NOW)
HOOK = '[notify.webhooks.teams]\nurl = "https://teams.example.com/x"\n'


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ('[notify]\nquiet_hours = "22h-6h"\n', "notify.quiet_hours: '22h-6h' is no window"),
        ('[notify]\nquiet_hours = "22:00-22:00"\n', "is no window"),
        ('[notify.webhooks.mail]\nurl = "https://a.example.com/"\n', "is a channel of its own"),
        ('[notify.webhooks."a b"]\nurl = "https://a.example.com/"\n', "is no name of a webhook"),
        ('[notify.webhooks.teams]\nurl = "teams"\n', "not a URL"),
        (HOOK + 'template = "{{ nothing }}"\n', "notify.webhooks.teams.template: the template does not fit"),
        (HOOK + 'template = "{% if"\n', "the template does not fit: line 1"),
        (HOOK + 'template = \'{"a": "{{ text }}"}\'\n', "it makes no JSON (use the filter tojson)"),
        (HOOK + "template = '{{ site.__class__.__mro__ }}'\n", "unsafe"),
        (HOOK + 'template_file = "nowhere.jinja2"\n', "nowhere.jinja2 cannot be read"),
        (HOOK + 'template = "{}"\ntemplate_file = "config.toml"\n', "only one of the two is used"),
        (HOOK + 'content_type = "json"\n', "'json' is no media type"),
        (HOOK + 'headers = { "X Y" = "secret" }\n', "'X Y' is no name of a header"),
        (HOOK + 'headers = { Host = "elsewhere" }\n', "Host is set by samaops itself"),
        (HOOK + 'headers = { X = { env = "SAMAOPS_TEST_NO_SUCH" } }\n', "SAMAOPS_TEST_NO_SUCH"),
        (HOOK + "through_proxy = true\n", "there is no section [proxy]"),
    ],
)
def test_what_cannot_work_is_refused(tmp_path: Path, text: str, refused: str) -> None:
    assert refused in checked(tmp_path, text)


def test_what_can_work_is_not(tmp_path: Path) -> None:
    right = (
        '[notify]\nquiet_hours = "22:00-06:00"\nremind_hours = 12\n'
        + HOOK
        + 'template = \'\'\'{"text": {{ (subject + "\\n" + text) | tojson }}, '
        + '"n": {{ findings | length }}}\'\'\'\nheaders = { Authorization = "Bearer x" }\n'
    )
    assert checked(tmp_path, right) == ""


def test_a_template_of_plain_text_may_hold_anything(tmp_path: Path) -> None:
    text = HOOK + "content_type = 'text/plain; charset=utf-8'\ntemplate = '{{ site }}: {{ text }}'\n"
    assert checked(tmp_path, text) == ""


def site_with(**webhook: Any) -> Site:
    hook = {"url": "https://a.example.com/", **webhook}
    return Site(Settings.model_validate({"site": "dakar", "notify": {"webhooks": {"teams": hook}}}))


def news(**changes: Any) -> News:
    known = {DISK.key: Known(DISK.key, NOW - timedelta(hours=1))}
    return News(**{"announced": (DISK.key,), "known": known, "recovered": (OVER,), **changes})


def test_a_notification_keeps_to_its_schema_and_says_what_is_news() -> None:
    import jsonschema

    site = site_with()
    report = Report("maintain daily", NOW, findings=(DISK, replace(QUEUE, silenced=SILENCED)))
    values = payload.values(site, report, Bulletin("s", "t\n", ""), news())
    made = json.loads(payload.body(site.settings.notify.webhooks["teams"], values))
    jsonschema.validate(made, schema_of("notification"))
    assert [finding["is_news"] for finding in made["findings"]] == [True, False]
    assert made["findings"][1]["silenced_until"] == "2026-01-31T10:00:00+00:00"
    assert (made["kind"], made["recovered"][0]["seconds"]) == ("trouble", 3 * 3600)
    over = payload.values(site, report, Bulletin("s", "t", ""), news(announced=()))
    assert over["kind"] == "recovery"
    jsonschema.validate(payload.example(site), schema_of("notification"))


@pytest.mark.parametrize("template", ["{{ nothing }}", "{{ 'x' * 300000 }}", "{{ site.x.y }}", "{{ 1 / 0 }}"])
def test_a_template_that_does_not_fit_is_told_and_no_crash(template: str) -> None:
    site = site_with(template=template)
    with pytest.raises(ConfigurationError, match="the template does not fit"):
        payload.body(site.settings.notify.webhooks["teams"], payload.example(site))


def test_a_mail_says_what_is_news_first_and_names_the_rest() -> None:
    known = {
        DISK.key: Known(DISK.key, NOW - timedelta(hours=30), NOW - timedelta(hours=25), "a reminder"),
        QUEUE.key: Known(QUEUE.key, NOW - timedelta(hours=2), NOW - timedelta(hours=2)),
    }
    hushed = replace(QUEUE, code="rabbitmq.queue.x", title="hushed", silenced=SILENCED)
    findings = (DISK, QUEUE, hushed)
    made = bulletin(Report("maintain daily", NOW, findings=findings, news=news(known=known)), "dakar")
    assert made.subject == "[dakar] critical: [db] / is 95 % full; no known cause explains it"
    lines = made.summary.splitlines()
    assert "  critical  [db] / is 95 % full (servers/db:/)" in lines
    assert not any(line.startswith("  warning") for line in lines), "that was told before"
    assert "  over after 3.0 h: Redis is full" in lines
    assert "  told again: / is 95 % full: a reminder, since 2026-01-30 00:00 UTC" in lines
    assert "  told before: normal has 900, since 2026-01-31 04:00 UTC" in lines
    silent = "  [api] hushed (rabbitmq/normal): silenced until 2026-01-31 10:00 UTC by awa: migration"
    assert silent in lines
    assert "normal has 900 (rabbitmq/normal)" in made.log, "the log has everything"


def test_a_mail_of_what_is_over_alone_says_so_in_its_subject() -> None:
    healed = replace(DISK, status=Status.OK, title="fine")
    made = bulletin(
        Report("maintain daily", NOW, findings=(healed,), news=news(announced=(), known={})), "dakar"
    )
    assert made.subject == "[dakar] over after 3.0 h: Redis is full"


def test_what_is_silenced_is_as_wrong_as_ever_in_every_form() -> None:
    report = Report("diagnose", NOW, findings=(replace(DISK, silenced=SILENCED),))
    words = "silenced until 2026-01-31 10:00 UTC by awa: migration"
    document = json_face.document(report)
    assert document["status"] == "critical"
    assert document["findings"][0]["silenced"] == {
        "number": 3, "until": "2026-01-31T10:00:00.000+00:00", "by": "awa", "reason": "migration",
    }  # fmt: skip
    assert words in markdown.render(report).replace("\\", "")
    assert 'samaops_check_silenced{code="servers.disk.full",subject="servers/db:/",server="db"} 1' in (
        prometheus.render(report)
    )
    assert words in nagios.render(report)
    from rich.console import Console

    console = Console(width=80)
    with console.capture() as captured:
        console.print(human.render(report, human.View(symbols_for("utf-8"))))
    shown = captured.get()
    assert words in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    ("hour", "zone", "is_quiet"),
    [
        (23, "UTC", True),
        (5, "UTC", True),
        (6, "UTC", False),
        (21, "Europe/Paris", True),
        (5, "Nowhere/X", False),
    ],
)
def test_quiet_hours_are_those_of_the_schedule_s_zone(hour: int, zone: str, is_quiet: bool) -> None:
    settings = {"notify": {"quiet_hours": "22:00-06:00"}, "schedule": {"timezone": zone}}
    now = NOW.replace(hour=hour)
    assert telling.manner_of(Site(Settings.model_validate(settings)), now).is_quiet is is_quiet


def test_each_way_in_which_a_channel_fails_says_what_to_do_and_where() -> None:
    from samaops.model.failure import FailureKind

    for kind in FailureKind:
        assert "[notify.slack]" in trying.todo("slack", kind) or kind is FailureKind.UNAVAILABLE
        assert "[notify.webhooks.teams]" in trying.todo("teams", kind) or kind is FailureKind.UNAVAILABLE
