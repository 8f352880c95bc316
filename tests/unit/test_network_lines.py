"""The guide's connectivity matrix as lines of a site, and the firewall rules that it asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from samaops import resources
from samaops.cli.main import run
from samaops.config.load import load
from samaops.config.settings import Settings
from samaops.errors import RefusedError, UsageError
from samaops.facts.network import OPEN, REFUSED, UNTRIED, Line, TriedLine
from samaops.i18n import use_language
from samaops.model.status import Status
from samaops.model.table import Table
from samaops.site import connectivity, firewall_rules
from samaops.site.firewall_rules import IPTABLES, NFTABLES
from samaops.site.site import Site
from samaops.workflows import network as workflow

EVERYBODY = {"admin": ["10.101.0.0/24"], "balancer": ["10.101.10.8"]}


def guide(**network: Any) -> Site:
    """Return the site of the example, with its network section filled in."""
    settings = load(resources.example_config())
    plain = Settings.model_validate({"network": network}).network
    return Site(settings.model_copy(update={"network": plain}))


def site_of(**sections: Any) -> Site:
    return Site(Settings.model_validate(sections))


def lines(site: Site, place: str) -> dict[str, Line]:
    (found,) = (each for each in connectivity.places(site) if each.name == place)
    return {line.service: line for line in found.lines}


def open_ones(site: Site, place: str) -> set[str]:
    return {name for name, line in lines(site, place).items() if line.must_be_open}


def closed_ones(site: Site, place: str) -> set[str]:
    return {name for name, line in lines(site, place).items() if not line.must_be_open}


def test_the_guides_matrix_is_there_line_by_line() -> None:
    site = guide()
    for member in ("api_1", "api_2"):
        assert open_ones(site, member) == {
            "pgbouncer", "minio", "redis", "sqlserver:sic", "sqlserver:postpaid"
        }  # fmt: skip
    for worker in ("worker1", "worker2"):
        assert open_ones(site, worker) == {"rabbitmq", "pgbouncer", "firebase:oauth", "firebase:fcm"}
    assert open_ones(site, "balancer") == {"api_1", "api_2"}
    of_admins = {"minio-console", "rabbitmq-management", "flower", "ssh:db", "ssh:api", "ssh:workers"}
    assert of_admins <= open_ones(site, "admin")
    addresses = {name: line.address for name, line in lines(site, "admin").items()}
    assert addresses["minio-console"] == "10.101.10.11:9001"
    assert addresses["rabbitmq-management"] == "10.101.10.12:15672"
    assert addresses["flower"] == "10.101.10.13:5555"
    assert addresses["ssh:db"] == "10.101.10.11:22"
    assert lines(site, "worker1")["firebase:fcm"].proxy == "10.101.201.204:8080"


def test_what_no_role_of_a_server_may_reach_must_be_closed_to_it() -> None:
    site = guide()
    assert closed_ones(site, "db") == {
        "redis", "rabbitmq", "rabbitmq-management", "flower", "api_1", "api_2", "ssh:api", "ssh:workers"
    }  # fmt: skip
    assert closed_ones(site, "api") == {"postgresql", "minio-console", "flower", "ssh:db", "ssh:workers"}
    assert closed_ones(site, "workers") == {
        "postgresql", "minio", "minio-console", "rabbitmq-management", "api_1", "api_2", "ssh:db", "ssh:api"
    }  # fmt: skip
    assert open_ones(site, "api") == set(), "a server that is called as a role is not that role"


def test_four_servers_and_another_place_of_a_service_need_no_other_code() -> None:
    servers = {name: {"address": f"10.0.0.{n}"} for n, name in enumerate(("a", "b", "c", "d"), 1)}
    members = [{"name": f"m{n}", "url": f"http://10.0.0.{n}:8000", "server": "ab"[n - 1]} for n in (1, 2)]
    site = site_of(
        servers=servers,
        api={"instances": members},
        redis={"server": "d", "port": 7000},
        rabbitmq={"server": "a"},
    )
    assert open_ones(site, "m1") == {"redis"}, "its broker is on the same server: no line"
    assert open_ones(site, "m2") == {"redis", "rabbitmq"}
    assert lines(site, "m2")["redis"].address == "10.0.0.4:7000"
    assert "redis" in closed_ones(site, "c")
    assert "redis" not in closed_ones(site, "b")


def test_a_client_without_containers_tries_from_its_server() -> None:
    site = guide()
    docker = site.settings.docker
    assert docker is not None
    plain = docker.model_copy(update={"engine": "none"})
    bare = Site(site.settings.model_copy(update={"docker": plain}))
    of = {place.name: place.container for place in connectivity.places(site)}
    assert of["api_1"] == "samaconso_api_1"
    assert {place.container for place in connectivity.places(bare)} == {None}


def test_a_server_on_which_samaops_runs_stands_where_administrators_do() -> None:
    site = guide()
    servers = dict(site.settings.servers)
    servers["workers"] = servers["workers"].model_copy(update={"ssh": "local"})
    local = Site(site.settings.model_copy(update={"servers": servers}))
    assert closed_ones(site, "workers") >= {"postgresql", "ssh:db"}
    assert "workers" not in {place.name for place in connectivity.places(local)}, "nothing is closed to it"


def test_the_site_adds_lines_and_says_which_do_not_hold() -> None:
    site = guide(
        allowed=[{"source": "celery", "service": "minio"}, {"source": "db", "service": "api:9100"}],
        exceptions=[{"source": "balancer", "service": "api", "must": "open", "reason": "not ours"}],
    )
    assert "minio" in open_ones(site, "worker1")
    assert "minio" not in closed_ones(site, "workers")
    assert open_ones(site, "db") == {"api:9100"}
    assert "api:9100" in closed_ones(site, "workers")
    assert {line.not_held for line in lines(site, "balancer").values()} == {"not ours"}
    assert {line.not_held for line in lines(site, "admin").values()} == {""}


@pytest.mark.parametrize(
    "network",
    [
        {"admin": ["10.101.0.1/24"]},
        {"admin": ["somewhere"]},
        {"exceptions": [{"must": "closed", "reason": ""}]},
        {"exceptions": [{"must": "shut", "reason": "x"}]},
        {"minio_console_port": 70000},
    ],
)
def test_what_cannot_be_meant_is_refused(network: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="network"):
        Settings.model_validate({"network": network})


def test_the_rules_name_who_may_reach_a_port_and_nobody_else() -> None:
    site = guide(**EVERYBODY)
    found = {opening.port: opening.sources for opening in firewall_rules.openings(site, "db")}
    assert found[22] == ("10.101.0.0/24",)
    assert found[5432] == ("10.101.0.0/24",)
    assert set(found[6432]) == {"10.101.10.12", "10.101.10.13", "10.101.0.0/24"}
    assert set(found[9000]) == {"10.101.10.12", "10.101.0.0/24"}
    of_api = {opening.port: set(opening.sources) for opening in firewall_rules.openings(site, "api")}
    assert of_api[8001] == {"10.101.10.8", "10.101.0.0/24"}
    assert of_api[5672] == {"10.101.10.13", "10.101.0.0/24"}
    text = firewall_rules.text(site, "db", NFTABLES)
    assert "policy drop" in text
    assert 'iifname "lo" accept' in text
    assert "ct state established,related accept" in text
    assert "10.101.10.8" not in text
    assert "published" not in text, "no container runs there"


def test_machines_of_samaops_ask_the_services_and_administrators_do_not() -> None:
    site = guide(**EVERYBODY, control=["10.101.0.5"])
    found = {opening.port: set(opening.sources) for opening in firewall_rules.openings(site, "db")}
    assert found[5432] == {"10.101.0.5"}
    assert found[22] == {"10.101.0.0/24", "10.101.0.5"}
    rules = firewall_rules.text(site, "db", NFTABLES)
    assert "ip saddr { 10.101.0.0/24 } tcp dport 22 accept" in rules, "nft refuses sets that overlap"


def test_addresses_of_both_families_and_of_a_site_s_own_lines_are_told_apart() -> None:
    site = guide(
        admin=["10.101.0.0/24", "2001:db8::/64"],
        balancer=["10.101.10.8"],
        allowed=[{"source": "10.101.10.14", "service": "db:9100"}],
    )
    text = firewall_rules.text(site, "db", NFTABLES)
    assert 'ip6 saddr { 2001:db8::/64 } tcp dport 22 accept comment "ssh:db"' in text
    assert 'ip saddr { 10.101.10.14 } tcp dport 9100 accept comment "db:9100"' in text
    assert "2001:db8" not in firewall_rules.text(site, "db", IPTABLES)


@pytest.mark.parametrize(
    ("server", "network", "key"),
    [("db", {"balancer": ["10.0.0.1"]}, "admin"), ("api", {"admin": ["10.0.0.0/8"]}, "balancer")],
)
def test_rules_that_would_lock_somebody_out_are_refused(
    server: str, network: dict[str, Any], key: str
) -> None:
    with pytest.raises(RefusedError, match=rf"\[network\] {key}"):
        firewall_rules.text(guide(**network), server, NFTABLES)


def test_rules_of_no_server_or_of_one_that_is_known_by_a_name_alone_are_refused() -> None:
    with pytest.raises(UsageError, match="dbb"):
        firewall_rules.text(guide(**EVERYBODY), "dbb", NFTABLES)
    site = guide(**EVERYBODY)
    servers = dict(site.settings.servers)
    servers["api"] = servers["api"].model_copy(update={"address": "api.senelec.sn"})
    with pytest.raises(RefusedError, match=r"api\.senelec\.sn"):
        firewall_rules.text(Site(site.settings.model_copy(update={"servers": servers})), "db", NFTABLES)


def tried(must_be_open: bool, answer: str, not_held: str = "") -> TriedLine:
    line = Line("here", "x", "x", "10.0.0.1", 1, must_be_open=must_be_open, not_held=not_held)
    return TriedLine(line, answer)


def test_the_first_line_counts_every_line() -> None:
    lines = [
        tried(True, OPEN), tried(True, OPEN), tried(True, REFUSED), tried(False, REFUSED), tried(False, OPEN, "no filter"),
        tried(False, OPEN, "no filter"), tried(True, UNTRIED, "no monitor"), tried(True, UNTRIED),
    ]  # fmt: skip
    answer = workflow._answer(lines)
    assert answer == (
        "open that must be: 2 of 3; closed that must be: 1 of 1; "
        "not judged here (exceptions): 3, of which 1 could not be tried; could not tell: 1"
    )
    use_language("fr")
    assert "2 sur 3\N{NO-BREAK SPACE}; ferm" in workflow._answer(lines)


def test_a_place_that_is_not_known_is_told_with_each_name_once() -> None:
    with pytest.raises(UsageError) as refused:
        workflow.matrix(guide(), "zzzzzz")
    names = refused.value.message.partition(": ")[2].split(", ")
    assert len(names) == len(set(names)) > 5


@pytest.mark.parametrize(("status", "is_quiet"), [(Status.OK, True), (Status.WARNING, False)])
def test_quiet_says_nothing_where_all_is_well(
    status: Status,
    is_quiet: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    made = Table("network", (), (), "x", answer="the answer", status=status, judges=True)
    monkeypatch.setattr(workflow, "matrix", lambda *_words: made)
    (tmp_path / "c.toml").write_text("version = 1\n")
    words = ["--lang", "en", "--config", str(tmp_path / "c.toml")]
    run([*words, "network"])
    assert "the answer" in capsys.readouterr().out
    run([*words, "-q", "network"])
    assert ("the answer" not in capsys.readouterr().out) is is_quiet
