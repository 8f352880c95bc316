"""Damage a copy of a backup in one of the ways that disks, people and copies do, by chance."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

Damage = Callable[[Path, random.Random], str]


def _files(backup: Path) -> list[Path]:
    return sorted(path for path in backup.rglob("*") if path.is_file() and path.stat().st_size)


def _any(backup: Path, chance: random.Random) -> Path:
    return chance.choice(_files(backup))


def flip_a_bit(backup: Path, chance: random.Random) -> str:
    file = _any(backup, chance)
    content = bytearray(file.read_bytes())
    place = chance.randrange(len(content))
    content[place] ^= 1 << chance.randrange(8)
    file.write_bytes(content)
    return f"a bit of {file.name}, byte {place}"


def cut(backup: Path, chance: random.Random) -> str:
    file = _any(backup, chance)
    length = chance.randrange(file.stat().st_size)
    file.write_bytes(file.read_bytes()[:length])
    return f"{file.name} cut at {length}"


def empty(backup: Path, chance: random.Random) -> str:
    file = _any(backup, chance)
    file.write_bytes(b"")
    return f"{file.name} is empty"


def lose(backup: Path, chance: random.Random) -> str:
    file = _any(backup, chance)
    file.unlink()
    return f"{file.name} is gone"


def add(backup: Path, chance: random.Random) -> str:
    file = backup / "database" / f"{chance.randrange(9000)}.dat.gz"
    file = file if not file.exists() else file.with_suffix(".more")
    file.write_bytes(b"\x1f\x8b")
    return f"{file.name} is too many"


def append(backup: Path, chance: random.Random) -> str:
    file = _any(backup, chance)
    file.write_bytes(file.read_bytes() + bytes([chance.randrange(256)]))
    return f"{file.name} is longer"


def zero_a_block(backup: Path, chance: random.Random) -> str:
    file = max(_files(backup), key=lambda path: path.stat().st_size)
    content = bytearray(file.read_bytes())
    place = chance.randrange(max(1, len(content) - 512))
    content[place : place + 512] = bytes(len(content[place : place + 512]))
    file.write_bytes(content)
    return f"512 zeros in {file.name} from {place}"


def exchange(backup: Path, _chance: random.Random) -> str:
    one, other = sorted((backup / "database").glob("*.dat.gz"))[:2]
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    return f"{one.name} and {other.name} exchanged"


def link(backup: Path, chance: random.Random) -> str:
    file = _any(backup, chance)
    aside = backup.parent / f"{backup.name}.aside"
    shutil.copyfile(file, aside)
    file.unlink()
    file.symlink_to(aside)
    return f"{file.name} is a link"


def contents_only(backup: Path, _chance: random.Random) -> str:
    for file in (backup / "database").glob("*.dat.gz"):
        file.unlink()
    return "toc.dat alone"


def no_dump(backup: Path, _chance: random.Random) -> str:
    shutil.rmtree(backup / "database")
    return "no dump at all"


def _change_manifest(backup: Path, change: Callable[[dict[str, Any]], None]) -> None:
    file = backup / "manifest.json"
    manifest = json.loads(file.read_text())
    change(manifest)
    file.write_text(json.dumps(manifest))


def other_rows(backup: Path, chance: random.Random) -> str:
    def change(manifest: dict[str, Any]) -> None:
        table = chance.choice(sorted(manifest["rows"]))
        manifest["rows"][table] += 1

    _change_manifest(backup, change)
    return "the manifest has other rows"


def other_major(backup: Path, _chance: random.Random) -> str:
    _change_manifest(backup, lambda manifest: manifest.update(client_version="17.2"))
    return "the manifest has another major"


def other_sums(backup: Path, chance: random.Random) -> str:
    def change(manifest: dict[str, Any]) -> None:
        chance.choice(manifest["files"])["sha256"] = "0" * 64

    _change_manifest(backup, change)
    return "the manifest has another sum"


def other_backup(backup: Path, _chance: random.Random) -> str:
    _change_manifest(backup, lambda manifest: manifest.update(id="20200101T000000Z-0000"))
    return "the manifest of another backup"


def no_manifest(backup: Path, _chance: random.Random) -> str:
    (backup / "manifest.json").unlink()
    return "no manifest"


WAYS: tuple[Damage, ...] = (
    flip_a_bit, flip_a_bit, flip_a_bit, cut, cut, empty, lose, add, append, zero_a_block, exchange, link,
    contents_only, no_dump, other_rows, other_major, other_sums, other_backup, no_manifest,
)  # fmt: skip


def damage(backup: Path, seed: int) -> str:
    """Damage a backup in the way of a seed, and say how."""
    chance = random.Random(seed)
    return WAYS[seed % len(WAYS)](backup, chance)
