"""Files that users name are opened without waiting for ever."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from samaops.collect import store
from samaops.config import load
from samaops.errors import ConfigurationError, UsageError


def test_a_named_pipe_without_a_writer_is_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(ConfigurationError, match="named pipe"):
        load.load(pipe)
    with pytest.raises(UsageError, match="named pipe"):
        store.load(pipe)
