"""Whatever stands in a file or in the environment: settings or a ConfigurationError, never anything else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samaops.config import keys, load
from samaops.config.settings import Settings
from samaops.errors import ConfigurationError

SECTIONS = sorted(Settings.model_fields)
NAMES = st.one_of(
    st.sampled_from(SECTIONS), st.sampled_from(["server", "port", "password", "url", "ssh"]), st.text()
)
SCALARS = st.one_of(
    st.text(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.booleans(),
    st.datetimes(),
    st.dates(),
    st.times(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=8,
)
RELAXED = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def outcome(path: Path) -> Settings | str:
    """Return settings or a refusal; anything else is raised, and fails the test."""
    try:
        return load.load(path)
    except ConfigurationError as error:
        return error.message or "an error without a message"


def nested(key: keys.Key, value: Any) -> Any:
    for part in reversed(key):
        value = [value] if isinstance(part, int) else {part: value}
    return value


SECTION_KEYS: list[keys.Key] = [(name, field) for name in SECTIONS for field in keys.names_at((name,))]


@RELAXED
@given(document=st.dictionaries(NAMES, VALUES, max_size=4))
def test_any_toml_gives_settings_or_one_kind_of_error(document: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(tomli_w.dumps(document).encode("utf-8", "replace"))
    outcome(path)


@RELAXED
@given(key=st.sampled_from(SECTION_KEYS), value=VALUES)
def test_any_value_under_a_real_key_gives_settings_or_one_kind_of_error(
    key: keys.Key, value: Any, tmp_path: Path
) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(tomli_w.dumps(nested(key, value)).encode("utf-8", "replace"))
    outcome(path)


@RELAXED
@given(content=st.binary(max_size=200))
def test_any_bytes_give_settings_or_one_kind_of_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    outcome(path)


@RELAXED
@given(
    parts=st.lists(
        st.sampled_from([*SECTIONS, "0", "1", "port", "db", "ssh", "password", "env", ""]), min_size=2
    ),
    value=st.text(st.characters(exclude_characters="\0", codec="utf-8")),
)
def test_any_variable_gives_settings_or_one_kind_of_error(
    parts: list[str], value: str, tmp_path: Path
) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[servers.db]\naddress = "h"\n')
    variable = "SAMAOPS_" + "__".join(parts).upper()
    os.environ[variable] = value
    try:
        outcome(path)
    finally:
        del os.environ[variable]
