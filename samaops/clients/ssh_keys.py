"""The keys that ``ssh`` itself would show: the configured one with its certificate, or the agent's and those of ``~/.ssh``."""

from __future__ import annotations

import io
import os
import struct
import time
from base64 import b64decode
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as formats
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from samaops.clients.errors import ClientError
from samaops.clients.ssh_library import in_time, paramiko
from samaops.config import files, places
from samaops.i18n import _
from samaops.model.failure import FailureKind

# An agent that hangs costs this, and not the log-in with another key.
_AGENT_SECONDS = 1.0
_LARGEST_BYTES = 64 * 1024
_DEFAULT_KEYS = ("id_rsa", "id_ecdsa", "id_ed25519")


def usual(ends_at: float) -> list[paramiko.PKey]:
    """Return the keys of the agent, and those in ~/.ssh that need no passphrase."""
    keys = _agent_keys(ends_at)
    for name in _DEFAULT_KEYS:
        with suppress(ClientError, paramiko.PasswordRequiredException):
            keys += _keys_of(places.ssh() / name)
    return keys


def _agent_keys(ends_at: float) -> list[paramiko.PKey]:
    try:
        agent = in_time(paramiko.Agent, min(ends_at, time.monotonic() + _AGENT_SECONDS))
    except (OSError, EOFError, ValueError, struct.error, paramiko.SSHException):
        return []  # as ssh does: an agent that is broken has no keys
    return list(agent.get_keys())


def own(file: Path, ends_at: float) -> list[paramiko.PKey]:
    """Return the configured key; one that is encrypted may be in the agent."""
    try:
        return _keys_of(file)
    except paramiko.PasswordRequiredException as error:
        public = _public_part(file)
        keys = [key for key in _agent_keys(ends_at) if public and key.asbytes() == public]
        if keys:
            return keys
        words = _("{file} needs a passphrase: load it into ssh-agent and leave key_file out")
        raise ClientError(FailureKind.MISSING, words.format(file=file), "ssh key") from error


def _keys_of(file: Path) -> list[paramiko.PKey]:
    """Return the key of a file, first with the certificate beside it. Raises PasswordRequiredException."""
    try:
        status, content = file.stat(), files.read(file, _LARGEST_BYTES)
    except OSError as error:
        raise ClientError(FailureKind.MISSING, f"{file}: {error.strerror}", "ssh key") from error
    if status.st_uid == os.getuid() and status.st_mode & 0o077:
        words = _("{file} can be read by others, and ssh refuses such a key: chmod 600 {file}")
        raise ClientError(FailureKind.MISSING, words.format(file=file), "ssh key")
    certificate = Path(f"{file}-cert.pub")
    try:
        keys = [_private_key(content)]
        if files.exists(certificate):
            keys.insert(0, _private_key(content))
            keys[0].load_certificate(files.read(certificate, _LARGEST_BYTES).decode())
    except (OSError, ValueError, UnsupportedAlgorithm, paramiko.SSHException) as error:
        if isinstance(error, paramiko.PasswordRequiredException):
            raise
        words = _("{file} is not a private key that can be used").format(file=file)
        raise ClientError(FailureKind.MISSING, words, "ssh key") from error
    return keys


def _private_key(content: bytes) -> paramiko.PKey:
    """Return the key that is written here in whatever form; paramiko itself reads no PKCS #8."""
    try:
        try:
            key = formats.load_ssh_private_key(content, None)
        except ValueError:
            key = formats.load_pem_private_key(content, None)  # type: ignore[assignment]
    except TypeError as error:
        raise paramiko.PasswordRequiredException(str(error)) from error
    words = key.private_bytes(formats.Encoding.PEM, formats.PrivateFormat.OpenSSH, formats.NoEncryption())
    for key_type, reader in (
        (ed25519.Ed25519PrivateKey, paramiko.Ed25519Key),
        (ec.EllipticCurvePrivateKey, paramiko.ECDSAKey),
        (rsa.RSAPrivateKey, paramiko.RSAKey),
    ):
        if isinstance(key, key_type):
            return reader.from_private_key(io.StringIO(words.decode()))
    raise UnsupportedAlgorithm(type(key).__name__)


def _public_part(file: Path) -> bytes | None:
    with suppress(OSError, ValueError, IndexError):
        return b64decode(files.read(Path(f"{file}.pub"), _LARGEST_BYTES).split()[1])
    return None
