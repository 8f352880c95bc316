"""What a shell offers for a value: names of the configuration, codes, causes, changes. Nothing is connected to.

It is asked while somebody types: a configuration that cannot be read offers nothing, and says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps

import typer

from samaops.changes.docker.roll import API, WORKERS
from samaops.checks.registry import rules
from samaops.cli import configuration_file
from samaops.cli.global_options import Globals
from samaops.config import checklists as lists
from samaops.config import playbooks
from samaops.config import sites as known_sites
from samaops.config.notify_soundness import CHANNELS
from samaops.errors import SamaopsError
from samaops.facts.systems import SYSTEMS
from samaops.i18n import _
from samaops.journal import history as journal
from samaops.site import jobs as planned
from samaops.site.site import Site
from samaops.workflows import causal_graph, documentation, history
from samaops.workflows.database import beside
from samaops.workflows.database.activity import STATES
from samaops.workflows.database.connections import BY
from samaops.workflows.maintenance.routines import ROUTINES

# A shell shows no more of a history than fits a screen.
_MOST_CHANGES = 30
Offered = Iterator[tuple[str, str]]
Completer = Callable[[typer.Context, str], list[tuple[str, str]]]


def _of_site(offer: Callable[[Site, typer.Context], Offered]) -> Completer:
    """Return what offers values of the site that the line chooses so far."""

    @wraps(offer)
    def complete(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:  # noqa: ARG001 - typer filters
        try:
            return list(offer(configuration_file.site(ctx.obj or Globals()), ctx))
        except SamaopsError:
            return []

    complete.__annotations__ = {"ctx": typer.Context, "incomplete": str}
    del complete.__wrapped__  # typer would read the parameters of the inner one
    return complete


@_of_site
def queues(site: Site, _ctx: typer.Context) -> Offered:
    """Offer the queues."""
    yield from ((name, "") for name in site.queues())


@_of_site
def workers(site: Site, _ctx: typer.Context) -> Offered:
    """Offer the Celery workers with the queues of each."""
    yield from ((name, ", ".join(worker.queues)) for name, worker in site.workers().items())


@_of_site
def containers(site: Site, _ctx: typer.Context) -> Offered:
    """Offer the containers with their servers."""
    yield from ((name, server) for server, names in site.containers().items() for name in names)


def rolled(_ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Offer what is restarted by turns."""
    return [(name, "") for name in (API, WORKERS) if name.startswith(incomplete)]


@_of_site
def members(site: Site, _ctx: typer.Context) -> Offered:
    """Offer the members of the API; the balancer, which may have other names of them, is not asked."""
    yield from ((member.name, member.url) for member in site.members())


@_of_site
def jobs(site: Site, _ctx: typer.Context) -> Offered:
    """Offer the jobs of the scheduler with what each runs."""
    yield from ((job.name, " ".join(job.words)) for job in planned.all_of(site))


def checklists(_ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Offer the checklists with their titles."""
    return [(name, str(each.title)) for name, each in lists.all_of().items() if name.startswith(incomplete)]


@_of_site
def channels(site: Site, _ctx: typer.Context) -> Offered:
    """Offer the channels by which somebody is told."""
    notify = site.settings.notify
    yield from ((name, "") for name in CHANNELS if getattr(notify, name) is not None)
    yield from ((name, "") for name in notify.webhooks)


@_of_site
def servers(site: Site, _ctx: typer.Context) -> Offered:
    """Offer the servers with their addresses."""
    yield from ((name, server.address) for name, server in site.settings.servers.items())


def sites(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:  # noqa: ARG001 - typer filters
    """Offer the sites with their files, after what a comma ends."""
    before, comma, _name = incomplete.rpartition(",")
    try:
        return [(f"{before}{comma}{name}", str(path)) for name, path in known_sites.all_of().items()]
    except SamaopsError:
        return []


@_of_site
def changes(site: Site, _ctx: typer.Context) -> Offered:
    """Offer the last changes of a journal on this machine, newest first; another one would have to be connected to."""
    if journal.database_of(site.settings).startswith("sqlite"):
        for change in history.changes(site, _MOST_CHANGES):
            yield change.id, change.title


@_of_site
def symptoms(site: Site, _ctx: typer.Context) -> Offered:
    """Offer what ``troubleshoot`` takes: the playbooks, and its two other words."""
    yield from (
        (name, str(playbook.title or "")) for name, playbook in playbooks.all_of(site.settings).items()
    )
    yield from (("list", ""), ("show", ""), ("all", ""))


@_of_site
def fixes(site: Site, ctx: typer.Context) -> Offered:
    """Offer the fixes of the playbook that the line names."""
    playbook = playbooks.all_of(site.settings).get(str(ctx.params.get("playbook")))
    yield from ((name, str(fix.title)) for name, fix in (playbook.fixes if playbook else {}).items())


def codes_and_causes(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:  # noqa: ARG001 - typer filters
    """Offer what ``explain`` takes."""
    codes = [(rule.code, rule.title) for rule in rules()]
    return [*codes, *((cause, "") for cause in causal_graph.causes()), (beside.TOPIC, "")]


def selection(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Offer systems, codes once a system is typed, and ``@SERVER`` behind either; after what a comma ends."""
    before, comma, name = incomplete.rpartition(",")
    asked, at, _server = name.partition("@")
    if at:
        names = [(f"{asked}@{server}", text) for server, text in servers(ctx, "")]
    elif "." in asked:
        names = [(rule.code, rule.title) for rule in rules((asked.partition(".")[0],))]
    else:
        names = [(system, "") for system in SYSTEMS]
    return [(f"{before}{comma}{offered}", text) for offered, text in names]


def tasks(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Offer the tasks of the routine that is typed, or of all, after what a comma ends."""
    before, comma, _name = incomplete.rpartition(",")
    return [
        (f"{before}{comma}{task.id}", _(task.title))
        for routine in ROUTINES
        if ctx.info_name in (routine.name, "run")
        for task in routine.tasks
    ]


def session_states(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:  # noqa: ARG001 - typer filters
    """Offer what a session may do."""
    return [(state, "") for state in STATES]


def kinds_of_connections(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:  # noqa: ARG001 - a completer's signature
    """Offer by what connections are counted, after what a comma ends."""
    before, comma, _name = incomplete.rpartition(",")
    return [(f"{before}{comma}{name}", "") for name in BY]


def documents(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:  # noqa: ARG001 - typer filters
    """Offer the pages of the documentation."""
    return [(page.name, page.title) for page in documentation.pages()]
