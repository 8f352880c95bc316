"""The guide's tests of load and resilience: on the lab, or on a site that says of itself that it is for tests; on no other."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from msgspec import Struct, to_builtins

from samaops.changes.docker.restart import state_of
from samaops.changes.readings import UnreadableError
from samaops.changes.verbs import verb
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.facts.observation import Snapshot
from samaops.i18n import N_, _
from samaops.model.plan import Condition, Operation, Plan, Risk, Step, shell
from samaops.site.commands import LAB_SITE
from samaops.site.site import Site

MEASURE = "checklist.measure"
LOAD, RAMP, MEMBER, WORKER = "load", "ramp", "member", "worker"
NAMES = (LOAD, RAMP, MEMBER, WORKER)
# The guide: 1,000 requests at once; what a step of the growing load has to keep.
AT_ONCE = 1000
RATES, STEP_SECONDS, LIMIT_MS = (10, 25, 50, 100), 5.0, 500.0
# While a part is stopped: so many requests a second, for so long. The F5 of the guide looks every 10 s, and waits 30 s.
REQUESTS_A_SECOND, STOPPED_SECONDS, TAKEOVER_SECONDS = 20, 30.0, 31.0
# When the server itself starts the container again, whatever has become of us.
START_ANYWAY_SECONDS = 120
_SECONDS = 180.0
_TITLES = {
    LOAD: N_("Send {count} requests to {url} at once"),
    RAMP: N_("Send {rates} requests a second to {url}, {seconds:g} s each"),
    MEMBER: N_("Stop {container} for {stopped:g} s while requests go to {url}, and start it again"),
    WORKER: N_("Stop {container} for {stopped:g} s while requests go to {url}, and start it again"),
}


class Measuring(Struct, frozen=True):
    """What is measured: requests to this address; ``container`` is stopped meanwhile on ``server``, none where it is ""."""

    name: str
    url: str
    container: str = ""
    server: str = ""


def is_lab(site: Site) -> bool:
    """Return whether a site is the lab: its name, and an address of this machine alone."""
    balancer = site.settings.loadbalancer
    if site.settings.site != LAB_SITE or balancer is None:
        return False
    try:
        return ipaddress.ip_address(urlsplit(balancer.url).hostname or "").is_loopback
    except ValueError:
        return False


def is_for_tests(site: Site) -> bool:
    """Return whether nobody is served by a site."""
    return is_lab(site) or site.settings.safety.is_test_site


def require_test_site(site: Site) -> None:
    """Raise RefusedError unless nobody is served by this site."""
    if not is_for_tests(site):
        text = _(
            "{site} is no test site: load and failures are tried on the lab, or where [safety] is_test_site = true;"
            " nothing was done"
        )
        raise RefusedError(text.format(site=site.name), hint="samaops lab up")


def _looks(site: Site, name: str) -> tuple[str, ...]:
    if name not in NAMES:
        text = _("{name} is nothing that is measured; there are {names}")
        raise UsageError(text.format(name=name, names=", ".join(NAMES)), hint="samaops checklist show tests")
    require_test_site(site)
    _target(site, name)
    return ("docker.container",) if name in (MEMBER, WORKER) else ()


def _target(site: Site, name: str) -> Measuring:
    """Return what is measured. Raises RefusedError where the site has nothing to measure it on."""
    balancer = site.settings.loadbalancer
    if balancer is None:
        raise RefusedError(_("[loadbalancer] is not configured: there is no address to send requests to"))
    url = balancer.url.rstrip("/") + balancer.health_path
    if name in (LOAD, RAMP):
        return Measuring(name, url)
    if name == MEMBER and len(site.members()) < 2:
        raise RefusedError(_("the API has no second member that could take over; nothing was done"))
    placed = (
        [(member.container, member.server) for member in site.members()]
        if name == MEMBER
        else [(worker.container, worker.server) for worker in site.workers().values()]
    )
    container, server = next(((each, place) for each, place in placed if each), ("", ""))
    if not container:
        raise RefusedError(_("no container is configured that could be stopped; nothing was done"))
    return Measuring(name, url, container, server)


@verb("checklist measure", looks=_looks)
def plan_measure(snapshot: Snapshot, site: Site, name: str) -> Plan:
    """Plan one of the guide's tests, and that its figures are kept."""
    require_test_site(site)
    of = _target(site, name)
    title = _(_TITLES[name]).format(
        count=AT_ONCE, url=of.url, rates=", ".join(map(str, RATES)), seconds=STEP_SECONDS,
        container=of.container, stopped=STOPPED_SECONDS,
    )  # fmt: skip
    operation = Operation(MEASURE, to_builtins(of), server=of.server or None, timeout_seconds=_SECONDS)
    if not of.container:
        step = Step(
            "checklist.measure", title, Risk.DISRUPTIVE, operation, (), (),
            no_undo=_("requests that only read leave nothing to take back"), servers=(),
            about=f"checklist/{name}",
        )  # fmt: skip
        return Plan("checklist measure", (name,), title, target=name, steps=(step,))
    try:
        state = state_of(snapshot, of.server, of.container)
    except UnreadableError as error:
        raise UnavailableError(_("Could not look at the container: {reason}").format(reason=error)) from error
    if state != "running":
        text = _("{container} does not run: nothing can be learned by stopping it; nothing was done")
        raise RefusedError(text.format(container=of.container), hint="samaops diagnose --only docker")
    runs = Condition(
        "docker.state", (of.server, of.container), "running", _("{name} runs").format(name=of.container)
    )
    step = Step(
        "checklist.measure", title, Risk.DISRUPTIVE, operation, (runs,), (runs,),
        undo=shell(f"docker start {of.container}", of.server), servers=(of.server,),
        about=f"docker/{of.container}",
    )  # fmt: skip
    note = _("{server} starts {container} by itself after {seconds} s, whatever becomes of this run")
    notes = (note.format(server=of.server, container=of.container, seconds=START_ANYWAY_SECONDS),)
    return Plan("checklist measure", (name,), title, target=name, steps=(step,), notes=notes)
