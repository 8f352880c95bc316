"""The application's keys at the stand-in for Google: one that it knows, one that it knows no more."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from samaops.lab.outside.certificates import write_private
from samaops.lab.outside.places import Places

PROJECT = "samaconso-lab"
CLIENT_EMAIL = f"firebase-adminsdk-fbsvc@{PROJECT}.iam.gserviceaccount.com"
TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address, not a password


def prepare(places: Places) -> None:
    """Make both service accounts, and tell the stand-in about the good one."""
    for path in (places.service_account, places.revoked_service_account):
        if not path.exists():
            write_private(path, json.dumps(_new_account(), indent=2).encode("utf-8"))
    account = json.loads(places.service_account.read_text(encoding="utf-8"))
    known = {account["client_email"]: {account["private_key_id"]: _public_pem(account["private_key"])}}
    _write(places.google / "accounts.json", known)
    _write(places.google / "projects.json", [PROJECT])
    write_private(places.google / "token.key", places.secrets.fcm_token_key.encode("ascii"))


def mount_key(places: Places, *, known: bool) -> None:
    """Let the mounted file hold the key that Google knows, or the one it does not; the other file keeps the other."""
    if is_known(places, places.service_account) == known:
        return
    mounted, other = places.service_account.read_bytes(), places.revoked_service_account.read_bytes()
    places.revoked_service_account.write_bytes(mounted)
    places.service_account.write_bytes(other)


def is_known(places: Places, path: Path) -> bool:
    """Tell whether Google knows the key in a file."""
    account = json.loads(path.read_text(encoding="utf-8"))
    accounts = json.loads((places.google / "accounts.json").read_text(encoding="utf-8"))
    return account["private_key_id"] in accounts.get(account["client_email"], {})


def _new_account() -> dict[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": secrets.token_hex(20),
        "private_key": pem.decode("ascii"),
        "client_email": CLIENT_EMAIL,
        "client_id": f"{secrets.randbelow(10**21):021d}",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": TOKEN_URI,
        "universe_domain": "googleapis.com",
    }


def _public_pem(private_pem: str) -> str:
    key = serialization.load_pem_private_key(private_pem.encode("ascii"), password=None)
    public = key.public_key()
    encoded = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded.decode("ascii")


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")
