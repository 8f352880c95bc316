"""Against the ecosystem's own tools for the same looks, all started side by side by tools.sh."""

from __future__ import annotations

import sys
from pathlib import Path

import installation
import sampling
import subjects
from guide import Measuring, refuse_failed
from msgspec.structs import replace
from table import Part, ratio

from samaops.lab import storage
from samaops.lab.incidents.site import Site
from samaops.lab.layout import (
    AMQP_PORT,
    API_ADDRESS,
    BROKER_USER,
    DB_ADDRESS,
    MONITORING_USER,
    OUTSIDE_ADDRESS,
    POSTGRESQL_PORT,
    PROXY_PORT,
    S3_PORT,
    VIP_PORT,
    Layout,
)
from samaops.lab.outside.places import Places

BOUND = 0.4


def measure(layout: Layout, measuring: Measuring) -> Part:
    """Measure the tools and a full diagnose in turns."""
    commands = subjects.of(layout)
    script = str(Path(__file__).with_name("tools.sh"))
    tools = sampling.Command("the tools", (script,), {**commands.script.variables, **_variables(layout)})
    series = sampling.in_turns((tools, replace(commands.everything, name="everything")), measuring.samples)
    failed = next((sample for sample in series["the tools"].samples if sample.exit_code), None)
    if failed is not None:
        sys.exit(f"the tools could not look, ratios would mean nothing: {failed.output.strip()[-1500:]}")
    refuse_failed(series["everything"])
    theirs, own = series["the tools"], series["everything"]
    bound = BOUND * measuring.tolerance
    return Part(
        (
            ratio("everything / the tools", theirs.seconds, own.seconds, bound),
            ratio("the same, processor time", theirs.processor_seconds, own.processor_seconds, bound),
        ),
        (
            f"The tools take {theirs.spread[0]:.1f} to {theirs.spread[1]:.1f} s; what runs on the servers counts for neither.",
        ),
    )


def _variables(layout: Layout) -> dict[str, str]:
    secrets = layout.secrets()
    backups = Site.open(layout).server("db").data / storage.BACKUPS
    return {
        "CHECK_PGACTIVITY": str(installation.CHECK_PGACTIVITY),
        "CELERY": str(Path(sys.executable).with_name("celery")),
        "MONITORING_USER": MONITORING_USER,
        "MONITORING_PASSWORD": secrets.monitoring_password,
        "POSTGRESQL_PORT": str(POSTGRESQL_PORT),
        "ADMIN_USER": "postgres",
        "ADMIN_PASSWORD": secrets.postgres_password,
        "AMQP_URL": f"amqp://{BROKER_USER}:{secrets.rabbitmq_password}@{API_ADDRESS}:{AMQP_PORT}//",
        "SSH_CONFIG": str(layout.directory / "ssh" / "config"),
        "BACKUPS": str(backups),
        "MINIO_URL": f"http://{DB_ADDRESS}:{S3_PORT}",
        "VIP_URL": f"http://{OUTSIDE_ADDRESS}:{VIP_PORT}",
        "PROXY_URL": f"http://{OUTSIDE_ADDRESS}:{PROXY_PORT}",
        "CA_FILE": str(Places.of(layout).ca_bundle),
    }
