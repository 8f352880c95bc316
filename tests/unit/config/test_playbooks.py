"""Every name in the playbooks resolves: causes, findings, verbs, fixes, places; and every text can be filled in."""

from __future__ import annotations

import ast
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from samaops import resources
from samaops.changes import verbs
from samaops.checks.registry import rules
from samaops.config import playbooks
from samaops.config.documents import Text
from samaops.config.playbooks import NAMES, PLACES, Playbook
from samaops.config.settings import Playbooks, Settings
from samaops.errors import ConfigurationError
from samaops.facts.systems import SYSTEMS
from samaops.i18n import use_language
from samaops.site.site import Site
from samaops.workflows.troubleshooting import guide

FILES = sorted(resources.directory("playbooks").glob("*.yaml"))
# Causes whose id is made of the system's name.
SERVICES = ("rabbitmq", "redis", "proxy", "flower", "postgresql", "pgbouncer", "minio")


def cause_ids() -> set[str]:
    """Return every text of the causes' code that can be a cause's id."""
    package = Path(playbooks.__file__).parents[1] / "causes"
    found = {f"{system}-{state}" for system in SERVICES for state in ("down", "hung")}
    for path in package.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def playbook(request: pytest.FixtureRequest) -> Playbook:
    return playbooks.all_of(Settings())[request.param.stem]


def test_there_is_one_for_notifications() -> None:
    assert "notifications" in [path.stem for path in FILES]


def test_every_cause_is_one_that_a_diagnosis_can_name(playbook: Playbook) -> None:
    assert not set(playbook.causes) - cause_ids()


def test_every_fix_is_used_and_every_used_fix_is_there(playbook: Playbook) -> None:
    used = {fix for cause in playbook.causes.values() for fix in cause.fixes}
    assert used == set(playbook.fixes)


def test_every_verb_exists_and_no_plain_command_ships_with_samaops(playbook: Playbook) -> None:
    named = {fix.verb for fix in playbook.fixes.values() if fix.verb}
    assert named <= set(verbs.names())
    assert all(verbs.find(name) for name in named)
    assert not [name for name, fix in playbook.fixes.items() if fix.command]


def test_every_look_and_finding_exists(playbook: Playbook) -> None:
    codes = {rule.code for rule in rules()}
    for look in playbook.looks:
        assert look in {*SYSTEMS, *codes} or any(code.startswith(f"{look}.") for code in codes), look
    for hop in playbook.hops:
        for pattern in hop.findings:
            assert any(fnmatchcase(code, pattern) for code in codes), pattern
            assert pattern.partition(".")[0] in {look.partition(".")[0] for look in playbook.looks}


def test_every_template_can_be_filled_in(playbook: Playbook) -> None:
    names, places = dict.fromkeys(NAMES, "x"), dict.fromkeys(PLACES, "x")
    for fix in playbook.fixes.values():
        for text in both_languages(fix.title, fix.text):
            assert "{" not in text.format(**names)
        for argument in fix.arguments:
            assert "{" not in argument.format(**names)
    by_hand = [one for hop in playbook.hops for one in hop.by_hand]
    by_hand += [one for fix in playbook.fixes.values() for one in fix.by_hand]
    for one in by_hand:
        assert "{" not in one.command.format(**places) + (one.server or "").format(**places)


def both_languages(*texts: Text | None) -> list[str]:
    return [text for given in texts if given is not None for text in (given.en, given.fr)]


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_playbook_is_shown_in_the_language_in_use(language: str) -> None:
    use_language(language)
    try:
        rows = guide.listed(Site(Settings())).rows
    finally:
        use_language("en")
    titles = {
        "en": [
            "The API does not answer (502, 503, time-outs)",
            "The database is slow",
            "A disk is full",
            "Notifications do not arrive",
            "Redis is full",
        ],
        "fr": [
            "L'API ne répond pas (502, 503, délais dépassés)",
            "La base de données est lente",
            "Un disque est plein",
            "Les notifications n'arrivent pas",
            "Redis est plein",
        ],
    }
    assert [row["title"] for row in rows] == titles[language]


def test_a_site_may_give_one_plain_text_or_both_languages(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("id: own\ntitle: {en: Relay, fr: Relais}\nmeaning: Wake the relay\n")
    own = playbooks.load(file)
    assert both_languages(own.title, own.meaning) == ["Relay", "Relais", "Wake the relay", "Wake the relay"]


@pytest.mark.parametrize(
    ("title", "place"),
    [("{en: Relay}", r"title\.fr"), ("{en: Relay, fr: Relais, de: x}", r"title\.de"), ("[Relay]", "title")],
)
def test_a_text_without_one_of_the_languages_is_refused(tmp_path: Path, title: str, place: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(f"id: own\ntitle: {title}\n")
    with pytest.raises(ConfigurationError, match=rf"own\.yaml: {place}"):
        playbooks.load(file)


def test_a_name_that_is_unknown_is_refused_in_each_language(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        "id: own\nfixes: {a.b: {title: {en: 'Wake {server}', fr: 'Réveiller {serveur}'}, text: t}}\n"
    )
    with pytest.raises(ConfigurationError, match=r"fixes\.a\.b\.title: .*\{serveur\} is not one of"):
        playbooks.load(file)


def test_a_site_adds_its_fixes_to_a_playbook_of_samaops(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        "id: notifications\nlooks: [minio]\n"
        "fixes: {site.wake: {title: Wake, risk: disruptive, command: wake, server: api, undo: sleep}}\n"
        "causes: {proxy-down: {fixes: [site.wake]}, site-cause: {fixes: [site.wake]}}\n"
    )
    merged = playbooks.all_of(Settings(playbooks=Playbooks(path=tmp_path)))["notifications"]
    assert merged.causes["proxy-down"].fixes == ("network.proxy_down", "site.wake")
    assert merged.causes["site-cause"].fixes == ("site.wake",)
    assert "minio" in merged.looks
    assert "site.wake" not in playbooks.all_of(Settings())["notifications"].fixes


def test_a_directory_that_is_not_there_is_said_and_costs_no_other_playbook(tmp_path: Path) -> None:
    settings = Settings(playbooks=Playbooks(path=tmp_path / "none"))
    assert playbooks.faults(settings) == (f"[playbooks] path: {tmp_path}/none: No such file or directory",)
    assert playbooks.all_of(settings).keys() == playbooks.all_of(Settings()).keys()


@pytest.mark.parametrize(
    "fix",
    [
        "{title: t}",
        "{title: t, verb: v, text: t}",
        "{title: t, command: c, undo: u}",
        "{title: t, command: c, server: s, undo: u, no_undo: n}",
        "{title: t, command: c, server: s, undo: u, relief: true}",
        "{title: t, text: t, risk: harmless}",
    ],
)
def test_a_fix_that_is_not_one_thing_is_refused(tmp_path: Path, fix: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(f"id: x\nfixes: {{a.b: {fix}}}\n")
    with pytest.raises(ConfigurationError, match=r"own\.yaml: fixes\.a\.b"):
        playbooks.load(file)


@pytest.mark.parametrize("text", ["[" * 50_000, "- " * 50_000 + "x", "{a: " * 50_000, "? " * 50_000])
def test_one_that_is_too_deep_is_refused_and_ends_no_process(tmp_path: Path, text: str) -> None:
    """The parser in C follows each level by a call: it ended samaops by SIGSEGV, which no test could outlive."""
    (tmp_path / "deep.yaml").write_text(text)
    program = (
        "import sys\nfrom pathlib import Path\nfrom samaops.config import files, playbooks\n"
        "from samaops.errors import ConfigurationError\n"
        "try:\n    playbooks.load(Path(sys.argv[1]), files.read_trusted)\n"
        "except ConfigurationError as error:\n    print(error.message)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "deep.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.count("not YAML: too deep")) == (0, 1), done
