"""Members of the API that run and do not serve: kept out, badly released, started otherwise than their peer, shut out of their port."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import requests

from samaops.i18n import N_, _
from samaops.lab import compose, engine
from samaops.lab.incidents.api import CONTAINER, MEMBER
from samaops.lab.incidents.incident import Fault, Incident, Root
from samaops.lab.incidents.mechanisms import switched
from samaops.lab.incidents.site import Site
from samaops.lab.incidents.tools import traffic
from samaops.lab.layout import ADDRESSES, API_PORTS, BALANCER_CONTROL_PORT, PGBOUNCER_PORT
from samaops.lab.processes import StartError
from samaops.lab.release import releases
from samaops.lab.servers import run_in
from samaops.lab.starting import wait_until

PEER = "api_2"
BAD = "2.1.1"
SECONDS = 30.0
ELSEWHERE = PGBOUNCER_PORT + 1
# It answers, and not as the API does: so is a port taken by another program.
_OTHER_PROGRAM = (
    "import socket,sys\ns=socket.create_server((sys.argv[1],int(sys.argv[2])))\n"
    "while True:\n c,_=s.accept()\n c.sendall(b'220 other program\\r\\n')\n c.close()\n"
)


def _control(site: Site, order: str) -> None:
    """Tell the balancer, as its people do."""
    url = f"http://{ADDRESSES['outside']}:{BALANCER_CONTROL_PORT}/members/{PEER}/{order}"
    if site.record("balancer_control") is not None:
        traffic.request("POST", url).raise_for_status()


def _is_out(_site: Site) -> str | None:
    url = f"http://{ADDRESSES['outside']}:{BALANCER_CONTROL_PORT}/members"
    members = [json.loads(line) for line in traffic.request("GET", url).text.splitlines()]
    if not any(member["name"] == PEER and member["state"] == "offline" for member in members):
        return None
    return _("the balancer gives {name} nothing").format(name=PEER)


def _status(member: str) -> int:
    """Return how a member answers its health path, 0 when it does not."""
    try:
        return traffic.request("GET", f"http://{ADDRESSES['api']}:{API_PORTS[member]}/health").status_code
    except requests.RequestException:
        return 0


def _await_status(member: str, status: int) -> None:
    if not wait_until(lambda: _status(member) == status, SECONDS):
        text = _("{name} does not answer with status {status}")
        raise StartError(text.format(name=member, status=status))


def _answers_errors(_site: Site) -> str | None:
    if (_status(MEMBER), _status(PEER)) != (500, 200):
        return None
    return _("{name} answers 500, and {peer} answers 200").format(name=MEMBER, peer=PEER)


def _needs_containers(site: Site) -> str | None:
    return None if site.has_containers else _("no container engine runs here")


def _release(site: Site, version: str) -> None:
    """Let one member run a release, and leave all others as they are."""
    release = releases.find(version)
    assert release is not None
    server = site.server("api")
    engine.load(server, [releases.image_of(release, engine.IMAGE_PATH)])
    _anew(site)


def _anew(site: Site) -> None:
    site.docker(CONTAINER, "rm", "-f", CONTAINER)
    compose.up(site.server("api"), MEMBER)


def _release_badly(site: Site) -> None:
    _release(site, BAD)
    _await_status(MEMBER, 500)


def _release_well(site: Site) -> None:
    _release(site, releases.FIRST.version)
    site.start(CONTAINER)
    site.docker(CONTAINER, "image", "prune", "-f")  # the bad one has lost its name


def _take_port(site: Site) -> None:
    site.stop(CONTAINER)
    address, port = site.endpoint(CONTAINER)
    site.spawn("api", (sys.executable, "-c", _OTHER_PROGRAM, address, str(port)))
    if not wait_until(lambda: _is_other(address, port), SECONDS):
        raise StartError(_("{address}:{port}: nobody answers").format(address=address, port=port))
    site.docker(CONTAINER, "start", CONTAINER)
    if not wait_until(lambda: bool(_is_shut_out(site)), SECONDS):
        raise StartError(_("{name} runs all the same").format(name=CONTAINER))


def _is_other(address: str, port: int) -> bool:
    try:
        traffic.request("GET", f"http://{address}:{port}/")
    except requests.RequestException as error:
        return "220 other program" in str(error) or "BadStatusLine" in repr(error)
    return False


def _is_shut_out(site: Site) -> str | None:
    address, port = site.endpoint(CONTAINER)
    done = run_in(site.server("api"), ["docker", "logs", "--tail", "20", CONTAINER], timeout_seconds=10)
    words = (done.stdout + done.stderr).lower()
    # It says so before it ends: only then it is one that keeps ending.
    has_ended = site.docker(CONTAINER, "inspect", "-f", "{{.RestartCount}}", CONTAINER).strip() != "0"
    if not has_ended or not _is_other(address, port) or "address already in use" not in words:
        return None
    return _("another program answers at {address}:{port}, and {name} ends").format(
        address=address, port=port, name=CONTAINER
    )


def _give_port_back(site: Site) -> None:
    site.end(site.incident)
    site.recreate(CONTAINER)  # one that is only started remembers its restarts


def _environment(site: Site) -> Path:
    server = site.server("api")
    return server.outer(server.opt / ".env.production")


def _lead_elsewhere(site: Site) -> None:
    """Start one member by an environment file that somebody is just changing."""
    file = _environment(site)
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace(f":{PGBOUNCER_PORT}/", f":{ELSEWHERE}/"), encoding="utf-8")
    try:
        _anew(site)
    finally:
        file.write_text(text, encoding="utf-8")
    _await_status(MEMBER, 200)


def _leads_elsewhere(site: Site) -> str | None:
    variables = site.docker(
        CONTAINER, "inspect", "-f", "{{range .Config.Env}}{{println .}}{{end}}", CONTAINER
    )
    lines = [line for line in variables.splitlines() if line.startswith("DATABASE_URL=")]
    if not any(f":{ELSEWHERE}/" in line for line in lines):
        return None
    return _("the environment of {name} names port {port} for the database").format(
        name=CONTAINER, port=ELSEWHERE
    )


INCIDENTS = (
    Incident(
        id="member-taken-out",
        runbook="api-down",
        title=N_("A member was left out of the balancer's pool"),
        does=N_("The balancer is told to spare api_2, and nobody tells it otherwise."),
        notice=N_("Nothing, until the other member fails: then everything."),
        root=Root("member-taken-out", f"loadbalancer/{PEER}", status="warning"),
        fault=Fault(
            break_=lambda site: _control(site, "offline"),
            evidence=_is_out,
            heal=lambda site: _control(site, "online"),
        ),
    ),
    Incident(
        id="bad-release-on-one-member",
        runbook="api-down",
        title=N_("A bad release runs on one member"),
        does=N_("samaconso_api_1 is made anew from an image that answers every request with 500."),
        notice=N_("One request in two fails, since the deployment."),
        root=Root("bad-release", f"api/{MEMBER}"),
        fault=Fault(
            break_=_release_badly, evidence=_answers_errors, heal=_release_well, refuse=_needs_containers
        ),
    ),
    Incident(
        id="api-answers-errors",
        runbook="api-down",
        title=N_("A member answers errors and stays in the pool"),
        does=N_(
            "Every request to samaconso_api_1 is answered with 500; the balancer's monitor takes any answer."
        ),
        notice=N_("One request in two fails."),
        root=Root("api-unhealthy", f"api/{MEMBER}"),
        fault=switched("api", {f"errors-{MEMBER}": ""}, evidence=_answers_errors),
    ),
    Incident(
        id="api-port-taken",
        runbook="api-down",
        title=N_("Another program has a member's port"),
        does=N_(
            "Another program listens on the port of samaconso_api_1, which ends each time it is started."
        ),
        notice=N_("One request in two fails at once, with an answer that is none of ours."),
        root=Root("container-port-taken", f"docker/{CONTAINER}"),
        fault=Fault(break_=_take_port, evidence=_is_shut_out, heal=_give_port_back, refuse=_needs_containers),
    ),
    Incident(
        id="environment-differs",
        runbook="api-down",
        title=N_("One member was started with another environment"),
        does=N_(
            "samaconso_api_1 is made anew while its environment file names another port for the database."
        ),
        notice=N_("Every second customer gets an error where the database is asked; /health is fine."),
        root=Root("environment-differs", f"docker/{CONTAINER}"),
        fault=Fault(
            break_=_lead_elsewhere,
            evidence=_leads_elsewhere,
            heal=lambda site: site.recreate(CONTAINER),
            refuse=_needs_containers,
        ),
    ),
)
