"""Judge Flower: whether it answers, and whether it sees the workers. The broker is the judge of the queues."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.registry import Context, access, check
from samaops.facts.flower import API_CLOSED, FlowerFacts
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.site.commands import on_server
from samaops.site.shell_words import operands

access(
    "flower.service.unreachable",
    FlowerFacts,
    title=lambda flower: _("Flower answers in {milliseconds:.0f} ms").format(
        milliseconds=flower.milliseconds
    ),
    evidence=lambda flower: {"milliseconds": flower.milliseconds},
)


@check("flower.credentials.default", FlowerFacts)
def credentials(flower: FlowerFacts, context: Context) -> Iterator[Finding]:
    evidence = {
        "uses_default_password": flower.uses_default_password,
        "has_password": flower.has_password,
        "authentication": flower.authentication,
    }
    if flower.authentication == API_CLOSED:
        title = _("Flower has no authentication: its API is closed, and its pages are open to anybody")
        yield context.warn(title, detail=_("start it with --basic-auth"), evidence=evidence)
    elif flower.authentication == "absent" and flower.has_password:
        title = _("Flower has no authentication: it answers anybody, with or without our password")
        yield context.warn(title, detail=_("start it with --basic-auth"), evidence=evidence)
    elif flower.uses_default_password:
        yield context.warn(_("Flower is used with the known password admin/admin"), evidence=evidence)
    elif not flower.has_password:
        yield context.warn(_("Flower answers without a password"), evidence=evidence)
    else:
        yield context.ok(_("Flower has a password of its own"), evidence=evidence)


@check("flower.workers.unseen", FlowerFacts, unit="workers")
def unseen(flower: FlowerFacts, context: Context) -> Iterator[Finding]:
    expected = list(context.site.workers())
    online = sorted(name for name, is_online in flower.online.items() if is_online)
    keys = {name.partition("@")[0] for name in online}
    lacking = [key for key in expected if key not in keys]
    evidence = {"online": online[:20], "expected": expected, "missing": lacking}
    if lacking:
        title = _("Flower hears nothing of {workers}").format(workers=", ".join(lacking))
        yield context.warn(title, value=len(lacking), evidence=evidence, hint=_logs(context))
    else:
        yield context.ok(
            _("Flower sees {count} workers").format(count=len(online)), value=0, evidence=evidence
        )


def _logs(context: Context) -> str | None:
    flower = context.site.settings.flower
    if flower is None or flower.container is None:
        return None
    return on_server(context.site, flower.server, f"docker logs --tail 50 {operands(flower.container)}")
