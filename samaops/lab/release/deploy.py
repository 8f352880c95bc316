"""Bring out another release of the application as the team does it by hand: images, migrations, containers anew."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.i18n import _
from samaops.lab import chains, compose, engine
from samaops.lab.lab import locked
from samaops.lab.layout import Layout
from samaops.lab.outside.places import Places
from samaops.lab.processes import StartError
from samaops.lab.release import releases
from samaops.lab.release.releases import Release
from samaops.lab.servers import Server, checked_in, of_state
from samaops.lab.starting import FAULTS, wait_until
from samaops.lab.state import read_state

NEXT = "next"
# The services of the compose files that run the application's image, and their containers.
SERVICES = {
    "api": {"api_1": "samaconso_api_1", "api_2": "samaconso_api_2"},
    "workers": {
        "celery_worker_1": "samaconso_celery_worker_1",
        "celery_worker_2": "samaconso_celery_worker_2",
        "flower": "samaconso_flower",
    },
}
_VERSION = '{{index .Config.Labels "org.opencontainers.image.version"}}'
MIGRATE_SECONDS = 60.0


class Deployed(Struct, frozen=True):
    """What was brought out, over what."""

    earlier: str
    release: Release


def deploy(layout: Layout, version: str = NEXT) -> Deployed:
    """Bring out a release on both servers, the one after that which runs unless it is named.

    Raises UsageError for a release that there is not, UnavailableError where the lab is not up or something failed on
    the way, RefusedError where it has no containers.
    """
    layout = Layout(layout.directory.resolve())
    state = read_state(layout.state_file)
    if state is None:
        raise UnavailableError(_("The lab is not up"), hint="samaops lab up")
    if state.mode != "containers":
        raise RefusedError(
            _("Without containers there are no releases: {reason}").format(reason=state.mode_reason)
        )
    with locked(layout):
        try:
            return _deployed(layout, {name: of_state(layout, state, name) for name in SERVICES}, version)
        except FAULTS as error:
            raise UnavailableError(str(error).strip(), hint="samaops lab status") from error


def _deployed(layout: Layout, servers: Mapping[str, Server], version: str) -> Deployed:
    earlier = running_version(servers["api"])
    release = _chosen(earlier, version)
    chains.together([functools.partial(_load, server, release) for server in servers.values()])
    alembic(layout, servers["api"], "upgrade", release.revisions[-1])
    chains.together(
        [functools.partial(compose.up, server, *SERVICES[name]) for name, server in servers.items()]
    )
    if not release.fault:
        _await(layout)
    return Deployed(earlier, release)


def running_version(server: Server) -> str:
    """Return which release the first member runs, by what its container has from its image."""
    return checked_in(server, ["docker", "inspect", "--format", _VERSION, "samaconso_api_1"]).strip()


def _chosen(earlier: str, version: str) -> Release:
    known = [release.version for release in releases.RELEASES]
    if version == NEXT:
        place = known.index(earlier) + 1
        if place == len(known):
            raise RefusedError(_("{version} is the lab's last release").format(version=earlier))
        return releases.RELEASES[place]
    release = releases.find(version)
    if release is None:
        text = _("The lab has no release {version!r}")
        raise UsageError(text.format(version=version), hint=", ".join([NEXT, *known]))
    return release


def _load(server: Server, release: Release) -> None:
    engine.load(server, [releases.image_of(release, engine.IMAGE_PATH)])


def alembic(layout: Layout, server: Server, *words: str) -> str:
    """Run Alembic in a container of the release that production's name stands for, and return what it said."""
    outside = Places.of(layout)
    mounts = [*engine.mounts(), *(f"{path}:{path}:ro" for path in (outside.tls, outside.service_account))]
    command = ["docker", "run", "--rm", "--network", "host", "--workdir", "/app"]
    command += ["--env-file", str(Path(server.opt) / ".env.production")]
    command += [word for mount in mounts for word in ("--volume", mount)]
    command += [releases.RUNNING_TAG, sys.executable, "-m", "alembic", *words]
    return checked_in(server, command, timeout_seconds=MIGRATE_SECONDS)


def _await(layout: Layout) -> None:
    for containers in SERVICES.values():
        for container in containers.values():
            if not wait_until(compose.ready(layout, container), compose.READY_SECONDS):
                no_answer = _("no answer")
                raise StartError(f"{container}: {no_answer}")
