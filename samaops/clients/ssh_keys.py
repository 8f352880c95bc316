"""The private keys that we show to SSH servers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from samaops.clients.errors import ClientError
from samaops.clients.ssh_library import paramiko
from samaops.i18n import _
from samaops.model.failure import FailureKind

_OWN_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")


def load(file: Path) -> paramiko.PKey:
    """Read one private key. Raises ClientError (MISSING) when it cannot be used."""
    try:
        return paramiko.PKey.from_path(str(file))
    except (paramiko.PasswordRequiredException, TypeError) as error:
        # cryptography says TypeError for a missing passphrase
        message = _("{file} needs a passphrase: load it into ssh-agent and leave key_file out").format(
            file=file
        )
        raise ClientError(FailureKind.MISSING, message, "ssh key") from error
    except OSError as error:
        raise ClientError(FailureKind.MISSING, f"{file}: {error.strerror}", "ssh key") from error
    except (paramiko.SSHException, paramiko.pkey.UnknownKeyType, ValueError) as error:
        message = _("{file} is not a private key that can be used").format(file=file)
        raise ClientError(FailureKind.MISSING, message, "ssh key") from error


def of_this_user() -> Iterator[paramiko.PKey]:
    """Yield the keys of the SSH agent, then those of ``~/.ssh``; what cannot be read is left out."""
    try:
        yield from paramiko.Agent().get_keys()
    except paramiko.SSHException:
        logging.getLogger(__name__).info("the SSH agent does not answer", exc_info=True)
    for name in _OWN_KEYS:
        file = Path.home() / ".ssh" / name
        if file.exists():
            try:
                yield load(file)
            except ClientError as error:
                logging.getLogger(__name__).info("key left out: %s", error.message)
