"""Judge Flower: whether it answers, and whether it sees the workers. The broker is the judge of the queues."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from samaops.checks.registry import Context, Explanation, check
from samaops.facts.flower import FlowerFacts
from samaops.i18n import N_, _
from samaops.model.finding import Finding
from samaops.site.commands import on_server


@check(
    "flower.service.unreachable",
    title=N_("Flower answers"),
    facts=FlowerFacts,
    access=True,
    explain=Explanation(
        meaning=N_(
            "The monitor of Celery does not answer. Notifications go out without it; nobody sees tasks fail."
        ),
        confirm=("curl -si -u <user> 'http://<serveur workers>:5555/api/workers?status=1'",),
        fix=N_("Read docker logs samaconso_flower; restart that container: it holds no data."),
        avoid=N_("Do not restart the workers for it."),
    ),
)
def answers(flower: FlowerFacts, context: Context) -> Iterator[Finding]:
    title = _("Flower answers in {milliseconds:.0f} ms").format(milliseconds=flower.milliseconds)
    yield context.ok(title, evidence={"milliseconds": flower.milliseconds})


@check(
    "flower.credentials.default",
    title=N_("Flower does not use admin/admin"),
    facts=FlowerFacts,
    explain=Explanation(
        meaning=N_(
            "Flower is open to anybody who guesses admin/admin, or asks for no password: it can stop workers."
        ),
        confirm=("curl -si 'http://<serveur workers>:5555/api/workers?status=1' | head -1",),
        fix=N_("Set FLOWER_USER and FLOWER_PASS in .env.production and recreate the container of Flower."),
    ),
)
def credentials(flower: FlowerFacts, context: Context) -> Iterator[Finding]:
    evidence = {"uses_default_password": flower.uses_default_password, "has_password": flower.has_password}
    if flower.uses_default_password:
        yield context.warn(_("Flower is used with the known password admin/admin"), evidence=evidence)
    elif not flower.has_password:
        yield context.warn(_("Flower answers without a password"), evidence=evidence)
    else:
        yield context.ok(_("Flower has a password of its own"), evidence=evidence)


@check(
    "flower.workers.unseen",
    title=N_("Flower sees every expected worker"),
    facts=FlowerFacts,
    unit="workers",
    explain=Explanation(
        meaning=N_(
            "Flower gets no heartbeats of a worker. Its view lags: the broker says whether the worker is there."
        ),
        confirm=("curl -s -u <user> 'http://<serveur workers>:5555/api/workers?status=1'",),
        fix=N_("When the broker shows the worker's consumers, restart Flower; otherwise look at the worker."),
        avoid=N_("Do not trust an empty list of Flower alone: it is empty after each of its restarts."),
    ),
)
def unseen(flower: FlowerFacts, context: Context) -> Iterator[Finding]:
    expected = list(context.site.settings.celery.workers) if context.site.settings.celery else []
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


def _logs(context: Context) -> str:
    flower = context.site.settings.flower
    if flower is None or flower.container is None:
        return f"samaops explain {context.rule.code}"
    return on_server(context.site, flower.server, f"docker logs --tail 50 {shlex.quote(flower.container)}")
