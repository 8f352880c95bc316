"""Decide whether an SSH server is the one it says it is, from a known_hosts file."""

from __future__ import annotations

from pathlib import Path

from samaops.clients.errors import ClientError
from samaops.clients.ssh_library import paramiko
from samaops.i18n import _
from samaops.model.failure import FailureKind

# known_hosts names the key, the handshake names the signature: one RSA key serves both SHA-2 signatures.
_SIGNATURES = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}


class KnownHost:
    """What a known_hosts file says of one server."""

    def __init__(self, address: str, port: int, file: Path) -> None:
        self._address, self._port, self._file = address, port, file
        name = address if port == 22 else f"[{address}]:{port}"
        self._name = name
        try:
            self._keys = paramiko.HostKeys(str(file)).lookup(name)
        except FileNotFoundError:
            self._keys = None
        except (OSError, UnicodeDecodeError) as error:
            raise ClientError(FailureKind.MISSING, f"{file}: {error}", "known_hosts") from error

    def prefer(self, supported: tuple[str, ...]) -> tuple[str, ...]:
        """Return the host key algorithms, those of known keys first so that the server shows a known one."""
        known = [name for kind in self._keys or () for name in _SIGNATURES.get(kind, (kind,))]
        return (*(one for one in known if one in supported), *(one for one in supported if one not in known))

    def verify(self, key: paramiko.PKey) -> None:
        """Raise ClientError (HOST_KEY) unless the server showed the key that the file has for it."""
        if self._keys is None or not len(self._keys):
            raise ClientError(FailureKind.HOST_KEY, self._unknown(key), "host key")
        known = self._keys.get(key.get_name())
        if known is None or known.asbytes() != key.asbytes():
            raise ClientError(FailureKind.HOST_KEY, self._changed(key), "host key")

    def _unknown(self, key: paramiko.PKey) -> str:
        return _(
            "the host key of {name} is not in {file}; it shows {kind} {fingerprint}. Compare that on the server's "
            "own console with: ssh-keygen -lf /etc/ssh/ssh_host_{short}_key.pub; if it is the same, add it with: "
            "ssh-keyscan -p {port} {address} >> {file}"
        ).format(**self._words(key))

    def _changed(self, key: paramiko.PKey) -> str:
        return _(
            "the host key of {name} is not the one in {file}: reinstalled, or another machine answers there. It now "
            "shows {kind} {fingerprint}. Ask whoever runs the server before you replace the old key with: "
            "ssh-keygen -R '{name}' -f {file}"
        ).format(**self._words(key))

    def _words(self, key: paramiko.PKey) -> dict[str, object]:
        kind = key.get_name()
        return {
            "name": self._name,
            "address": self._address,
            "port": self._port,
            "file": self._file,
            "kind": kind,
            "short": kind.removeprefix("ssh-").partition("-")[0],
            "fingerprint": key.fingerprint,
        }
