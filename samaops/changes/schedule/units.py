"""The files by which systemd, cron or compose begin the scheduler or its jobs, as text."""

from __future__ import annotations

import re
import shlex
import socket
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cronsim import CronSim
from msgspec import Struct

from samaops.config.consistency import sections
from samaops.config.secrets import Secret
from samaops.config.settings import Ssh
from samaops.errors import RefusedError
from samaops.i18n import _
from samaops.site import jobs, shell_words
from samaops.site.jobs import Job
from samaops.site.site import Site

MARK = "# Written by samaops schedule install"
CREDENTIALS = Path("/etc/samaops/secrets")
# What systemd, cron or compose replace, take for the end of a name, or for that of a line.
_ACTS = re.compile(r"[^\w /.+@,=~-]")
_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
# What samaops may take to take back a change, and some more.
_STOP_SECONDS = 90
# Beside the limit of the run itself: systemd ends what samaops did not.
_SPARE_SECONDS = 300

# What the configuration names to be written.
_WRITTEN = {"log", "lock_directory"}
# A host's name has 64 characters at most.
_MOST_HOST_CHARACTERS = 50


class Place(Struct, frozen=True):
    """Where and as whom samaops runs here: the program, the user, its state, where changes are locked."""

    program: str
    user: str
    state: str
    locks: str


def require_plain(site: Site, place: Place) -> None:
    """Raise RefusedError for a name that one of the files would not hold as it is: each reads other signs in its own way."""
    config = str(site.configuration.absolute()) if site.configuration else ""
    paths = (config, place.state, place.locks, str(site.settings.maintenance.log), *_named_files(site))
    for name in (site.name, *paths):  # that of the site stands in comments and a description
        if not name.isprintable() or "%" in name or (name in paths and _ACTS.search(name)):
            text = _("{name} cannot be written into such a file: letters, digits, spaces and /._+@,=~- can")
            raise RefusedError(text.format(name=shell_words.quoted(name)))


def systemd(site: Site, place: Place) -> dict[str, str]:
    """Return the unit of the scheduler."""
    body = f"""[Unit]
Description=samaops: what runs by itself ({site.name})
Documentation=man:samaops(1)
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
User={place.user}
ExecStart={_command(site, place, "run")}
Restart=always
RestartSec=10
# Its polite end, after which it has ended its jobs: only then is the rest of the group ended.
SuccessExitStatus=130
KillMode=mixed
TimeoutStartSec=60
TimeoutStopSec={_STOP_SECONDS}
{_hardening(site, place)}
[Install]
WantedBy=multi-user.target
"""
    return {"samaops-schedule.service": _head(site) + body}


def timers(site: Site, place: Place) -> dict[str, str]:
    """Return a timer and a unit for each job: systemd begins them, and no scheduler runs."""
    written = {}
    for job in jobs.all_of(site):
        limit = job.limit_seconds or job.first_limit_seconds
        written[f"samaops-{job.name}.service"] = (
            _head(site)
            + f"""[Unit]
Description=samaops: {job.name} ({site.name})
Documentation=man:samaops(1)
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
User={place.user}
ExecStart={_command(site, place, f"run-now {job.name} --yes --quiet")}
# Warnings are no failure of the unit.
SuccessExitStatus=1
# RuntimeMaxSec has no effect on a oneshot; this bounds it.
TimeoutStartSec={round(limit + _SPARE_SECONDS)}
TimeoutStopSec={_STOP_SECONDS}
KillMode=mixed
Nice={job.nice}
{_hardening(site, place)}"""
        )
        calendar = "".join(f"OnCalendar={line}\n" for line in calendar_of(job))
        written[f"samaops-{job.name}.timer"] = (
            _head(site)
            + f"""[Unit]
Description=samaops: {job.name}, at {job.line} ({site.name})

[Timer]
{calendar}Persistent={"true" if job.catches_up else "false"}
RandomizedDelaySec={round(job.jitter_seconds)}
AccuracySec=1s

[Install]
WantedBy=timers.target
"""
        )
    return written


def cron(site: Site, place: Place) -> dict[str, str]:
    """Return a file for /etc/cron.d. Raises RefusedError where this machine has other hours than the schedule."""
    now = datetime.now(timezone.utc)
    for moment in (now, now + timedelta(days=182)):
        here, wanted = moment.astimezone().utcoffset(), moment.astimezone(jobs.zone_of(site)).utcoffset()
        if here != wanted:
            text = _("cron goes by this machine's clock, which is not that of {zone}; nothing was written")
            zone = site.settings.schedule.timezone
            raise RefusedError(text.format(zone=zone), hint=f"timedatectl set-timezone {zone}")
    lines = "".join(
        f"{job.line}\t{place.user}\t{_command(site, place, f'run-now {job.name} --yes --quiet')}\n".replace(
            "%", "\\%"
        )
        for job in jobs.all_of(site)
    )
    environment = "".join(f"{name}={value}\n" for name, value in _environment(place))
    return {"samaops-schedule": f"{_head(site)}{environment}{lines}"}


def compose(site: Site, place: Place) -> dict[str, str]:
    """Return a file for docker compose: the scheduler in a container of an image that has samaops.

    Its machine has a name of its own, always the same: by that the scheduler knows which runs its own machine began.
    """
    secrets = sorted({name for name, _variable in _secrets(site)})
    given = "".join(
        f'      {variable}: \'{{"file": "/run/secrets/{name}"}}\'\n' for name, variable in _secrets(site)
    )
    named = "".join(f"      - {name}\n" for name in secrets)
    files = "".join(f"  {name}:\n    file: {CREDENTIALS / name}\n" for name in secrets)
    mounted = "".join(f"      - {path}:{path}:ro\n" for path in _named_files(site))
    listed = f"    secrets:\n{named}" if secrets else ""
    declared = f"secrets:\n{files}" if secrets else ""
    body = f"""services:
  samaops-schedule:
    image: ${{SAMAOPS_IMAGE:?the image that has samaops}}
    command: ["samaops", "--config", "/etc/samaops/config.toml", "schedule", "run"]
    # The first process ends what a job left behind.
    init: true
    hostname: {socket.gethostname()[:_MOST_HOST_CHARACTERS]}-samaops
    restart: unless-stopped
    stop_grace_period: {_STOP_SECONDS}s
    read_only: true
    tmpfs: [/tmp, {place.locks}]
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    environment:
      XDG_STATE_HOME: /var/lib/samaops/state
{given}{listed}    volumes:
      - {site.configuration and site.configuration.absolute()}:/etc/samaops/config.toml:ro
{mounted}      - samaops-state:/var/lib/samaops/state
volumes:
  samaops-state: {{}}
{declared}"""
    return {"compose.samaops.yml": _head(site) + body}


def calendar_of(job: Job) -> list[str]:
    """Return the lines of OnCalendar that come when a line of cron does: of day and weekday cron takes what comes first."""
    parts = CronSim(job.line, datetime(2026, 1, 1))  # noqa: DTZ001 - only its fields are read
    clock = f"{_list(parts.hours, 24)}:{_list(parts.minutes, 60)}:00"
    months, days = _list(parts.months, 12), _list(parts.days, 31)
    weekdays = sorted({int(day) % 7 for day in parts.weekdays if isinstance(day, int)})
    names = ",".join(_DAYS[day] for day in weekdays) if len(weekdays) < len(_DAYS) else ""
    zone = str(job.zone)
    dated, weekly = f"*-{months}-{days} {clock} {zone}", f"{names} *-{months}-* {clock} {zone}"
    if not names:
        return [dated]
    if days == "*":
        return [weekly]
    return [f"{names} {dated}"] if parts.day_and else [dated, weekly]


def _list(values: object, count: int) -> str:
    numbers = sorted(value for value in values if isinstance(value, int))  # type: ignore[attr-defined]
    return "*" if len(numbers) == count else ",".join(f"{number:02d}" for number in numbers)


def _head(site: Site) -> str:
    return f"{MARK} for {site.name}; samaops schedule uninstall takes it back.\n"


def configured(site: Site) -> str:
    """Return what of a command chooses the configuration of a site, up to the next word."""
    config = ("--config", str(site.configuration.absolute())) if site.configuration else ()
    return shlex.join((*config, "schedule"))


def _command(site: Site, place: Place, words: str) -> str:
    return shlex.join((*shlex.split(place.program), *shlex.split(configured(site)), *words.split()))


def _environment(place: Place) -> tuple[tuple[str, str], ...]:
    return (("XDG_STATE_HOME", place.state),)


def _secrets(site: Site) -> Iterator[tuple[str, str]]:
    """Yield each secret that the configuration takes from the environment, and the variable that replaces it by a file."""
    for key, section in sections(site.settings):
        for name in type(section).model_fields:
            value = getattr(section, name)
            if isinstance(value, Secret) and value.env is not None:
                yield value.env, "SAMAOPS_" + "__".join(str(part).upper() for part in (*key, name))


def _named_files(site: Site) -> tuple[str, ...]:
    """Return the files that the configuration names to be read: keys, known hosts, authorities, templates, playbooks."""
    found = {
        str(value)
        for _key, section in sections(site.settings)
        for name in section.model_fields_set - _WRITTEN
        if isinstance(value := getattr(section, name), Path)
    }
    return tuple(sorted(found))


def servers_of_no_key(site: Site) -> tuple[str, ...]:
    """Return the servers to which samaops logs in with what lies in its user's home, which no container has."""
    return tuple(
        name
        for name, server in site.settings.servers.items()
        if isinstance(server.ssh, Ssh) and not {"key_file", "known_hosts"} <= server.ssh.model_fields_set
    )


def _hardening(site: Site, place: Place) -> str:
    """Return what the unit may not do. Where samaops changes this very machine, it may become root by sudo."""
    is_local = any(server.ssh == "local" for server in site.settings.servers.values())
    log = site.settings.maintenance.log.parent
    environment = "".join(f"Environment={name}={value}\n" for name, value in _environment(place))
    for name, variable in _secrets(site):
        environment += f'Environment=\'{variable}={{"file": "%d/{name}"}}\'\n'
    loaded = "".join(
        f"LoadCredential={name}:{CREDENTIALS / name}\n" for name in sorted({n for n, _v in _secrets(site)})
    )
    if is_local:
        return f"{environment}{loaded}# A server of the configuration is this machine: samaops changes it, and is not confined.\n"
    return f"""{environment}{loaded}NoNewPrivileges=true
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=true
ProtectKernelTunables=true
ProtectKernelModules=true
ProtectControlGroups=true
RestrictSUIDSGID=true
LockPersonality=true
ReadWritePaths={place.state}
ReadWritePaths=-{place.locks}
ReadWritePaths=-{log}
"""
