"""Which releases of the application there are, and the archive of images that an engine loads.

An image is made here, byte for byte the same each time: so a release has one image id on every server, as one that
was built once and copied has.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

REPOSITORY = "samaconso_api"
RUNNING_TAG = f"{REPOSITORY}:production"
FILES = Path(__file__).parent
SCHEMA = FILES.parent / "app" / "sql" / "schema.sql"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class Release(Struct, frozen=True):
    """One release: ``revisions`` are its migrations, oldest first; ``built_at`` is ISO 8601.

    ``fault`` is what ``SAMACONSO_RELEASE_FAULT`` tells its code to do wrong (``app/switches.py``).
    """

    version: str
    built_at: str
    revisions: tuple[str, ...]
    fault: str = ""


_TABLES, _CHANNEL, _NO_PHONE = "1a4e7c20b9d3", "7d02f5e6a81b", "c95e3b1f40a7"
RELEASES = (
    Release("2.0.0", "2026-01-12T09:00:00Z", (_TABLES,)),
    Release("2.1.0", "2026-01-19T09:00:00Z", (_TABLES, _CHANNEL)),
    # Brought out in a hurry: it starts, and answers every request with 500.
    Release("2.1.1", "2026-01-20T11:30:00Z", (_TABLES, _CHANNEL), fault="errors"),
    Release("3.0.0", "2026-02-02T09:00:00Z", (_TABLES, _CHANNEL, _NO_PHONE)),
)
FIRST = RELEASES[0]


def find(version: str) -> Release | None:
    """Return a release by its version."""
    return next((release for release in RELEASES if release.version == version), None)


class Image(Struct, frozen=True):
    """An image to be made: its names, and what it holds over the directories that all have."""

    names: tuple[str, ...]
    built_at: str
    environment: tuple[str, ...]
    labels: Mapping[str, str]
    files: Mapping[str, bytes]


def image_of(release: Release, path: str) -> Image:
    """Return the image of a release; ``path`` is its PATH.

    As in the guide it has one name, that of the release before it, which is left without any.
    """
    environment = [f"PATH={path}", f"SAMACONSO_VERSION={release.version}"]
    if release.fault:
        environment.append(f"SAMACONSO_RELEASE_FAULT={release.fault}")
    labels = {
        "org.opencontainers.image.title": "SamaConso",
        "org.opencontainers.image.version": release.version,
        "org.opencontainers.image.created": release.built_at,
        "org.opencontainers.image.revision": hashlib.sha1(
            release.version.encode(), usedforsecurity=False
        ).hexdigest(),
    }
    return Image((RUNNING_TAG,), release.built_at, tuple(environment), labels, _migrations(release))


def _migrations(release: Release) -> dict[str, bytes]:
    """Return the files of Alembic that a release brings with it."""
    files = {"app/alembic.ini": (FILES / "alembic.ini").read_bytes()}
    files["app/migrations/env.py"] = (FILES / "migrations" / "env.py").read_bytes()
    files["app/migrations/schema.sql"] = SCHEMA.read_bytes()
    for path in sorted((FILES / "migrations" / "versions").glob("*.py")):
        if path.name.partition("_")[0] in release.revisions:
            files[f"app/migrations/versions/{path.name}"] = path.read_bytes()
    return files


def archive(base: bytes, images: Iterable[Image]) -> bytes:
    """Return the archive for ``docker load``: each image is ``base``, a layer of its own, and its configuration."""
    parts: dict[str, bytes] = {_layer_name(base): base}
    manifest = []
    for image in images:
        layers = [base, *([_layer(image.files)] if image.files else [])]
        parts.update({_layer_name(layer): layer for layer in layers})
        configuration = json.dumps(_configuration(image, layers), sort_keys=True).encode()
        name = f"{hashlib.sha256(configuration).hexdigest()}.json"
        parts[name] = configuration
        manifest.append(
            {
                "Config": name,
                "RepoTags": list(image.names),
                "Layers": [_layer_name(layer) for layer in layers],
            }
        )
    return _tar({**parts, "manifest.json": json.dumps(manifest).encode()})


def _configuration(image: Image, layers: Sequence[bytes]) -> dict[str, Any]:
    machine = platform.machine()
    return {
        "architecture": _ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "created": image.built_at,
        "config": {"Env": list(image.environment), "Labels": dict(image.labels)},
        "rootfs": {
            "type": "layers",
            "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers],
        },
        "history": [{"created": image.built_at, "created_by": "samaops lab"} for _layer in layers],
    }


def _layer_name(layer: bytes) -> str:
    return f"{hashlib.sha256(layer).hexdigest()}/layer.tar"


def _layer(files: Mapping[str, bytes]) -> bytes:
    directories = {
        str(parent) for name in files for parent in Path(name).parents if str(parent) not in (".", "app")
    }
    return _tar(files, sorted(directories))


def _tar(files: Mapping[str, bytes], directories: Sequence[str] = ()) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in directories:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
