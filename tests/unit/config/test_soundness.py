"""`config check` refuses what is well formed and cannot work, one sentence each, and nothing that can."""

from __future__ import annotations

from pathlib import Path

import pytest

from samaops.checks.registry import rules
from samaops.config import load
from samaops.errors import ConfigurationError
from samaops.workflows import configuration

SERVERS = """
[servers.db]
address = "10.101.0.1"
[servers.api]
address = "10.101.0.2"
[servers.workers]
address = "10.101.0.3"
"""
MAIL = '[notify.mail]\nhost = "mail"\n'
BROKER = '[rabbitmq]\npassword = "secret"\n'
WORKER = '[celery.workers.w]\nqueues = ["urgent", "high_priority", "normal", "low_priority"]\n'


def checked(tmp_path: Path, text: str) -> str:
    """Return what the check refuses; "" when it is content."""
    path = tmp_path / "config.toml"
    path.write_text(SERVERS + text)
    path.chmod(0o600)
    loaded = load.read(path)
    try:
        configuration.check(loaded)
    except ConfigurationError as error:
        return error.message.replace(f"{path}: ", "")
    return ""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (MAIL + "recipients = []", "notify.mail.recipients: must not be empty"),
        (MAIL + 'recipients = ["a@b", " "]', "notify.mail.recipients[1]: must not be empty"),
        (MAIL + 'recipients = ["ops"]', "notify.mail.recipients[0]: 'ops' is not a mail address"),
        (MAIL + 'recipients = ["a@b.sn, c@d.sn"]', "'a@b.sn, c@d.sn' is not a mail address"),
        (MAIL + 'recipients = ["a@b@c"]', "'a@b@c' is not a mail address"),
        (MAIL + 'recipients = ["a..b@c.sn"]', "'a..b@c.sn' is not a mail address"),
        (MAIL + 'recipients = ["a@-b.sn"]', "'a@-b.sn' is not a mail address"),
        (MAIL + 'recipients = ["a@b.sn\\nBcc: x@y.z"]', "is not a mail address"),
        (MAIL + 'sender = "samaops"', "notify.mail.sender: 'samaops' is not a mail address"),
        (MAIL + 'username = "u"', "notify.mail.password: is missing"),
        (MAIL + 'password = "secret"', "notify.mail.username: is missing"),
        ('[proxy]\nusername = "u"', "proxy.password: is missing"),
        ('[redis]\nusername = "u"', "redis.password: is missing"),
        (
            '[schedule]\ntimezone = "Africa/Dakkar"',
            "'Africa/Dakkar' is not a time zone; did you mean Africa/Dakar?",
        ),
        ('[schedule]\ntimezone = "../etc/passwd"', "is not a time zone"),
        ('[schedule]\ntimezone = ""', "schedule.timezone: must not be empty"),
        ('[schedule]\ndaily = "6 o\'clock"', "is not a cron expression of five fields"),
        ('[schedule.jobs.weekly]\nconfirm = "other"', "'other' is not the name of this site"),
        ('[schedule.jobs.daily]\nconfirm = "x"', "schedule.jobs.daily.confirm: only weekly is confirmed so"),
        (
            '[schedule]\ndaily = "0 25 * * *"',
            "schedule.daily: '25' is no hour of a cron expression (0 to 23)",
        ),
        ('[schedule]\nweekly = "0 3 * * 8"', "'8' is no weekday"),
        ('[schedule]\nweekly = "0 3 * * mardi"', "'mardi' is no weekday"),
        ('[schedule]\nmonthly = "0 4 31 2 *"', "this day never comes"),
        ('[schedule]\ndaily = "*/0 6 * * *"', "'*/0' is no minute"),
        ('[schedule]\ndaily = "30-10 6 * * *"', "'30-10' is no minute"),
        (
            BROKER + WORKER.replace('"normal", ', ""),
            "rabbitmq.queues.normal: nobody consumes 'normal'",
        ),
        (BROKER + "queues = { urgent = 300 }", "300 is not a priority: RabbitMQ knows 0 to 255"),
        (BROKER + "queues = { urgent = -1 }", "-1 is not a priority"),
        ('[playbooks]\npath = "gone"', "gone does not exist"),
        ('[safety]\nlock_directory = "/no/such"', "safety.lock_directory: the directory /no/such does not"),
        (
            '[maintenance]\nlog = "/no/such/file.log"',
            "maintenance.log: the directory /no/such does not exist",
        ),
        ('[maintenance]\nlog = "/tmp"', "maintenance.log: /tmp is a directory"),
        ('[maintenance]\nlog_directory = "logs"', "maintenance.log_directory: 'logs' must begin with /"),
        ('[maintenance]\nlog_pattern = "a/*.log"', "must be a pattern of file names, without a directory"),
        ('[backup]\ndirectory = "data"', "backup.directory: 'data' must begin with /"),
        ('[backup]\npattern = ""', "backup.pattern: must not be empty"),
        ('[api]\nhealth_path = "health"', "api.health_path: 'health' must begin with /"),
        (
            '[[api.instances]]\nname = "a"\nurl = "http://h:1"\n[[api.instances]]\nname = "b"\nurl = "http://H:1/"',
            "api.instances[1].url: is the address of 'a' too",
        ),
        ("[firebase]\nexpected_issuers = []", "firebase.expected_issuers: must not be empty"),
        ('[redis]\nexpected_policy = "allkey-lru"', "'allkey-lru' is no policy that Redis knows"),
        ("[redis]\ndatabase = -1", "redis.database: must be at least 0"),
        ('[redis]\npassword = ""', "redis.password: the secret is empty"),
        ('[redis]\npassword = { command = ["true"] }', "redis.password: the secret is empty"),
        ('[postgresql]\nuser = ""', "postgresql.user: must not be empty"),
        ('[notify.slack]\nurl = "hooks.slack.com/x"', "notify.slack.url: not a URL"),
        (
            '[notify.slack]\nurl = "https://h/x"\nthrough_proxy = true',
            "notify.slack.through_proxy: there is no section [proxy]",
        ),
        ('[history]\nurl = "mysql://h/d"', "history.url: mysql is not supported"),
        ('[thresholds."redis.memory.high"]\nwarning = 90\ncritical = 80', "critical (80) would come before"),
        ('[thresholds."redis.memory.high"]\nwarning = 97', "critical (95) would come before warning (97)"),
        ('[thresholds."redis.hits.low"]\nwarning = 40\ncritical = 60', "less is worse here"),
        (
            '[thresholds."certificates.expiry.near"]\nwarning = 5',
            "critical (7) would come before warning (5)",
        ),
        (
            '[thresholds."redis.service.unreachable"]\nwarning = 5',
            "this check has no limits that could be set",
        ),
        (
            '[servers.x]\naddress = "h"\nssh = { known_hosts = "gone" }',
            "gone does not exist: no host key can be",
        ),
        ('[servers.x]\naddress = "h"\nmounts = ["data"]', "servers.x.mounts: 'data' must begin with /"),
        ('[loadbalancer]\nurl = "https://h"\nca_file = "config.toml"', "holds no certificate in PEM form"),
    ],
)
def test_what_cannot_work_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    assert sentence in checked(tmp_path, text), checked(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        MAIL + 'recipients = ["o\'brien+ops@senelec.sn", "root@localhost"]',
        MAIL + 'username = "u"\npassword = "secret"',
        '[redis]\npassword = "secret"\nexpected_policy = "volatile-ttl"',
        '[schedule]\ntimezone = "UTC"\ndaily = "*/5 0-6,22 1-31/2 jan-mar MON-fri"\nweekly = "0 3 * * 7"',
        '[schedule]\nmonthly = "0 4 29 2 *"\ndaily = "0 4 31 2 sun"',
        BROKER + WORKER,
        BROKER + "exchange = ''",
        '[postgresql]\nnotifications_table = ""\n[minio]\nbuckets = []',
        '[thresholds."redis.memory.high"]\nwarning = 70\n[thresholds."redis.hits.low"]\nwarning = 60\ncritical = 40',
        '[thresholds."backup.size.changed"]\nwarning = -40\ncritical = -60',
        '[playbooks]\npath = "."\n[safety]\nlock_directory = "."\n[maintenance]\nlog = "daily.log"',
        '[notify.ping]\nurl = "https://user:secret@hc.example/x"',
        '[history]\nurl = "postgresql://u:secret@h/d"',
    ],
)
def test_what_can_work_is_not_refused(tmp_path: Path, text: str) -> None:
    assert checked(tmp_path, text) == ""


def test_every_problem_is_named_at_once_and_a_variable_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMAOPS_SCHEDULE__DAILY", "hourly")
    path = tmp_path / "config.toml"
    path.write_text('[schedule]\ntimezone = "Nowhere"\n[redis]\nhost = "h"\ndatabase = -1\n')
    with pytest.raises(ConfigurationError) as caught:
        configuration.check(load.read(path))
    assert caught.value.exit_code == 78
    lines = caught.value.message.splitlines()
    assert len(lines) == 3
    assert any(line.startswith("SAMAOPS_SCHEDULE__DAILY: schedule.daily: ") for line in lines)


def test_a_machine_without_zones_refuses_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samaops.config.soundness.available_timezones", set)
    assert checked(tmp_path, '[schedule]\ntimezone = "Africa/Dakkar"') == ""


def test_every_check_says_which_way_is_worse() -> None:
    """Where both limits are given, their order shows it; the word that is declared must agree."""
    for rule in rules():
        if rule.warning is not None and rule.critical is not None and rule.warning != rule.critical:
            assert rule.less_is_worse is (rule.critical < rule.warning), rule.code
