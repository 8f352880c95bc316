"""`config check` names each secret that would travel in clear to another machine, and none that would not."""

from __future__ import annotations

from typing import Any

import pytest

from samaops.clients import interactive
from samaops.config.settings import Settings
from samaops.workflows import configuration

FAR = "10.101.0.1"


def keys_in_clear(document: dict[str, Any]) -> set[str]:
    settings = Settings.model_validate(document)
    found = [one for one in configuration.warnings(settings) if one.code == "config.secret.in_clear"]
    assert all(finding.hint for finding in found)
    assert "canary" not in str(found)
    return {finding.subject.removeprefix("config/") for finding in found}


def section(**values: Any) -> dict[str, Any]:
    return {"host": FAR, "password": "canary-4711", **values}


@pytest.mark.parametrize(
    ("document", "keys"),
    [
        ({"redis": section()}, {"redis.password"}),
        ({"redis": section(tls=True)}, set()),
        ({"redis": section(host="127.101.0.3")}, set()),
        ({"redis": section(host="::1")}, set()),
        ({"redis": section(host="localhost")}, set()),
        ({"redis": {"host": FAR}}, set()),
        ({"rabbitmq": section()}, {"rabbitmq.password"}),
        ({"rabbitmq": section(tls=True)}, {"rabbitmq.password"}),  # the management API has none yet
        ({"rabbitmq": section(tls=True, management_tls=True)}, set()),
        ({"postgresql": section()}, {"postgresql.password"}),
        ({"postgresql": section(sslmode="require")}, set()),
        ({"postgresql": section(tls={"verify": False})}, set()),
        ({"pgbouncer": section(admin_password="canary")}, {"pgbouncer.password", "pgbouncer.admin_password"}),
        ({"flower": {"password": "canary", "server": "w", "url": f"http://{FAR}:5555"}}, {"flower.password"}),
        ({"flower": {"password": "canary", "url": f"https://{FAR}:5555"}}, set()),
        ({"flower": {"password": "canary", "server": "far.host"}}, {"flower.password"}),
        (
            {"prometheus": {"url": f"http://{FAR}", "username": "u", "password": "canary"}},
            {"prometheus.password"},
        ),
        ({"proxy": {"url": f"http://{FAR}:8080", "username": "u", "password": "canary"}}, {"proxy.password"}),
        ({"notify": {"mail": section(username="u")}}, {"notify.mail.password"}),
        ({"notify": {"mail": section(username="u", encryption="starttls")}}, set()),
        ({"notify": {"slack": {"url": "http://hooks.example/canary"}}}, {"notify.slack.url"}),
        ({"notify": {"slack": {"url": "https://hooks.example/canary"}}}, set()),
        ({"history": {"url": f"postgresql://u:canary@{FAR}/d"}}, {"history.url"}),
        ({"history": {"url": f"postgresql://u:canary@{FAR}/d?sslmode=verify-full"}}, set()),
        (
            {"servers": {"db": {"address": FAR, "ssh": "local"}}, "redis": section(server="db")},
            set(),
        ),
    ],
)
def test_secrets_in_clear_are_named(document: dict[str, Any], keys: set[str]) -> None:
    assert keys_in_clear(document) == keys


def test_a_server_that_nobody_verifies_is_named() -> None:
    settings = Settings.model_validate({"redis": section(tls={"verify": False})})
    (finding,) = configuration.warnings(settings)
    assert (finding.code, finding.subject) == ("config.tls.unverified", "config/redis")


def test_a_program_that_is_begun_is_as_protected_as_the_look() -> None:
    tls = {"ca_file": "/ca file.pem", "server_name": "db.senelec.sn"}
    settings = Settings.model_validate({"redis": section(tls=tls), "postgresql": section(tls=tls)})
    assert interactive.redis_cli(settings, ["PING"]).words == (
        *("redis-cli", "--tls", "--sni", "db.senelec.sn", "--cacert", "/ca file.pem"),
        *("-h", "10.101.0.1", "-p", "6379", "-n", "0", "PING"),
    )
    given = interactive.psql(settings, [], of_pool=False).environment
    assert (given["PGSSLMODE"], given["PGSSLROOTCERT"]) == ("verify-full", "/ca file.pem")
    assert (given["PGHOST"], given["PGHOSTADDR"]) == ("db.senelec.sn", "10.101.0.1")
