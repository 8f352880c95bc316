"""The world outside SamaConso's three servers: load balancer, Senelec proxy, Google, SQL Server, mail.

``parts`` prepares the files and describes the processes; each other module is one stand-in.
"""

from __future__ import annotations

from samaops.lab.layout import Layout
from samaops.lab.specs import ProcessSpec


def specs(layout: Layout) -> list[ProcessSpec]:
    """Prepare every file under the lab's ``outside`` directory and return the processes."""
    from samaops.lab.outside import parts

    return parts.specs(layout)
