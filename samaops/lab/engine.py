"""A container engine for a server, and the tiny images of the lab.

The images hold no programs: directories and links into /usr, which is the machine's own, mounted read-only. So the
lab downloads nothing, and a container is still a container: limits, restarts, health, logs.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

from samaops.i18n import _
from samaops.lab import templating
from samaops.lab.layout import Layout
from samaops.lab.processes import ProcessSpec
from samaops.lab.release import releases
from samaops.lab.requirements import RABBITMQ_PROGRAMS, find_program, program
from samaops.lab.servers import Server, cgroup_parent, checked_in

# The others' images, which have no releases here.
IMAGES = {"api": "rabbitmq:3-management-alpine", "workers": "redis:7.4.4-alpine"}
_BUILT_AT = "2026-01-05T09:00:00Z"
DIRECTORIES = ("usr", "etc", "tmp", "var", "var/lib", "proc", "sys", "dev", "run", "root", "app", "data")
LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64", "lib32": "usr/lib32"}
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
IMAGE_PATH = f"{RABBITMQ_PROGRAMS}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
START_SCRIPT = templating.DIRECTORY / "docker_start.sh"
CGROUPS = Path("/sys/fs/cgroup")
SOCKET = Path("/run/docker.sock")


def missing() -> str | None:
    """Return why no engine can run here; None when nothing is known against it."""
    if os.geteuid() != 0:
        return _("not root")
    for name in ("dockerd", "containerd", "runc", "docker"):
        if find_program(name) is None:
            return _("{program} is missing (package {package})").format(program=name, package="docker.io")
    if compose_command() is None:
        return _("{program} is missing (package {package})").format(
            program="docker-compose", package="docker-compose"
        )
    return None


def compose_command() -> list[str] | None:
    """Return the compose command of this machine, version 1 or 2."""
    for name in ("docker-compose", "docker-compose-v2"):
        path = find_program(name)
        if path:
            return [path]
    plugins = (
        "/usr/libexec/docker/cli-plugins",
        "/usr/lib/docker/cli-plugins",
        "/usr/local/lib/docker/cli-plugins",
    )
    if any((Path(directory) / "docker-compose").exists() for directory in plugins):
        return [program("docker"), "compose"]
    return None


def spec(layout: Layout, server: Server) -> ProcessSpec:
    """Return the container engine of one server; needs the server's namespaces."""
    configuration = server.etc / "docker" / "samaops-lab.json"
    settings = {
        "hosts": [f"unix://{SOCKET}"],
        "data-root": str(server.data / "docker"),
        "exec-root": "/run/docker",
        "pidfile": "/run/docker.pid",
        "iptables": False,
        "ip-forward": False,
        "ip-masq": False,
        "bridge": "none",
        "userland-proxy": False,
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "cgroup-parent": f"/{cgroup_parent(layout, server.name)}",
        "log-driver": "json-file",
        "shutdown-timeout": 3,
    }
    templating.write(server.outer(configuration), json.dumps(settings, indent=1))
    return ProcessSpec(
        name=f"docker_{server.name}",
        server=server.name,
        address=server.address,
        port=0,
        argv=("/bin/sh", str(START_SCRIPT), program("dockerd"), "--config-file", str(configuration)),
        ready=answering(server),
        ready_seconds=30.0,
    )


def answering(server: Server) -> Callable[[], bool]:
    """Return a test of whether the engine of a server answers."""
    path = str(server.outer(SOCKET))

    def answers() -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1.0)
            try:
                connection.connect(path)
                connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b" 200 " in connection.recv(64)
            except OSError:
                return False

    return answers


def load_images(server: Server) -> bool:
    """Load the images that are missing, the application's as its first release. Return whether any was."""
    listing = ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]
    present = checked_in(server, listing).split()
    other, running = IMAGES[server.name], releases.RUNNING_TAG
    images = []
    if running not in present:
        images.append(releases.image_of(releases.FIRST, IMAGE_PATH))
    if other not in present:
        images.append(releases.Image((other,), _BUILT_AT, (f"PATH={IMAGE_PATH}",), {}, {}))
    if not images:
        return False
    load(server, images)
    run = ["docker", "run", "--rm", "--network", "host", "-v", "/usr:/usr:ro", other, "true"]
    checked_in(server, run)  # an engine may answer and still not be allowed to run anything
    return True


def load(server: Server, images: list[releases.Image]) -> None:
    """Give the engine of a server these images."""
    archive = Path("/run/images.tar")
    server.outer(archive).write_bytes(releases.archive(image_archive(), images))
    try:
        checked_in(server, ["docker", "load", "-q", "-i", str(archive)])
    finally:
        server.outer(archive).unlink()


def image_archive() -> bytes:
    """Return the layer that all images have: directories, links into /usr, three small files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in DIRECTORIES:
            entry = tarfile.TarInfo(name)
            entry.type = tarfile.DIRTYPE
            entry.mode = 0o1777 if name == "tmp" else 0o755
            archive.addfile(entry)
        for name, target in LINKS.items():
            entry = tarfile.TarInfo(name)
            entry.type = tarfile.SYMTYPE
            entry.linkname = target
            archive.addfile(entry)
        for name, content in FILES.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content.encode()))
    return buffer.getvalue()


def mounts() -> list[str]:
    """Return what every container gets read-only from the machine: its programs and their certificates."""
    wanted = ["/usr", "/etc/ssl/certs", "/etc/alternatives"]
    wanted += [sys.prefix, sys.base_prefix]
    paths = [path for path in dict.fromkeys(wanted) if Path(path).exists()]
    kept = [path for path in paths if path == "/usr" or not path.startswith("/usr/")]
    return [f"{path}:{path}:ro" for path in kept]


def remove_cgroups(layout: Layout) -> None:
    """Remove the control groups that the containers have left."""
    for server in IMAGES:
        name = cgroup_parent(layout, server)
        for top in [CGROUPS / name, *CGROUPS.glob(f"*/{name}")]:
            for directory in sorted([top, *top.rglob("*")], reverse=True):
                if directory.is_dir():
                    with contextlib.suppress(OSError):
                        directory.rmdir()
