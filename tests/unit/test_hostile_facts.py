"""A hostile name among the facts of a look stays one word of every proposed command, and every form shows it unchanged.

Each text of the facts that comes into a command is replaced, everywhere it stands, by a harmless and by hostile ones:
the commands must have the same words and signs then.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from pydantic import ValidationError

from samaops.collect import store
from samaops.config.settings import Settings
from samaops.model.failure import FailureKind
from samaops.model.report import Report
from samaops.render import faces, human
from samaops.render.faces import Output
from samaops.render.layout import Screen
from samaops.render.words import UNICODE
from samaops.site.shell_words import without_pipe
from samaops.workflows import diagnose
from tests.unit.mutations import at, places
from tests.unit.test_fuzz import LOOKS

HARMLESS = "harmless"
# Each ends with a number, which tells apart the names that are replaced together.
HOSTILE = (
    "; touch x; $(touch x) `touch x` & | > y # ' \" \\ '; touch x; ' é 日本 a\n; touch x\r\x1b[2J\x85\u202e",
    "--output=/etc/passwd * -rf",
)
Word = tuple[str, str]
_LITERALS = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"")


def words_of(command: str) -> list[Word]:
    """Return the words and the signs that act of a command line, as bash reads it."""
    read: list[Word] = []
    word: str | None = None
    place = 0
    while place < len(command):
        char = command[place]
        if command.startswith("$'", place):
            end = command.index("'", place + 2)
            octals = command[place + 2 : end].encode()
            raw = re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), octals)
            word, place = (word or "") + raw.decode("utf-8", "surrogatepass"), end
        elif char == "'":
            end = command.index("'", place + 1)
            word, place = (word or "") + command[place + 1 : end], end
        elif char == '"':
            end = place + 1
            while command[end] != '"':
                end += 2 if command[end] == "\\" else 1
            inside = command[place + 1 : end]
            acting = re.sub(r"\\(.)", "", inside, flags=re.DOTALL)
            read += [("sign", sign) for sign in re.findall(r"[$`]", acting)]
            word, place = (word or "") + re.sub(r'\\([$`"\\])', r"\1", inside), end
        elif char == "\\":
            word, place = (word or "") + command[place + 1], place + 1
        elif char in " \t\n;|&<>()$`":
            if word is not None:
                read.append(("word", word))
                word = None
            read += [("sign", char)] if char not in " \t" else []
        else:
            word = (word or "") + char
        place += 1
    if word is not None:
        read.append(("word", word))
    return [one for one in read if one != ("word", "--")]


def assert_same(harmless: str, hostile: str, name: str) -> None:
    """Fail where a hostile name is more than a word, or another one, in the place of a harmless one."""
    before, after = words_of(harmless), words_of(hostile)
    assert [kind for kind, _text in before] == [kind for kind, _text in after], (harmless, hostile)
    for (kind, old), (_kind, new) in zip(before, after, strict=True):
        if kind == "sign" or HARMLESS not in old:
            assert old == new, (harmless, hostile)
        elif (
            old.replace(HARMLESS, name) != new and not _is_statement(old, new) and "redis-cli" not in harmless
        ):
            assert " " in old, (harmless, hostile)
            assert_same(old, new, name)  # a command for the shell of another machine


def _is_statement(old: str, new: str) -> bool:
    """Return whether SQL, or Python, differs in nothing but its literals and quoted names."""
    old = re.sub(rf"(?<![\"'\w]){HARMLESS}\d+(?![\"'\w])", '""', old)
    return " " in old and _LITERALS.sub("?", old) == _LITERALS.sub("?", new)


def commands_of(report: Report) -> list[str]:
    return [*causes_commands(report), *(finding.hint for finding in report.findings if finding.hint)]


def causes_commands(report: Report) -> list[str]:
    fixes = [fix for cause in report.causes for fix in cause.fixes]
    return [command for fix in fixes for command in (*fix.commands, *fix.undo)]


Names = dict[str, str]


def judged(look: Any, names: Names, path: Path) -> Report:
    """Judge a look in which some texts are others, in the facts and where the configuration names them."""
    free = {name: text for name, text in names.items() if is_free(look["settings"], name)}
    observed = renamed(look["snapshot"], names, with_keys=False)
    settings = renamed(look["settings"], free)
    path.write_text(json.dumps({**look, "snapshot": observed, "settings": settings, "well": None}))
    saved = store.load(path)
    return diagnose.judge(saved.snapshot, saved.site, saved.selection)


def is_free(settings: Any, name: str) -> bool:
    """Return whether the configuration takes any text in the place of this one."""
    try:
        Settings.model_validate(renamed(settings, {name: HOSTILE[0]}))
    except ValidationError:
        return False
    return True


def renamed(value: Any, names: Names, *, with_keys: bool = True) -> Any:
    """Return a document with other texts; the keys of facts are left, most are names of fields."""
    if isinstance(value, dict):
        return {
            renamed(key, names) if with_keys else key: renamed(one, names, with_keys=with_keys)
            for key, one in value.items()
        }
    if isinstance(value, list):
        return [renamed(one, names, with_keys=with_keys) for one in value]
    if not isinstance(value, str):
        return value
    system, slash, name = value.partition("/")
    return names.get(value, f"{system}/{names[name]}" if slash and system and name in names else value)


def names_in(look: Any, commands: list[str]) -> list[str]:
    """Return the texts of the facts of a look that stand in one of its commands: names, no options or kinds."""
    listed = "\n".join(commands)
    texts = (at(look["snapshot"], place) for place in places(look["snapshot"]))
    names = {
        text
        for text in texts
        if isinstance(text, str) and len(text) > 1 and text[0] != "-" and text in listed
    }
    kinds = {
        observation[key]
        for observation in look["snapshot"]["observations"]
        for key in ("system", "facts_type")
    }
    return sorted(names - kinds - {kind.value for kind in FailureKind})


def groups(look: Any, names: list[str], count: int, path: Path) -> Iterator[tuple[list[str], list[str]]]:
    """Yield names that can be replaced together, and the commands then: some tell what is wrong, and stand alone."""
    commands = commands_of(judged(look, numbered(names, HARMLESS), path))
    if len(names) <= 1 or len(commands) == count:
        yield names, commands
        return
    middle = len(names) // 2
    yield from groups(look, names[:middle], count, path)
    yield from groups(look, names[middle:], count, path)


def numbered(names: list[str], text: str) -> Names:
    return {name: f"{text}{number}" for number, name in enumerate(names)}


@pytest.mark.parametrize("number", range(1, len(LOOKS)))
def test_a_hostile_name_stays_a_word_of_every_command(number: int, tmp_path: Path) -> None:
    look, path = LOOKS[number], tmp_path / "look.json"
    shown = commands_of(judged(look, {}, path))
    names = names_in(look, shown)
    assert len(names) > 5
    for group, honest in groups(look, names, len(shown), path):
        for hostile in HOSTILE:
            report = judged(look, numbered(group, hostile), path)
            commands = commands_of(report)
            assert len(commands) == len(honest), group
            for harmless, command in zip(honest, commands, strict=True):
                assert_same(harmless, command, hostile)
                assert command.isprintable(), command
        assert_unchanged(report)


def assert_unchanged(report: Report) -> None:
    """Fail where a form shows a command that is not the one that was proposed."""
    fixes = causes_commands(report)
    hints = [finding.hint for finding in report.findings if finding.hint]
    document = json.loads(faces.render(report, Output.JSON))
    assert [
        one
        for cause in document["causes"]
        for fix in cause["fixes"]
        for one in (*fix["commands"], *fix["undo"])
    ] == fixes
    assert [finding["hint"] for finding in document["findings"] if finding["hint"]] == hints
    markdown = faces.render(report, Output.MARKDOWN)
    undo = [one for cause in report.causes for fix in cause.fixes for one in fix.undo]
    assert [one for one in fixes if one not in undo and f"sh\n{one}\n" not in markdown] == []
    junit = "".join(ElementTree.fromstring(faces.render(report, Output.JUNIT)).itertext())
    assert [hint for hint in hints if hint not in junit] == []
    first, *lines = faces.render(report, Output.NAGIOS).splitlines()
    assert first.count("|") == 1
    assert not any("|" in line for line in lines)
    shown = {line.strip() for line in lines if line.startswith("  ")}
    assert shown <= {without_pipe(one) for one in fixes}
    screen = io.StringIO()
    Screen(file=screen, width=80).print(human.render(report, human.View(UNICODE, verbose=True)))
    whole = re.sub(r" \\\n *", " ", screen.getvalue())
    assert [one for one in fixes if one not in whole] == []
