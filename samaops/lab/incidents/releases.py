"""Incidents of releases: a deployment that ended half-way, a way back that is gone."""

from __future__ import annotations

import json
from pathlib import Path

from samaops.i18n import N_, _
from samaops.lab import compose, engine
from samaops.lab.compose import CONTAINERS
from samaops.lab.incidents.incident import Fault, Incident, Root
from samaops.lab.incidents.site import READY_SECONDS, Site
from samaops.lab.processes import StartError
from samaops.lab.release import releases
from samaops.lab.servers import run_in
from samaops.lab.starting import wait_until

MEMBER, SERVICE = "samaconso_api_2", "api_2"
HALF = releases.RELEASES[1]
# A release that ran long ago, of which nothing but its record is left.
GONE = "sha256:" + "0ddba11" * 9 + "0"
RECORDS = Path("/data/releases")


def _bring(site: Site, release: releases.Release) -> None:
    """Let the name of production stand for a release on server api, and make one member anew."""
    server = site.server("api")
    engine.load(server, [releases.image_of(release, engine.IMAGE_PATH)])
    compose.up(server, SERVICE)
    if not wait_until(compose.ready(site.layout, MEMBER), READY_SECONDS):
        no_answer = _("no answer")
        raise StartError(f"{MEMBER}: {no_answer}")


def _images(site: Site) -> dict[str, str]:
    """Return the image of each API member; nothing where the engine does not answer."""
    names = [name for name in CONTAINERS["api"] if "_api_" in name]
    done = run_in(site.server("api"), ["docker", "inspect", "--format", "{{.Name}} {{.Image}}", *names])
    pairs = (line.split() for line in done.stdout.splitlines())
    return {name.lstrip("/"): image for name, image in pairs}


def _differ(site: Site) -> str | None:
    images = _images(site)
    if len(set(images.values())) < 2:
        return None
    return "; ".join(f"{name}: {image[7:19]}" for name, image in sorted(images.items()))


def _whole(site: Site) -> None:
    if _differ(site) is None:
        return
    half = _images(site).get(MEMBER, "")
    _bring(site, releases.FIRST)
    run_in(site.server("api"), ["docker", "rmi", half])


def _records(site: Site) -> list[Path]:
    name = f"{GONE.removeprefix('sha256:')[:12]}.json"
    return [site.server(server).outer(RECORDS / name) for server in CONTAINERS]


def _record(site: Site) -> None:
    recorded = {
        "image": GONE, "repository": releases.REPOSITORY, "version": "1.9.0", "built_at": "", "source": "",
        "recorded_at": "2025-12-01T09:00:00+00:00", "compose": "", "containers": [MEMBER], "migrations": [],
        "name": releases.RUNNING_TAG, "schema": "samaops/release/1",
    }  # fmt: skip
    for file in _records(site):
        file.parent.mkdir(mode=0o755, exist_ok=True)
        file.write_text(json.dumps(recorded) + "\n", encoding="utf-8")


def _recorded(site: Site) -> str | None:
    there = [str(RECORDS / file.name) for file in _records(site) if file.exists()]
    return _("{file} is there, and no image of it").format(file=there[0]) if there else None


def _forget(site: Site) -> None:
    for file in _records(site):
        file.unlink(missing_ok=True)


def _needs_containers(site: Site) -> str | None:
    return None if site.has_containers else _("no container engine runs here")


INCIDENTS = (
    Incident(
        id="release-half-deployed",
        runbook="api-down",
        title=N_("A deployment ended half-way"),
        does=N_(
            "The image of release 2.1.0 is loaded on server api, and one member alone is made anew of it."
        ),
        notice=N_("Every second answer is that of another release; workers may not know its tasks."),
        root=Root("releases-differ", "release/application"),
        fault=Fault(
            break_=lambda site: _bring(site, HALF), evidence=_differ, heal=_whole, refuse=_needs_containers
        ),
    ),
    Incident(
        id="rollback-impossible",
        runbook="api-down",
        title=N_("The release before is gone"),
        does=N_("A release is recorded on both servers whose image and file are not there any more."),
        notice=N_("Nobody notices, until the next release is bad and there is no way back."),
        root=Root("rollback-impossible", "release/application", status="warning"),
        fault=Fault(break_=_record, evidence=_recorded, heal=_forget, refuse=_needs_containers),
    ),
)
