"""RabbitMQ's configuration files: the guide's settings scaled down, its user, and the four queues."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from samaops.lab import templating
from samaops.lab.layout import (
    ADDRESSES,
    AMQP_PORT,
    BROKER_EXCHANGE,
    BROKER_USER,
    QUEUE_ARGUMENTS,
    QUEUE_PRIORITIES,
    RABBITMQ_MANAGEMENT_PORT,
    Secrets,
)


def write_configuration(directory: Path, seen_as: Path, secrets: Secrets) -> None:
    """Write rabbitmq.conf, definitions.json and enabled_plugins; the broker sees ``directory`` as ``seen_as``."""
    content = templating.render(
        "rabbitmq.conf",
        address=ADDRESSES,
        amqp_port=AMQP_PORT,
        management_port=RABBITMQ_MANAGEMENT_PORT,
        paths={"rabbitmq_config": seen_as},
    )
    templating.write(directory / "rabbitmq.conf", content)
    templating.write(directory / "enabled_plugins", "[rabbitmq_management].\n")
    definitions = directory / "definitions.json"
    if not definitions.exists():  # the salt differs each time: a second run must not change the file
        templating.write(definitions, json.dumps(make_definitions(secrets), indent=1))


def make_definitions(secrets: Secrets) -> dict[str, Any]:
    """Return the definitions that the broker loads when it boots."""
    return {
        "users": [
            {
                "name": BROKER_USER,
                "password_hash": password_hash(secrets.rabbitmq_password, os.urandom(4)),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": ["administrator"],
            }
        ],
        "vhosts": [{"name": "/"}],
        "permissions": [{"user": BROKER_USER, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}],
        "exchanges": [_exchange()],
        "queues": [_queue(name) for name in QUEUE_PRIORITIES],
        "bindings": [_binding(name) for name in QUEUE_PRIORITIES],
    }


def _exchange() -> dict[str, Any]:
    flags = {"durable": True, "auto_delete": False, "internal": False}
    return {"name": BROKER_EXCHANGE, "vhost": "/", "type": "direct", "arguments": {}, **flags}


def _queue(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "vhost": "/",
        "durable": True,
        "auto_delete": False,
        "arguments": dict(QUEUE_ARGUMENTS),
    }


def _binding(name: str) -> dict[str, Any]:
    return {
        "source": BROKER_EXCHANGE,
        "vhost": "/",
        "destination": name,
        "destination_type": "queue",
        "routing_key": name,
        "arguments": {},
    }


def password_hash(password: str, salt: bytes) -> str:
    """Hash a password as rabbit_password_hashing_sha256 does (RabbitMQ, "Credentials and Passwords")."""
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
