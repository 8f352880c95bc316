"""What a known_hosts file says of one host: its keys, the revoked ones, and who may certify it (sshd(8)).

paramiko's own reader gives up the whole file at the first ``@revoked`` or ``@cert-authority`` line, knows no patterns,
and one key of each type; so the file is read here, and keys are compared as the bytes they are.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import time
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from samaops.clients.errors import ClientError
from samaops.config import files
from samaops.config.settings import Ssh
from samaops.i18n import _
from samaops.model.failure import FailureKind

_DEFAULT_PORT = 22
_LARGEST_BYTES = 8 * 1024 * 1024


class KnownHost(Struct, frozen=True):
    """The lines that name one host. Keys are blobs as they go over the wire."""

    name: str
    keys: tuple[bytes, ...]
    revoked: tuple[bytes, ...]
    authorities: tuple[bytes, ...]

    def key_types(self) -> list[str]:
        """Return the types of its keys, in the order of the file."""
        return list(dict.fromkeys(key_type(key) for key in self.keys))


class ShownKey(Struct, frozen=True):
    """The key that a server shows, as it goes over the wire, and the certificate of it where it shows one."""

    key: bytes
    certificate: bytes | None
    fingerprint: str


def name_of(address: str, port: int) -> str:
    """Return how known_hosts names a host."""
    return address if port == _DEFAULT_PORT else f"[{address}]:{port}"


def read(file: Path, address: str, port: int) -> KnownHost:
    """Return what the file says of a host; nothing when there is no such file. Raises OSError."""
    keys: dict[str, list[bytes]] = {"": [], "@revoked": [], "@cert-authority": []}
    keys_of_any_port: list[bytes] = []
    name = name_of(address, port).lower()
    for marker, patterns, key in _lines(file):
        if marker in keys and _matches(patterns, name):
            keys[marker].append(key)
        elif marker in keys and port != _DEFAULT_PORT and _matches(patterns, address.lower()):
            (keys_of_any_port if not marker else keys[marker]).append(key)
    # As ssh does: a key that is known without its port is good, and another one there says nothing of this port.
    known = keys[""] or keys_of_any_port
    return KnownHost(name, tuple(known), tuple(keys["@revoked"]), tuple(keys["@cert-authority"]))


def key_type(key: bytes) -> str:
    """Return the type that a key's blob begins with."""
    return key[4 : 4 + int.from_bytes(key[:4], "big")].decode("ascii", errors="replace")


def require_known(host: KnownHost, shown: ShownKey, address: str, settings: Ssh) -> None:
    """Raise ClientError when the key that a server shows does not prove that it is this host."""
    fault = None
    if shown.key not in host.revoked:
        if shown.key in host.keys:
            return
        if shown.certificate and host.authorities:
            fault = _fault_of_certificate(shown.certificate, address, host)
            if fault is None:
                return
    if fault:
        message = _("the certificate of {name} ({kind} {fingerprint}) does not prove who it is: {fault}")
    elif shown.key in host.revoked:
        message = _("the host key of {name} ({kind} {fingerprint}) is marked as revoked in {file}")
    elif host.keys:
        message = _(
            "the host key of {name} is not the one in {file}: reinstalled, or another machine answers there. It now "
            "shows {kind} {fingerprint}. Ask whoever runs the server before you replace the old key with: "
            "ssh-keygen -R '{name}' -f {file}"
        )
    else:
        message = _(
            "the host key of {name} is not in {file}; it shows {kind} {fingerprint}. Compare that on the server's "
            "own console with: ssh-keygen -lf /etc/ssh/ssh_host_{short}_key.pub; if it is the same, add it with: "
            "ssh-keyscan -p {port} {address} >> {file}"
        )
    kind = key_type(shown.key)
    words = {
        "name": name_of(address, settings.port),
        "address": address,
        "port": settings.port,
        "file": settings.known_hosts,
        "kind": kind,
        "short": kind.removeprefix("ssh-").partition("-")[0],
        "fingerprint": shown.fingerprint,
        "fault": fault,
    }
    raise ClientError(FailureKind.HOST_KEY, message.format(**words), "host key")


def _fault_of_certificate(certificate: bytes, address: str, host: KnownHost) -> str | None:
    """Return why a certificate does not prove that this is the host, None when it does."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import serialization as formats

    line = key_type(certificate).encode() + b" " + base64.b64encode(certificate)
    try:
        read_certificate = formats.load_ssh_public_identity(line)
        assert isinstance(read_certificate, formats.SSHCertificate)
        signer = read_certificate.signature_key().public_bytes(
            formats.Encoding.OpenSSH, formats.PublicFormat.OpenSSH
        )
        read_certificate.verify_cert_signature()
    except (ValueError, InvalidSignature) as error:
        return str(error) or _("its signature is wrong")
    authority = base64.b64decode(signer.split()[1])
    principals = [principal.decode(errors="replace") for principal in read_certificate.valid_principals]
    faults = (
        (authority in host.revoked, _("the authority that signed it is marked as revoked")),
        (authority not in host.authorities, _("it is signed by another authority")),
        (read_certificate.type is not formats.SSHCertificateType.HOST, _("it is the certificate of a user")),
        (
            not read_certificate.valid_after <= time.time() < read_certificate.valid_before,
            _("it is not valid at this time"),
        ),
        (bool(read_certificate.critical_options), _("it has critical options that are not known here")),
        (
            not any(_matches(principal, address.lower()) for principal in principals),
            _("it is for {names}").format(names=", ".join(principals) or "-"),
        ),
    )
    return next((words for is_so, words in faults if is_so), None)


def _lines(file: Path) -> Iterator[tuple[str, str, bytes]]:
    """Yield marker, patterns and key of each line that has them; ssh passes over the others too."""
    try:
        content = files.read_trusted(file, _LARGEST_BYTES).decode("utf-8", errors="replace")
    except FileNotFoundError:
        return
    for line in content.splitlines():
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#"):
            continue
        patterns, kind, encoded = words[:3]
        try:
            key = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            continue
        if key_type(key) == kind:
            yield marker, patterns, key


def _matches(patterns: str, name: str) -> bool:
    if patterns.startswith("|1|"):
        return _matches_hash(patterns, name)
    is_named = False
    for pattern in patterns.lower().split(","):
        expression = re.escape(pattern.removeprefix("!")).replace(r"\*", ".*").replace(r"\?", ".")
        if re.fullmatch(expression, name):
            if pattern.startswith("!"):
                return False
            is_named = True
    return is_named


def _matches_hash(hashed: str, name: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in hashed[3:].split("|"))
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), digest)
