"""The reason that a failing part has written into its log: what the causes say of it, and what to do about it."""

from __future__ import annotations

from msgspec import Struct

from samaops.causes.root import safe
from samaops.causes.view import View
from samaops.i18n import N_, _
from samaops.model.cause import Fix
from samaops.model.finding import Finding
from samaops.site.commands import on_server
from samaops.site.shell_words import operands

# Of a container that ends again and again nothing can be executed: these work on one that does not run, too.
_MOUNTS = "docker inspect -f '{{{{json .Mounts}}}}' {name}"
_IMAGE = "docker inspect -f '{{{{.Config.Image}}}} {{{{.Image}}}}' {name}"
_VARIABLES = "docker inspect -f '{{{{range .Config.Env}}}}{{{{println .}}}}{{{{end}}}}' {name} | cut -d= -f1"
_HOSTS = "cat $(docker inspect -f '{{{{.HostsPath}}}} {{{{.ResolvConfPath}}}}' {name})"
_ADVICE = {
    "module": (N_("Compare its image with its peers', and go back to the last one that ran"), _IMAGE),
    "code": (N_("Compare its image with its peers', and go back to the last one that ran"), _IMAGE),
    "variable": (
        N_("Put the variable right in its environment file or compose file, and create it again"),
        _VARIABLES,
    ),
    "file": (N_("See what is mounted into it, and put the file where it is looked for"), _MOUNTS),
    "rights": (N_("See what is mounted into it, and give its user the right"), _MOUNTS),
    "read-only": (
        N_("See what is mounted read-only into it, and whether its file system went read-only"),
        _MOUNTS,
    ),
    "space": (N_("Find what fills the file system it writes to"), "df -h"),
    "quota": (
        N_("See whose quota refuses it: its user's, its group's, or the project's of that directory"),
        "repquota -augP",
    ),
    "memory": (N_("Compare its memory limit with what it uses"), "docker stats --no-stream"),
    "login": (N_("Compare the user and the password it is given with those of its peers"), _VARIABLES),
    "rejected": (N_("Read pg_hba.conf from above: the first line that fits decides"), _VARIABLES),
    "host": (N_("See how it looks names up"), _HOSTS),
    "certificate": (N_("See which certificates it is given, and whether they are in it"), _VARIABLES),
    "port": (N_("See who listens there"), "ss -ltnp"),
}


# What is older was there while it still served; and of a service that is down, what its clients were refused says nothing.
_LATELY_SECONDS, _ENDING_SECONDS = 300, 120
_ENDING = (
    "module",
    "code",
    "variable",
    "file",
    "rights",
    "read-only",
    "space",
    "quota",
    "memory",
    "port",
    "damaged",
    "certificate",
)


class LogReason(Struct, frozen=True):
    """Why something fails, as its log has it: ``kind`` is empty where nobody knows these words."""

    kind: str
    words: str

    @property
    def spoken(self) -> tuple[str, ...]:
        """It as what speaks for a cause."""
        return (self.words,)


def of_finding(finding: Finding) -> LogReason | None:
    """Return the reason that a finding has from a log."""
    words = finding.evidence.get("words")
    return LogReason(str(finding.evidence.get("reason") or ""), str(words)) if words else None


def of_container(view: View, container: str | None) -> LogReason | None:
    """Return the reason in the log of a container: its last words when it ended, its latest trouble when it runs."""
    return _of(view, f"docker/{container}", ("docker.container.*", "docker.log.trouble"))


def of_service(view: View, system: str) -> LogReason | None:
    """Return why a service ended, where its log says so: that of its container, or that on its server."""
    container = getattr(view.site.section(system), "container", None)
    logs = view.findings_of("docker.log.trouble" if container else "servers.log.trouble")
    is_its = f"docker/{container}" if container else f"{system}/"
    written = (log for log in logs if log.subject.startswith(is_its) and _age(log) <= _ENDING_SECONDS)
    return next((reason for log in written if (reason := of_finding(log)) and reason.kind in _ENDING), None)


def _of(view: View, subject: str, patterns: tuple[str, ...]) -> LogReason | None:
    written = (
        finding for pattern in patterns for finding in view.findings_of(pattern) if finding.subject == subject
    )
    return next(
        (reason for log in written if _age(log) <= _LATELY_SECONDS and (reason := of_finding(log))), None
    )


def _age(finding: Finding) -> float:
    """Return how old the line is in seconds; that of what ended is as old as its end."""
    age = finding.evidence.get("age_seconds")
    return float(age) if isinstance(age, (int, float)) else 0.0


def with_reason(title: str, reason: LogReason | None) -> str:
    """Return a title with the reason behind it."""
    return _("{title}: {reason}").format(title=title, reason=reason.words) if reason else title


def suspects(view: View, container: str | None) -> tuple[str, ...]:
    """Return in what a container differs from its peers, which may be why it fails."""
    subject = f"docker/{container}"
    codes = ("docker.container.environment", "docker.container.reach", "docker.image.differs")
    return tuple(finding.title for code in codes for finding in view.bad(code) if finding.subject == subject)


def advice(view: View, finding: Finding, container: str, reason: LogReason | None) -> tuple[Fix, ...]:
    """Return what to do about a known reason, with a command that works on a container that does not run."""
    known = _ADVICE.get(reason.kind) if reason else None
    if known is None:
        return ()
    text, look = known
    return (
        safe(
            "reason.look",
            _(text),
            on_server(view.site, finding.server, look.format(name=operands(container))),
        ),
    )
