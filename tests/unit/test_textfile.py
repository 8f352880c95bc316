"""A file for the node exporter that cannot be written is told as such, whatever stands in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from samaops.cli import textfile
from samaops.errors import UsageError


@pytest.mark.parametrize("path", ["", "/", ".prom", "samaops", "samaops.prom.tmp"])
def test_a_name_that_nobody_would_read_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="node exporter") as refused:
        textfile.check(Path(path))
    assert refused.value.hint.endswith(".prom")


def test_a_directory_that_may_not_be_looked_into_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", forbidden)
    with pytest.raises(UsageError, match="Permission denied"):
        textfile.check(Path("/forbidden/samaops.prom"))


def test_a_name_that_is_too_long_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        textfile.write(tmp_path / f"{'x' * 300}.prom", None)  # type: ignore[arg-type]
