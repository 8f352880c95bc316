"""`config check --connect` tries what is configured with its rights, and says of each what to do."""

from __future__ import annotations

from tests.contract.conftest import Samaops, Terminal, redis_at


def test_each_system_is_tried_and_each_line_says_what_to_do(
    samaops: Samaops, redis_server: tuple[str, int], hanging: tuple[str, int], refused: tuple[str, int]
) -> None:
    more = 'username = "locked"\npassword = "wrong-secret"\nserver = "here"'
    text = (
        '[servers.here]\naddress = "127.0.0.1"\nssh = "local"\n'
        + redis_at(redis_server, more)
        + f'[minio]\nserver = "here"\nurl = "http://127.0.0.1:{refused[1]}"\n'
        + f'[notify.mail]\nhost = "{hanging[0]}"\nport = {hanging[1]}\ntimeout = 1\n'
        + '[notify.slack]\nurl = "https://hooks.example/secret-x"\n'
    )
    done = samaops("--config", samaops.configure(text), "config", "check", "--connect", "-o", "json")
    assert done.code == 2, done
    findings = {finding["subject"]: finding for finding in done.json()["findings"]}
    assert done.json()["command"] == "config"
    wrong = findings["redis/here"]
    assert (wrong["code"], wrong["status"]) == ("redis.service.unreachable", "unknown")
    assert wrong["hint"] == "correct the user and the password of [redis], see: samaops config show"
    assert findings["minio/here"]["hint"].startswith("see that [minio] has the right address and port")
    assert (findings["notify/mail"]["code"], findings["notify/mail"]["status"]) == (
        "config.notify",
        "critical",
    )
    assert findings["notify/slack"]["status"] == "skipped"
    assert findings["servers/here"]["status"] == "ok"
    assert "secret" not in done.stdout
    assert not any(
        finding["status"] not in ("ok", "skipped") and not finding["hint"] for finding in findings.values()
    )


def test_people_see_one_line_for_each(samaops: Samaops, redis_server: tuple[str, int]) -> None:
    config = samaops.configure(redis_at(redis_server))
    done = samaops("--config", config, "config", "check", "--connect")
    assert done.code == 0, done
    lines = done.stdout.splitlines()
    assert lines[0] == "✓ OK  Everything that is configured lets us in"
    assert "redis.service.unreachable@redis/workers" in done.stdout


def test_what_cannot_work_is_refused_before_anything_is_tried(samaops: Samaops) -> None:
    config = samaops.configure('[redis]\nhost = "h"\n[schedule]\ntimezone = "Nowhere"\n')
    done = samaops("--config", config, "config", "check", "--connect")
    assert (done.code, done.stdout) == (78, "")


def test_doctor_answers_with_and_without_a_configuration(samaops: Samaops) -> None:
    done = samaops("doctor", "-o", "json")
    assert done.code == 2, done
    first = done.json()["findings"][0]
    assert (done.json()["command"], first["code"]) == ("doctor", "doctor.configuration")
    assert first["hint"].startswith("samaops config init")
    config = samaops.configure('[servers.here]\naddress = "127.0.0.1"\nssh = "local"\n')
    done = samaops("--config", config, "doctor", "-o", "json")
    titles = [finding["title"] for finding in done.json()["findings"]]
    assert f"{config}, mode 0600" in titles
    assert "1 of 1 servers are reached from here" in titles
    assert done.code in (0, 1, 3), done  # the clock and the programs are those of the machine


def test_init_asks_at_a_terminal_and_asks_again_for_what_cannot_be_used(samaops: Samaops) -> None:
    path = samaops.home / "config" / "samaops" / "config.toml"
    with Terminal(samaops, "config", "init") as terminal:
        terminal.read_until("[samaconso]: ")
        terminal.type("")
        terminal.read_until("[10.101.10.11]: ")
        terminal.type("10.101.X.X1")
        terminal.read_until("is not an IP address or a host name")
        terminal.read_until("[10.101.10.11]: ")
        terminal.type("10.9.0.1")
        for proposed in ("[10.101.10.12]", "[10.101.10.13]", "[samaops]", "[http://10.101.10.10:8080]"):
            terminal.read_until(f"{proposed}: ")
            terminal.type("")
        terminal.read_until("nobody): ")
        assert not path.exists()
        terminal.type("ops@senelec.sn")
        terminal.read_until("[10.101.10.20]: ")
        terminal.type("")
        assert "config check --connect" in terminal.rest()
        assert terminal.process.returncode == 0
    assert path.stat().st_mode & 0o777 == 0o600
    assert 'address = "10.9.0.1"' in path.read_text()
    with Terminal(samaops, "config", "init") as terminal:
        assert "exists and was left as it is" in terminal.rest()


def test_check_warns_of_secrets_in_clear_and_of_none_that_stay_here(samaops: Samaops) -> None:
    done = samaops(
        "--config",
        samaops.configure('[redis]\nhost = "10.101.0.3"\npassword = "canary-4711"\n'),
        "config",
        "check",
        "-o",
        "json",
    )
    assert done.code == 1, done
    (finding,) = done.json()["findings"]
    assert (finding["code"], finding["status"]) == ("config.secret.in_clear", "warning")
    assert finding["hint"] == "set redis.tls, where the server has TLS"
    assert "canary" not in done.stdout + done.stderr
    here = samaops.configure('[redis]\nhost = "127.0.0.1"\npassword = "canary-4711"\n')
    assert samaops("--config", here, "config", "check").code == 0
