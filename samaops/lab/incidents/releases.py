"""Incidents of releases: a way back that is gone."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from samaops.i18n import N_, _
from samaops.lab.compose import CONTAINERS
from samaops.lab.incidents.incident import Fault, Incident, Root
from samaops.lab.incidents.site import Site
from samaops.lab.release import releases

MEMBER = "samaconso_api_2"
# A release that ran long ago, of which nothing but its record is left.
GONE = "sha256:" + "0ddba11" * 9 + "0"
RECORDS = Path("/data/releases")


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
        with suppress(OSError):  # there are other records, or there never was a directory
            file.parent.rmdir()


def _needs_containers(site: Site) -> str | None:
    return None if site.has_containers else _("no container engine runs here")


INCIDENTS = (
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
