"""What is well formed and still cannot work: `config check` refuses it; no other command stops for it.

A configuration that served until now is not refused by `diagnose` at night because a directory is gone.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel

from samaops.config import cron, keys, notify_soundness
from samaops.config.consistency import sections
from samaops.config.keys import Key
from samaops.config.schedule_settings import ScheduleJob
from samaops.config.settings import Settings
from samaops.i18n import _, joined

Problem = tuple[Key, str]
# Where an empty text says something: no table is looked at, RabbitMQ's own exchange, a job that never runs.
_MAY_BE_EMPTY = {"notifications_table", "exchange", *cron.JOBS}
# Lists without which the rest of their section has no sense.
_NEVER_EMPTY = {"recipients", "expected_issuers"}
# What must begin at the root: of a server's files, or of a URL.
_FROM_THE_ROOT = {"data_directory", "log_directory", "directory", "health_path", "mounts"}
_FILE_PATTERNS = {"pattern", "log_pattern"}
# One address as it stands in a mail's header and in SMTP: no names, no quotes, no domain of one's own machine only.
_MAIL_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?P<domain>[A-Za-z0-9.-]{1,253})")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
_JOB_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
# maxmemory-policy of Redis up to 8.6
_REDIS_POLICY = re.compile("noeviction|volatile-ttl|(allkeys|volatile)-(lru|lfu|lrm|random)")
# x-max-priority is one byte
_HIGHEST_PRIORITY = 255


def problems(settings: Settings) -> Iterator[Problem]:
    """Yield the key and the reason of everything that cannot work."""
    for key, section in sections(settings):
        yield from _empty(key, section)
        yield from _places(key, section)
        yield from _half_a_log_in(key, section)
        yield from _authorities(key, section)
    yield from _mail(settings)
    yield from _schedule(settings)
    yield from _queues(settings)
    yield from _members(settings)
    yield from _ways(settings)
    yield from notify_soundness.problems(settings)
    yield from _directories(settings)


def _empty(key: Key, section: BaseModel) -> Iterator[Problem]:
    """Find what was emptied although something is needed there; what was left out has its default."""
    for name in section.model_fields_set:
        value = getattr(section, name)
        has_default = bool(type(section).model_fields[name].default)
        is_blank = isinstance(value, str) and not value.strip() and name not in _MAY_BE_EMPTY
        if (is_blank and has_default) or (name in _NEVER_EMPTY and not value):
            yield (*key, name), _("must not be empty")
        elif isinstance(value, tuple):
            for place, item in enumerate(value):
                if isinstance(item, str) and not item.strip():
                    yield (*key, name, place), _("must not be empty")


def _places(key: Key, section: BaseModel) -> Iterator[Problem]:
    for name in section.model_fields_set:
        value = getattr(section, name)
        values = value if isinstance(value, tuple) else (value,)
        for text in values:
            if not isinstance(text, str) or not text.strip():
                continue
            if name in _FROM_THE_ROOT and not text.startswith("/"):
                yield (*key, name), _("{value!r} must begin with /").format(value=text)
            if name in _FILE_PATTERNS and PurePosixPath(text).name != text:
                yield (
                    (*key, name),
                    _("{value!r} must be a pattern of file names, without a directory").format(value=text),
                )


def _half_a_log_in(key: Key, section: BaseModel) -> Iterator[Problem]:
    """Find a user who was named and has no password; a database may let in without one, by the machine's address."""
    fields = type(section).model_fields
    if not {"username", "password"} <= fields.keys():
        return
    username, password = getattr(section, "username"), getattr(section, "password")  # noqa: B009
    if username and "username" in section.model_fields_set and password is None:
        yield (*key, "password"), _("is missing: there is a username, and no password for it")


def _authorities(key: Key, section: BaseModel) -> Iterator[Problem]:
    path = getattr(section, "ca_file", None)
    if isinstance(path, Path):
        try:
            ssl.create_default_context(cafile=path)
        except ssl.SSLError:
            yield (*key, "ca_file"), _("{path} holds no certificate in PEM form").format(path=path)
        except OSError:  # that it cannot be read was said when it was loaded
            return


def _mail(settings: Settings) -> Iterator[Problem]:
    mail = settings.notify.mail
    if mail is None:
        return
    if mail.password is not None and mail.username is None:
        yield ("notify", "mail", "username"), _("is missing: there is a password, and nobody whose it is")
    for place, recipient in enumerate(mail.recipients):
        if recipient.strip() and not is_mail_address(recipient):
            yield (
                ("notify", "mail", "recipients", place),
                _("{value!r} is not a mail address").format(value=recipient),
            )
    if mail.sender.strip() and not is_mail_address(mail.sender):
        yield ("notify", "mail", "sender"), _("{value!r} is not a mail address").format(value=mail.sender)


def is_mail_address(text: str) -> bool:
    """Return whether a text is one mail address, as it stands in a header and in SMTP."""
    match = _MAIL_ADDRESS.fullmatch(text)
    name = text.partition("@")[0]
    if match is None or name.startswith(".") or name.endswith(".") or ".." in name:
        return False
    return all(_LABEL.fullmatch(label) for label in match["domain"].split("."))


def _schedule(settings: Settings) -> Iterator[Problem]:
    schedule = settings.schedule
    known = available_timezones()  # empty where the machine has no such database: then nothing can be said
    if known and schedule.timezone.strip() and not _is_time_zone(schedule.timezone):
        nearest = keys.nearest_few(
            schedule.timezone.rpartition("/")[2], tuple(name.rpartition("/")[2].lower() for name in known)
        )
        meant = sorted(name for name in known if name.rpartition("/")[2].lower() in nearest[:1])
        reason = _("{value!r} is not a time zone").format(value=schedule.timezone)
        if meant:
            reason = joined((reason, _("did you mean {meant}?").format(meant=meant[0])))
        yield ("schedule", "timezone"), reason
    for name in cron.JOBS:
        line = getattr(schedule, name)
        fault = cron.fault_of(line) if line.strip() else None
        if fault:
            yield ("schedule", name), fault
    for name, job in schedule.jobs.items():
        for key, fault in (*_job(name, job), *_confirmation(name, job, settings.site)):
            yield ("schedule", "jobs", name, key), fault
    for number, blackout in enumerate(schedule.blackouts):
        for key in ("begins", "ends"):
            if cron.local_moment(getattr(blackout, key)) is None:
                text = _("{value!r} is no moment, such as 2026-12-24 18:00")
                yield ("schedule", "blackouts", number, key), text.format(value=getattr(blackout, key))
        for job_name in blackout.jobs:
            if job_name not in (*cron.JOBS, *schedule.jobs):
                text = _("there is no job {name!r}").format(name=job_name)
                yield ("schedule", "blackouts", number, "jobs"), text


def _job(name: str, job: ScheduleJob) -> Iterator[tuple[str, str]]:
    """Yield the key and the reason of what of a job cannot work."""
    if not _JOB_NAME.fullmatch(name):
        yield "at", _("{name!r} is no name of a job: letters, digits, - and _").format(name=name)
    if name not in cron.JOBS and (job.at is None or job.command is None):
        yield "at", _("{name!r} is no job of samaops: one of your own needs at and command").format(name=name)
    if name in cron.JOBS and job.command is not None:
        yield "command", _("what {name} does is samaops' own").format(name=name)
    fault = cron.fault_of(job.at) if job.at else None
    if fault:
        yield "at", fault
    if job.window is not None and cron.window(job.window) is None:
        yield "window", _("{value!r} is no window, such as 02:00-05:00").format(value=job.window)
    if job.command is not None and not cron.words(job.command):
        yield "command", _("{value!r} are no words of a command").format(value=job.command)


def _confirmation(name: str, job: ScheduleJob, site: str) -> Iterator[tuple[str, str]]:
    """Yield why a job cannot be confirmed: only one of samaops' own may lose data, and only this site is meant."""
    if job.confirm is None:
        return
    if name != cron.CONFIRMED:
        text = _("only {name} is confirmed so; a job of your own says --confirm in its command")
        yield "confirm", text.format(name=cron.CONFIRMED)
    elif job.confirm != site:
        text = _("{value!r} is not the name of this site, {site!r}")
        yield "confirm", text.format(value=job.confirm, site=site)


def _is_time_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        return False
    return True


def _queues(settings: Settings) -> Iterator[Problem]:
    if settings.rabbitmq is None:
        return
    for name, priority in settings.rabbitmq.queues.items():
        if not 0 <= priority <= _HIGHEST_PRIORITY:
            text = _("{value} is not a priority: RabbitMQ knows 0 to {highest}")
            yield ("rabbitmq", "queues", name), text.format(value=priority, highest=_HIGHEST_PRIORITY)
    workers = settings.celery.workers if settings.celery else {}
    if not workers:
        return
    consumed = {queue for worker in workers.values() for queue in worker.queues}
    for queue in settings.rabbitmq.queues:
        if queue not in consumed:
            text = _("nobody consumes {queue!r}: it is in no queues of [celery.workers]")
            yield ("rabbitmq", "queues", queue), text.format(queue=queue)


def _members(settings: Settings) -> Iterator[Problem]:
    if settings.redis is not None and not _REDIS_POLICY.fullmatch(settings.redis.expected_policy or "-"):
        text = _("{value!r} is no policy that Redis knows, such as allkeys-lru")
        if settings.redis.expected_policy.strip():
            yield ("redis", "expected_policy"), text.format(value=settings.redis.expected_policy)
    if settings.redis is not None and settings.redis.database < 0:
        yield ("redis", "database"), _("must be at least {limit}").format(limit=0)
    seen: dict[str, str] = {}
    for place, member in enumerate(settings.api.instances if settings.api else ()):
        address = member.url.rstrip("/").lower()
        if address in seen:
            text = _("is the address of {name!r} too: one member would be looked at twice")
            yield ("api", "instances", place, "url"), text.format(name=seen[address])
        seen.setdefault(address, member.name)


def _ways(settings: Settings) -> Iterator[Problem]:
    for name in ("slack", "ping"):
        hook = getattr(settings.notify, name)
        if hook is not None and hook.through_proxy and settings.proxy is None:
            yield (
                ("notify", name, "through_proxy"),
                _("there is no section [proxy] that says which way to go"),
            )


def _directories(settings: Settings) -> Iterator[Problem]:
    """Find directories of this machine that were named and are not there, or of no use."""
    named: list[tuple[Key, Path | None, int]] = [
        (("playbooks", "path"), settings.playbooks.path, os.R_OK | os.X_OK),
        (("safety", "lock_directory"), settings.safety.lock_directory, os.W_OK | os.X_OK),
    ]
    if "log" in settings.maintenance.model_fields_set:
        log = settings.maintenance.log
        named.append((("maintenance", "log"), log.parent, os.W_OK | os.X_OK))
        if log.is_dir():
            yield ("maintenance", "log"), _("{path} is a directory").format(path=log)
    for name, server in settings.servers.items():
        hosts = server.ssh if not isinstance(server.ssh, str) else None
        if hosts is not None and "known_hosts" in hosts.model_fields_set and not hosts.known_hosts.is_file():
            text = _("{path} does not exist: no host key can be verified")
            yield ("servers", name, "ssh", "known_hosts"), text.format(path=hosts.known_hosts)
    for key, path, rights in named:
        if path is None:
            continue
        if not path.is_dir():
            yield key, _("the directory {path} does not exist").format(path=path)
        elif not os.access(path, rights):
            yield key, _("the directory {path} is not open to this user").format(path=path)
