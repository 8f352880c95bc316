"""Roots in RabbitMQ where it answers and refuses the application: virtual host, limits, rights, exchange, binding."""

from __future__ import annotations

from samaops.causes.effects import codes, name_of
from samaops.causes.root import Rank, Root, disruptive, root, safe, words_of
from samaops.causes.task_exceptions import log_speaks_of
from samaops.causes.topology import NOT_PUBLISHED, QUEUE_WAITS, effects_on_dependents
from samaops.causes.view import View
from samaops.i18n import _
from samaops.model.cause import Fix, Verdict
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import in_broker, samaops
from samaops.site.shell_words import operands, quoted
from samaops.site.site import Site

# Who is refused has no broker: what that does elsewhere is the same.
_CLIENTS_REFUSED = (
    *codes("rabbitmq.amqp.refused", *QUEUE_WAITS),
    *codes("docker.container.restarting", when=log_speaks_of("rabbitmq")),
    *effects_on_dependents("rabbitmq"),
)


@root(
    "broker-vhost-stopped",
    on="rabbitmq.vhost.down",
    rank=Rank.STATE,
    runbook="notifications",
    effects=(*_CLIENTS_REFUSED, *codes("rabbitmq.queue.*", "rabbitmq.connection.*", "rabbitmq.messages.*")),
    distinguished_from=("worker-down", "rabbitmq-down"),
)
def vhost_stopped(finding: Finding, view: View) -> Root:
    """The broker runs, and not the virtual host of the application."""
    vhost = str(finding.evidence.get("vhost") or "/")
    refused = [other.title for other in view.bad("rabbitmq.amqp.refused")]
    text = _(
        "Read in the broker's log why it stopped, then start it again: the workers come back by themselves; "
        "restart none of them"
    )
    return Root(
        _("The virtual host {vhost} of RabbitMQ is stopped: the broker runs and refuses every client").format(
            vhost=vhost
        ),
        (
            safe(
                "broker.restart_vhost",
                text,
                in_broker(view.site, "rabbitmqctl restart_vhost", of_vhost=True),
            ),
        ),
        speaks_for=(words_of(finding), *refused),
    )


@root(
    "broker-limit-reached",
    on="rabbitmq.limit.reached",
    rank=Rank.STATE,
    runbook="notifications",
    effects=_CLIENTS_REFUSED,
    distinguished_from=("worker-down",),
)
def limit_reached(finding: Finding, view: View) -> Root | None:
    """A limit of the virtual host or of a user keeps new clients out; those who are in stay in."""
    if finding.status is not Status.CRITICAL:
        return None
    evidence = finding.evidence
    is_vhost, name = evidence.get("kind") == "vhost", str(evidence.get("name"))
    noun, option = ("vhost", "-p ") if is_vhost else ("user", "")
    look = f"rabbitmqctl -q list_{noun}_limits {'-p' if is_vhost else '--user'} {quoted(name)}"
    names = quoted(name) if is_vhost else operands(name, str(evidence.get("limit")))
    clear = f"rabbitmqctl clear_{noun}_limits {option}{names}"
    text = _(
        "See who set it and who uses it; raise or clear it: those who were refused come back by themselves"
    )
    return Root(
        _("RabbitMQ refuses new clients: the limit {limit} of {name} is reached").format(
            limit=evidence.get("limit"), name=name
        ),
        (
            safe(
                "broker.limit",
                text,
                in_broker(view.site, look),
                in_broker(view.site, clear),
            ),
        ),
        speaks_for=(words_of(finding), *(other.title for other in view.bad("rabbitmq.amqp.refused"))),
    )


@root(
    "broker-rights-missing",
    on="rabbitmq.rights.missing",
    rank=Rank.STATE,
    runbook="notifications",
    effects=_CLIENTS_REFUSED,
    distinguished_from=("nothing-published", "worker-not-consuming", "container-crash-loop"),
)
def rights_missing(finding: Finding, view: View) -> Root:
    """The broker takes messages, and not from the user of the application."""
    is_sure = finding.status is Status.CRITICAL
    look = in_broker(view.site, "rabbitmqctl -q list_permissions", of_vhost=True)
    text = _(
        "See which rights were meant, and give the user back what it lacks: set_permissions replaces all three"
    )
    others = _("another user may do it: this one need not publish or consume")
    late = [other.title for other in view.bad(NOT_PUBLISHED)]
    return Root(
        fixes=(safe("broker.rights", text, look),),
        verdict=Verdict.CONFIRMED if is_sure else Verdict.PROBABLE,
        speaks_for=(finding.title, *late),
        speaks_against=() if is_sure else (others,),
    )


@root(
    "broker-exchange-missing",
    on="rabbitmq.exchange.missing",
    rank=Rank.PART,
    runbook="notifications",
    effects=codes(
        "rabbitmq.exchange.unbound",
        "rabbitmq.messages.unroutable",
        NOT_PUBLISHED,
        "api.health.*",
        "docker.log.requests",
    ),
    distinguished_from=("nothing-published",),
)
def exchange_missing(finding: Finding, view: View) -> Root:
    """What the application publishes to is gone."""
    late = [other.title for other in view.bad(NOT_PUBLISHED)]
    return Root(fixes=_declare_again(view.site), speaks_for=(finding.title, *late))


@root(
    "broker-binding-missing",
    on="rabbitmq.exchange.unbound",
    rank=Rank.PART,
    runbook="notifications",
    effects=codes("rabbitmq.messages.unroutable"),
    distinguished_from=("messages-dropped", "queue-missing"),
)
def binding_missing(finding: Finding, view: View) -> Root:
    """The exchange takes the messages and gives them to no queue."""
    lost = [other.title for other in view.bad("rabbitmq.messages.unroutable")]
    bound = _("other queues are bound to it: {queues}").format(
        queues=", ".join(finding.evidence.get("bound") or ())
    )
    return Root(
        fixes=_declare_again(view.site),
        verdict=Verdict.CONFIRMED if finding.status is Status.CRITICAL or lost else Verdict.PROBABLE,
        speaks_for=(finding.title, *lost, *((bound,) if finding.evidence.get("bound") else ())),
    )


def _declare_again(site: Site) -> tuple[Fix, ...]:
    text = _(
        "Restart one worker: it declares exchange, queues and bindings; then have sent again what was lost"
    )
    restarts = [samaops(site, f"workers restart {operands(name)}") for name in site.workers()]
    return (disruptive("broker.declare", text, *restarts[:1]),)


@root(
    "queue-not-serving",
    on="rabbitmq.queue.down",
    rank=Rank.PART,
    runbook="notifications",
    effects=(
        *codes("rabbitmq.queue.*", subject="{subject}"),
        *codes("celery.queue.*", subject="celery/{name}"),
        *codes("celery.worker.not_consuming"),
    ),
    distinguished_from=("queue-without-consumer",),
)
def queue_down(finding: Finding, view: View) -> Root:
    """Its process has crashed, its node is down, or it has no leader."""
    text = _("Read in the broker's log why; bring its node back. Never delete the queue: it holds what waits")
    command = in_broker(
        view.site, "rabbitmqctl -q list_queues name type state leader members online", of_vhost=True
    )
    return Root(
        _("The queue {queue} does not serve: it is {state}").format(
            queue=name_of(finding), state=finding.evidence.get("state")
        ),
        (safe("queue.state", text, command),),
    )


@root(
    "broker-refuses-clients",
    on="rabbitmq.amqp.refused",
    rank=Rank.PART,
    runbook="notifications",
    effects=_CLIENTS_REFUSED,
)
def clients_refused(finding: Finding, view: View) -> Root:
    """The broker says why, in its own words; nothing nearer explains them."""
    text = _("Do what its words ask for: the workers come back by themselves once it lets them in")
    logs = in_broker(view.site, "rabbitmq-diagnostics -q log_tail --number 50")
    return Root(
        fixes=(safe("broker.log", text, logs),), verdict=Verdict.PROBABLE, speaks_for=(finding.title,)
    )
