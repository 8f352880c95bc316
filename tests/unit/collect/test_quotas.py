"""What the script says of quotas, in the words of repquota and xfs_quota (quota 4.06, xfsprogs 6.1), and what is read from it.

The kernels on which the tests run enforce no quotas: the two programs stand here as what they print.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from samaops.clients.errors import ClientError
from samaops.collect.servers import host, quotas
from samaops.facts.servers import Quota, Quotas, QuotaUse

NOW = 1_770_000_000.0
KB, GB = 1024, 1024**3
# Of quota 4.06: repquota.c, print() and report_it() with QOF_CSV. With -p a grace is the second at which it is over.
REPQUOTA = """User,BlockStatus,FileStatus,BlockUsed,BlockSoftLimit,BlockHardLimit,BlockGrace,FileUsed,FileSoftLimit,FileHardLimit,FileGrace
#0,ok,ok,20,0,0,0,2,0,0,0
#1,hard,ok,10485760,0,10485760,0,900,0,0,0
#2,soft,ok,6291456,5242880,10485760,1769999000,12,0,0,0
#65534,ok,ok,1000,0,10485760,0,3,0,0,0
"""
# Of xfsprogs 6.1: quota/report.c with -n -N -b -i.
XFS_QUOTA = """#0                   0          0          0     00 [--------]          3          0          0     00 [--------]
#42            9900000          0   10000000     00 [--------]        100         50        200     00 [0 days]
#43            6000000    5000000   10000000     00 [6 days]           9          0          0     00 [--------]
"""


def answered(directory: Path, places: str, **programs: str) -> list[str]:
    """Return what the script's function says of some mounts, where these programs are the only ones of quotas."""
    for name, text in programs.items():
        program = directory / name
        program.write_text(text)
        program.chmod(0o755)
    script = host.script().decode().replace('\nlook "$@" </dev/null', "")
    hidden = 'command() { case $2 in repquota | xfs_quota) [ -x "$BIN/$2" ] && PATH=$BIN:$PATH ;; *) builtin command "$@" ;; esac; }'
    run = f"BIN={directory}; PATH=$BIN:$PATH; {hidden}\nquota_places='{places}'\nquotas"
    done = subprocess.run(
        ["bash", "-c", f"{script}\n{run}", "sh", "token", "-", "75"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def printing(text: str, exit_code: int = 0) -> str:
    return f"#!/bin/sh\ncat <<'END'\n{text}END\nexit {exit_code}\n"


def test_who_is_near_a_limit_is_read_from_repquota(tmp_path: Path) -> None:
    (found,) = quotas.read(answered(tmp_path, "u ext4 /srv/a\\040b", repquota=printing(REPQUOTA)), NOW)
    assert (found.mount, found.kind, found.limited, found.unseen) == ("/srv/a b", "user", 3, "")
    assert found.near == (
        Quota("/srv/a b", "user", 1, "daemon", QuotaUse(10 * GB, 0, 10 * GB), QuotaUse(900, 0, 0)),
        Quota(
            "/srv/a b", "user", 2, "bin", QuotaUse(6 * GB, 5 * GB, 10 * GB, is_over=True), QuotaUse(12, 0, 0)
        ),
    )
    assert [one.space.refuses for one in found.near] == [True, True]


def test_who_is_near_a_limit_is_read_from_xfs_quota(tmp_path: Path) -> None:
    (found,) = quotas.read(answered(tmp_path, "p xfs /data", xfs_quota=printing(XFS_QUOTA)), NOW)
    assert (found.kind, found.limited) == ("project", 2)
    assert [(one.number, one.space.refuses, one.files.refuses) for one in found.near] == [
        (42, False, True),
        (43, False, False),
    ]
    assert found.near[0].space == QuotaUse(9_900_000 * KB, 0, 10_000_000 * KB)


@pytest.mark.parametrize(
    ("places", "programs", "unseen"),
    [
        ("u ext4 /data", {}, "neither repquota nor xfs_quota is there (package quota)"),
        ("u ext4 /data", {"xfs_quota": printing(XFS_QUOTA)}, "neither repquota nor xfs_quota is there (package quota)"),
        ("u ext4 /data", {"repquota": printing("repquota: Not all quotas are on\n", 1)}, "repquota: Not all quotas are on"),
        ("u ext4 /data", {"repquota": "#!/bin/sh\nexec sleep 20\n"}, "no answer in time"),
    ],
    ids=["no tool", "of another file system", "refused", "hangs"],
)  # fmt: skip
def test_what_could_not_be_looked_at_is_said(
    tmp_path: Path, places: str, programs: dict[str, str], unseen: str
) -> None:
    found = quotas.read(answered(tmp_path, places, **programs), NOW)
    assert found == (Quotas("/data", "user", unseen=unseen),)


def test_once_one_has_not_answered_all_that_is_left_is_unknown(tmp_path: Path) -> None:
    hangs = "#!/bin/sh\nexec sleep 20\n"
    found = quotas.read(answered(tmp_path, "ug ext4 /data\nu ext4 /srv", repquota=hangs), NOW)
    assert [(one.mount, one.kind) for one in found] == [
        ("/data", "user"),
        ("/data", "group"),
        ("/srv", "user"),
    ]
    assert {one.unseen for one in found} == {"no answer in time"}


def test_a_mount_is_asked_for_each_kind_that_it_enforces(tmp_path: Path) -> None:
    found = quotas.read(answered(tmp_path, "ugp ext4 /data", repquota=printing(REPQUOTA)), NOW)
    assert [one.kind for one in found] == ["user", "group", "project"]


def test_without_quotas_there_are_none_and_a_spoiled_answer_is_refused() -> None:
    assert quotas.read(["kinds 0"], NOW) == ()
    with pytest.raises(ClientError):
        quotas.read([], NOW)
    with pytest.raises(ClientError):
        quotas.read(None, NOW)
    with pytest.raises(ClientError):
        quotas.read(["kinds 1", "quota u /data", "row #1 daemon 10 x", "limited 1 1"], NOW)


def test_the_mounts_that_enforce_quotas_are_those_whose_options_say_so(tmp_path: Path) -> None:
    """The function reads /proc/self/mountinfo: here what it would be on servers with quotas."""
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(
        "1 0 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,quota,usrquota,prjquota\n"
        "2 1 8:1 /x /srv/x rw,relatime - ext4 /dev/sda1 rw,quota,usrquota,prjquota\n"
        "3 1 8:2 / /data rw - xfs /dev/sdb1 rw,attr2,grpquota\n"
        "4 1 8:3 / /off rw - xfs /dev/sdc1 rw,noquota\n"
        "5 1 8:4 / /counted rw - xfs /dev/sdd1 rw,uqnoenforce\n"
        "6 1 8:5 / /old rw - ext4 /dev/sde1 rw,usrjquota=aquota.user,jqfmt=vfsv0\n"
    )
    script = (
        host.script()
        .decode()
        .replace('\nlook "$@" </dev/null', "")
        .replace("/proc/self/mountinfo | head -n 4", f"{mountinfo}")
    )
    done = subprocess.run(
        ["sh", "-c", f"{script}\nquota_mounts", "sh", "token", "-", "75"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.stdout.splitlines() == ["up ext4 /", "g xfs /data", "u ext4 /old"]
