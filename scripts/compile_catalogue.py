"""Build hook: compile the French catalogue into the package."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run as a script, without the build system
    BuildHookInterface = object  # type: ignore[assignment,misc]


def compile_catalogues(root: Path) -> None:
    """Write the .mo file beside each .po file under the package."""
    for po_file in (root / "samaops" / "locale").glob("*/LC_MESSAGES/*.po"):
        with po_file.open("rb") as source:
            catalogue = read_po(source)
        aside = po_file.with_suffix(f".mo.{os.getpid()}")
        with aside.open("wb") as target:
            write_mo(target, catalogue)
        aside.replace(po_file.with_suffix(".mo"))  # whole at once: somebody may be reading it


class CatalogueHook(BuildHookInterface):  # type: ignore[misc,type-arg]
    """Called by hatchling before each build, editable ones too."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Compile before files are collected."""
        compile_catalogues(Path(self.root))


if __name__ == "__main__":
    compile_catalogues(Path(__file__).resolve().parent.parent)
