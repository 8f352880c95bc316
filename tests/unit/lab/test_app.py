"""The lab's application, where it needs no server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import responses

from samaops.lab import layout
from samaops.lab.app import celery_app, publish, push, switches
from samaops.lab.app.environment import Environment
from samaops.lab.layout import Layout
from samaops.lab.outside import google_oauth, service_accounts
from samaops.lab.outside.places import Places


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    made = Places.of(Layout(tmp_path_factory.mktemp("lab")))
    service_accounts.prepare(made)
    return made


class TestQueues:
    def test_they_are_declared_as_the_broker_s_definitions_declare_them(self) -> None:
        assert celery_app.QUEUE_PRIORITIES == layout.QUEUE_PRIORITIES
        assert dict(layout.QUEUE_ARGUMENTS) == celery_app.QUEUE_ARGUMENTS
        assert layout.BROKER_EXCHANGE == celery_app.EXCHANGE
        for queue in celery_app.queues():
            declared = vars(queue)
            assert (declared["durable"], declared["queue_arguments"]) == (True, celery_app.QUEUE_ARGUMENTS)

    def test_each_has_a_task_that_the_worker_knows(self) -> None:
        celery_app.app.loader.import_default_modules()
        assert set(celery_app.TASK_OF_QUEUE) == set(celery_app.QUEUE_PRIORITIES)
        assert set(celery_app.TASK_OF_QUEUE.values()) <= set(celery_app.app.tasks)

    def test_the_arguments_fit_the_task_of_each(self) -> None:
        for queue, task in celery_app.TASK_OF_QUEUE.items():
            arguments = publish.task_arguments(queue, 7, "x", True)
            checked = celery_app.app.tasks[task].__header__
            checked(**arguments)

    def test_the_producer_has_no_result_backend_whatever_the_environment_says(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CELERY_RESULT_BACKEND", "redis://127.0.0.1:1/0")
        producer = celery_app.create_producer(Environment.read({}))
        assert type(producer.backend).__name__ == "DisabledBackend"


class TestEnvironment:
    @pytest.mark.parametrize("text", ["0", "none", "Never", ""])
    def test_results_can_be_kept_for_ever(self, text: str) -> None:
        environment = Environment.read({"CELERY_RESULT_EXPIRES": text})
        assert environment.result_expires is None
        assert celery_app.create_worker(environment).conf.result_expires is None

    def test_results_expire_after_a_day_when_nothing_is_said(self) -> None:
        assert Environment.read({}).result_expires == 86400

    def test_a_worker_is_known_by_its_worker_id(self) -> None:
        assert Environment.read({"WORKER_ID": "worker_1"}).instance_id == "worker_1"


class TestSwitches:
    @pytest.fixture
    def directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("SAMACONSO_LAB_DIRECTORY", str(tmp_path))
        monkeypatch.setenv("WORKER_ID", "worker_1")
        monkeypatch.delenv("INSTANCE_ID", raising=False)
        return tmp_path

    def test_outside_the_lab_they_do_nothing(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SAMACONSO_LAB", raising=False)
        (directory / "hang-api_1").touch()
        (directory / "clock-offset-worker_1").write_text("600")
        switches.block_while_asked("api_1")
        switches.obey_message(switches.POISON_MESSAGE)
        assert abs(switches.now() - time.time()) < 5

    def test_a_process_that_was_started_after_it_was_asked_to_hang_does_not(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SAMACONSO_LAB", "1")
        (directory / "hang-api_1").touch()
        monkeypatch.setattr(switches, "_started_at", time.time() + 1)
        switches.block_while_asked("api_1")

    def test_in_the_lab_the_clock_can_be_off(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SAMACONSO_LAB", "1")
        (directory / "clock-offset-worker_1").write_text("600")
        assert abs(switches.now() - time.time() - 600) < 5

    def test_allocated_memory_is_kept(self) -> None:
        before = switches.allocate(1)
        assert switches.allocate(2) == before + 2


class TestPush:
    URL = "https://fcm.googleapis.com/v1/projects/samaconso-lab/messages:send"

    @pytest.fixture
    def google(self) -> Iterator[responses.RequestsMock]:
        with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
            token = {"access_token": "t", "expires_in": 60, "token_type": "Bearer"}
            mock.post(service_accounts.TOKEN_URI, json=token)
            yield mock

    def test_the_assertion_is_one_that_google_accepts(self, places: Places) -> None:
        account = push.ServiceAccount.load(places.service_account)
        accounts = json.loads((places.google / "accounts.json").read_text())
        now = time.time()
        google_oauth.verify(push.signed_assertion(account, int(now)), accounts, now)

    def test_the_access_token_is_kept_while_it_lives(
        self, google: responses.RequestsMock, places: Places
    ) -> None:
        google.post(self.URL, json={"name": "projects/p/messages/1"})
        sender = push.Sender(places.service_account)
        assert [sender.send("d", "x"), sender.send("d", "x")] == ["projects/p/messages/1"] * 2
        assert google.assert_call_count(service_accounts.TOKEN_URI, 1)

    @pytest.mark.parametrize(("status", "code"), sorted(push.CODE_OF_HTTP_STATUS.items()))
    def test_an_answer_without_details_still_has_a_code(
        self, google: responses.RequestsMock, places: Places, status: int, code: str
    ) -> None:
        google.post(self.URL, status=status, body="not json")
        with pytest.raises(push.PushError) as refused:
            push.Sender(places.service_account).send("d", "x")
        assert refused.value.code == code

    def test_a_network_error_names_the_address(self, google: responses.RequestsMock, places: Places) -> None:
        google.post(self.URL, body=requests.exceptions.ProxyError("Tunnel connection failed: 407"))
        with pytest.raises(push.PushError, match=r"^UNREACHABLE: https://fcm.*407"):
            push.Sender(places.service_account).send("d", "x")

    @pytest.mark.parametrize("content", ["", "{}", '{"private_key": "x"}', "[]"])
    def test_a_file_that_is_no_service_account_is_named(self, tmp_path: Path, content: str) -> None:
        path = tmp_path / "key.json"
        path.write_text(content)
        with pytest.raises(push.PushError, match=f"^CREDENTIALS: {path}"):
            push.Sender(path).send("d", "x")
