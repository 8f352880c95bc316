"""References are generated from the code and must not be stale."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_generated_references_are_those_of_the_code() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "reference", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_of_a_check_is_what_stands_in_the_code() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    text = text.partition("## Add a check")[2].partition("\n## ")[0]
    steps = re.findall(r", in `([^`]+)`.*?\n   ```\w+\n(.*?)   ```\n", text, re.DOTALL)
    assert len(steps) == 3
    for path, example in steps:
        # The documentation indents its blocks by three columns, as the items of its list.
        assert re.sub(r"^   ", "", example, flags=re.MULTILINE) in (ROOT / path).read_text(encoding="utf-8")
