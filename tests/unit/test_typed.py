"""Values are read as types from several threads: what msgspec builds of a type the first time is built by one of them."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import samaops

ROOT = Path(samaops.__file__).parent
ROUNDS = 60
_MAY_READ = re.compile(r"\bconvert\(|decode\(.*type=|Decoder\(")
# Four threads read a value as a type that none has used before, again and again. Without ``ready`` a segmentation fault ends
# that within some ten rounds.
PROGRAM = f"""
import sys, threading, types
import msgspec
from samaops.model.typed import ready
source = '''
from __future__ import annotations
from msgspec import Struct
class Leaf(Struct, frozen=True):
    number: int
    more: tuple[int, ...] = ()
class Branch(Struct, frozen=True):
    leaf: Leaf
    leaves: tuple[Leaf, ...] = ()
    other: Leaf | None = None
class Tree(Struct, frozen=True):
    branch: Branch
    branches: tuple[Branch, ...] = ()
    other: Branch | None = None
'''
leaf = {{"number": 1}}
value = {{"branch": {{"leaf": leaf, "leaves": [leaf]}}, "branches": [{{"leaf": leaf}}]}}
sys.setswitchinterval(1e-6)
read = []
for number in range({ROUNDS}):
    module = sys.modules[f"kinds{{number}}"] = types.ModuleType(f"kinds{{number}}")
    exec(source, module.__dict__)
    together = threading.Barrier(4)
    def work():
        together.wait(20)
        read.append(msgspec.convert(value, ready(module.Tree)).branch.leaf.number)
    threads = [threading.Thread(target=work) for _thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
print(sum(read))
"""


def test_threads_that_use_a_type_for_the_first_time_together_read_it_whole() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT.parent,
    )
    assert (done.returncode, done.stdout.strip()) == (0, str(4 * ROUNDS)), done.stderr[-500:]


def unready(source: str) -> Iterator[int]:
    """Yield the lines in which msgspec is given a type that is not known to be ready."""
    if not _MAY_READ.search(source):
        return
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).removeprefix("msgspec.")
        kinds = [word.value for word in node.keywords if word.arg == "type"]
        if name == "convert":
            kinds = node.args[1:2]
        elif name in ("json.Decoder", "Decoder"):
            kinds = node.args[:1]
        elif name not in ("json.decode", "_decode"):
            continue
        if not all(isinstance(kind, ast.Call) and ast.unparse(kind.func) == "ready" for kind in kinds):
            yield node.lineno


def test_who_reads_a_value_as_a_type_has_it_made_ready() -> None:
    """A doer reads the arguments of its operation in the thread of the command, as a type that is its own."""
    assert list(unready("convert(a, B)\nconvert(a, ready(B))\nmsgspec.json.decode(a, type=B)")) == [1, 3]
    left_out = (ROOT / "changes/run", ROOT / "lab", ROOT / "model/typed.py")
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted(ROOT.rglob("*.py"))
        if not any(path.is_relative_to(place) for place in left_out)
        for line in unready(path.read_text(encoding="utf-8"))
    ]
    assert found == []
