"""Each server of the lab sees the memory kills at the limits of its own containers, and nobody else's."""

from __future__ import annotations

import subprocess
from pathlib import Path

from samaops.lab import templating

GROUP = "samaops-lab-0-api"
MACHINE = f"""\
[    0.000000] Linux version 6.1
[   10.0] oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/docker/aa,task_memcg=/docker/aa,task=python,pid=11,uid=0
[   10.1] Memory cgroup out of memory: Killed process 11 (python) total-vm:5kB
[   20.0] oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/{GROUP}/bb,task_memcg=/{GROUP}/bb,task=python,pid=22,uid=0
[   20.1] Memory cgroup out of memory: Killed process 22 (python) total-vm:5kB
[   30.0] Out of memory: Killed process 33 (cron) total-vm:5kB
"""


def kernel_log(tmp_path: Path, machine: str) -> str:
    """Return what a server's dmesg prints when the machine's prints this."""
    (tmp_path / "machine").write_text(f"#!/bin/sh\n{machine}\n", encoding="utf-8")
    (tmp_path / "machine").chmod(0o755)
    text = templating.render("dmesg.sh", control_group=GROUP)
    own = text.replace("/run/dmesg-of-the-machine", str(tmp_path / "machine"))
    return subprocess.run(
        ["/bin/sh", "-c", own], capture_output=True, text=True, timeout=10, check=True
    ).stdout


def test_a_kill_elsewhere_on_the_machine_is_not_the_servers(tmp_path: Path) -> None:
    shown = kernel_log(tmp_path, f"cat <<'END'\n{MACHINE}END")
    assert [line.split()[1] for line in shown.splitlines()[:1]] == ["0.000000]"]
    assert "pid=22" in shown
    assert "Killed process 22" in shown
    assert not any(words in shown for words in ("pid=11", "process 11", "cron"))


def test_without_the_right_to_read_the_machines_log_a_server_has_none(tmp_path: Path) -> None:
    assert kernel_log(tmp_path, "echo 'Operation not permitted' >&2; exit 1").strip() == ""
