"""The saved state: whole, or as if there were none."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from samaops.lab.state import ContainerRecord, LabState, ProcessRecord, StateFile, read_state

RECORD = ProcessRecord("postgresql", "db", "127.101.0.1", 5432, 4321, 99, 2)


def test_everything_that_is_recorded_is_read_back(tmp_path: Path) -> None:
    file = StateFile.open(tmp_path / "state.json")
    file.set(mode="containers", extra_directories=("/var/tmp/x-db",))
    file.record_server(ProcessRecord("db", "db", "127.101.0.1", 0, 4000, 98))
    file.record_process(RECORD)
    file.record_container(ContainerRecord("samaconso_redis", "workers", "127.101.0.3", 6379))
    file.record_problem("minio", "no port")
    assert read_state(tmp_path / "state.json") == file.state
    assert file.state.process("postgresql") == RECORD
    assert file.state.process("other") is None


def test_a_part_that_is_started_again_replaces_its_older_record(tmp_path: Path) -> None:
    file = StateFile.open(tmp_path / "state.json")
    file.record_process(ProcessRecord("postgresql", "db", "127.101.0.1", 5432, 1, 1))
    file.record_process(RECORD)
    assert file.state.processes == (RECORD,)


@pytest.mark.parametrize("content", ["", '{"schema": "samaops/lab/1", "mode"', '{"schema": "other"}', "[]"])
def test_a_file_that_was_cut_short_is_as_good_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "state.json").write_text(content)
    assert read_state(tmp_path / "state.json") is None
    assert read_state(tmp_path / "state.json" / "state.json") is None, "a part of its path is a file"
    assert StateFile.open(tmp_path / "state.json").state == LabState()


def test_records_of_many_threads_are_all_kept(tmp_path: Path) -> None:
    file = StateFile.open(tmp_path / "state.json")
    records = [
        ProcessRecord(f"part{number}", "db", "127.0.0.1", number, number + 2, 1) for number in range(20)
    ]
    threads = [threading.Thread(target=file.record_process, args=(record,)) for record in records]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    saved = json.loads((tmp_path / "state.json").read_text())
    assert {item["name"] for item in saved["processes"]} == {record.name for record in records}


def test_a_part_that_is_given_up_is_forgotten_with_its_problem(tmp_path: Path) -> None:
    file = StateFile.open(tmp_path / "state.json")
    file.record_process(ProcessRecord("docker_api", "api", "127.101.0.2", 0, 1, 1))
    file.record_process(RECORD)
    file.record_problem("docker_api", "no cgroups")
    file.record_problem("minio", "no port")
    file.forget(["docker_api"])
    assert file.state.processes == (RECORD,)
    assert [problem.part for problem in file.state.problems] == ["minio"]
    assert read_state(tmp_path / "state.json") == file.state
