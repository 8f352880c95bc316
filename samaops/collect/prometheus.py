"""What is observed of Prometheus: which targets it cannot scrape, which rules it cannot evaluate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from samaops.clients import prometheus as client
from samaops.clients.http import HttpConnection
from samaops.collect.engine import Probe
from samaops.collect.registry import collects
from samaops.collect.values import lacking, needed
from samaops.config.settings import Endpoint
from samaops.facts.prometheus import PrometheusFacts, RuleFacts, TargetFacts
from samaops.site.site import Site

WORDS_LIMIT = 200


@collects("prometheus", PrometheusFacts)
def look(endpoint: Endpoint, _site: Site, probe: Probe) -> PrometheusFacts:
    """Read the targets of the configured Prometheus."""
    return observe(endpoint, probe)


def observe(settings: Endpoint, probe: Probe) -> PrometheusFacts:
    """Read targets and rules. Raises ClientError when the targets cannot be read."""
    with HttpConnection(settings.url, timeout=settings.timeout, ca_file=settings.ca_file) as connection:
        probe.stage("targets")
        answer = client.ask(connection, settings, client.TARGETS_PATH)
        rules = probe.attempt("rules", lambda: _rules(connection, settings))
    return PrometheusFacts(
        url=settings.url.rpartition("@")[2],
        targets=tuple(_target(target) for target in _list(answer, "activeTargets")),
        rule_count=None if rules is None else len(rules),
        failing_rules=None if rules is None else tuple(rule for rule in rules if rule.error),
    )


def _rules(connection: HttpConnection, settings: Endpoint) -> tuple[RuleFacts, ...]:
    groups = _list(client.ask(connection, settings, client.RULES_PATH), "groups")
    return tuple(rule for group in groups for rule in _rules_of(group))


def _rules_of(group: Mapping[str, Any]) -> Iterator[RuleFacts]:
    for rule in _list(group, "rules"):
        is_failing = needed(rule, "health", stage="rules") == "err"
        error = str(rule.get("lastError") or ("?" if is_failing else ""))
        yield RuleFacts(str(group.get("name", "?")), str(rule.get("name", "?")), error[:WORDS_LIMIT])


def _target(shown: Mapping[str, Any]) -> TargetFacts:
    labels = shown.get("labels")
    labels = labels if isinstance(labels, dict) else {}
    return TargetFacts(
        job=str(labels.get("job") or shown.get("scrapePool") or "?"),
        instance=str(labels.get("instance", "?")),
        health=str(needed(shown, "health", stage="targets")),
        error=str(shown.get("lastError", ""))[:WORDS_LIMIT],
    )


def _list(raw: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    value = raw.get(name)
    if not isinstance(value, list) or not all(isinstance(element, dict) for element in value):
        raise lacking(name)
    return value
