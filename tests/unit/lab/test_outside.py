"""The stand-ins outside, where they need no socket."""

from __future__ import annotations

import json
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from msgspec.structs import replace

from samaops.lab.app.push import ServiceAccount, signed_assertion
from samaops.lab.layout import Layout
from samaops.lab.outside import (
    balancer,
    certificates,
    google_control,
    google_fcm,
    google_oauth,
    names,
    parts,
    proxy,
)
from samaops.lab.outside.google_control import Control
from samaops.lab.outside.places import Places

KEY = b"seal"
NOW = 1_800_000_000.0


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    made = Places.of(Layout(tmp_path_factory.mktemp("lab")))
    parts.prepare_files(made)
    return made


@pytest.fixture(scope="module")
def issuer(places: Places) -> google_oauth.Issuer:
    return google_oauth.Issuer(json.loads((places.google / "accounts.json").read_text()), KEY, 60)


@pytest.fixture(scope="module")
def account(places: Places) -> ServiceAccount:
    return ServiceAccount.load(places.service_account)


def ask(assertion: str, issuer: google_oauth.Issuer, now: float = NOW) -> google_oauth.Answer:
    form = {"grant_type": google_oauth.GRANT_TYPE, "assertion": assertion}
    return google_oauth.grant(form, issuer, now)


class TestOAuth:
    def test_a_good_assertion_gives_a_token_that_lives_as_long_as_promised(
        self, account: ServiceAccount, issuer: google_oauth.Issuer
    ) -> None:
        answer = ask(signed_assertion(account, int(NOW)), issuer)
        token = answer.body["access_token"]
        assert (answer.status, answer.body["expires_in"]) == (200, 59)
        assert google_oauth.token_is_good(token, KEY, NOW + 58)
        assert not google_oauth.token_is_good(token, KEY, NOW + 61)
        assert not google_oauth.token_is_good(token, b"other", NOW)

    @pytest.mark.parametrize(
        "token", ["", "ya29.lab", "ya29.lab-zz-x", "ya29.lab-7fffffff-", "ya29.lab-7fffffff-é"]
    )
    def test_a_made_up_token_is_refused(self, token: str) -> None:
        assert not google_oauth.token_is_good(token, KEY, NOW)

    @pytest.mark.parametrize("offset_seconds", [301, 3601, -3601, -86400])
    def test_a_clock_too_far_off_is_named(
        self, account: ServiceAccount, issuer: google_oauth.Issuer, offset_seconds: int
    ) -> None:
        answer = ask(signed_assertion(account, int(NOW) + offset_seconds), issuer)
        assert answer.status == 400
        assert answer.body == {
            "error": "invalid_grant",
            "error_description": google_oauth.NOT_SHORT_LIVED,
        }

    @pytest.mark.parametrize("offset_seconds", [299, -3500])
    def test_a_clock_a_little_off_is_not_noticed(
        self, account: ServiceAccount, issuer: google_oauth.Issuer, offset_seconds: int
    ) -> None:
        assert ask(signed_assertion(account, int(NOW) + offset_seconds), issuer).status == 200

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"client_email": "nobody@example.com"}, "account not found"),
            ({"token_uri": "https://elsewhere/token"}, "Failed audience check"),
            ({"private_key_id": "unknown"}, "Invalid JWT Signature."),
            ({"private_key": rsa.generate_private_key(65537, 2048)}, "Invalid JWT Signature."),
        ],
    )
    def test_another_identity_is_refused(
        self, account: ServiceAccount, issuer: google_oauth.Issuer, change: dict[str, object], words: str
    ) -> None:
        changed = replace(account, **change)
        answer = ask(signed_assertion(changed, int(NOW)), issuer)
        assert answer.body["error"] == "invalid_grant"
        assert words in answer.body["error_description"]

    @pytest.mark.parametrize("assertion", ["", "a.b", "a.b.c", "W10.W10.x", "é.é.é", "e30.e30.x"])
    def test_garbage_is_refused_in_words(self, assertion: str, issuer: google_oauth.Issuer) -> None:
        assert ask(assertion, issuer).status == 400

    def test_another_grant_is_not_supported(self, issuer: google_oauth.Issuer) -> None:
        answer = google_oauth.grant({"grant_type": "password"}, issuer, NOW)
        assert answer.body["error"] == "unsupported_grant_type"


class TestFcm:
    PATH = "/v1/projects/samaconso-lab/messages:send"

    def send(
        self, issuer: google_oauth.Issuer, body: object, control: Control | None = None, path: str = PATH
    ) -> google_oauth.Answer:
        bearer = f"Bearer {google_oauth.access_token(issuer, NOW)}"
        request = google_fcm.Request(path, bearer, json.dumps(body).encode(), NOW)
        return google_fcm.send(request, frozenset({"samaconso-lab"}), KEY, control or Control())

    def test_a_project_of_somebody_else_is_a_sender_mismatch(self, issuer: google_oauth.Issuer) -> None:
        body = {"message": {"token": "d"}}
        answer = self.send(issuer, body, path="/v1/projects/other/messages:send")
        assert answer.body["error"]["details"][0]["errorCode"] == "SENDER_ID_MISMATCH"

    @pytest.mark.parametrize("body", [None, [], {}, {"message": 1}, {"message": {"token": ""}}])
    def test_a_message_without_a_device_is_an_invalid_argument(
        self, issuer: google_oauth.Issuer, body: object
    ) -> None:
        answer = self.send(issuer, body)
        assert (answer.status, answer.body["error"]["status"]) == (400, "INVALID_ARGUMENT")

    def test_a_quota_says_when_to_come_back(self, issuer: google_oauth.Issuer) -> None:
        answer = self.send(issuer, {"message": {"token": "d"}}, Control(mode="quota"))
        assert (answer.status, answer.headers["Retry-After"]) == (429, "60")

    def test_the_share_of_dead_tokens_is_kept_and_stable(self) -> None:
        devices = [f"lab-token-{number}" for number in range(2000)]
        dead = {device for device in devices if google_fcm.is_dead(device, 0.3)}
        assert 0.25 < len(dead) / len(devices) < 0.35
        assert dead <= {device for device in devices if google_fcm.is_dead(device, 0.5)}
        assert not any(google_fcm.is_dead(device, 0.0) for device in devices)


class TestControl:
    def test_what_is_written_is_read(self, tmp_path: Path) -> None:
        control = Control(mode="quota", delay_seconds=2.5)
        google_control.write(tmp_path / "control.json", control)
        assert google_control.read(tmp_path / "control.json") == control

    def test_a_switch_that_does_not_exist_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "control.json").write_text('{"mood": "bad"}')
        with pytest.raises(TypeError, match="mood"):
            google_control.read(tmp_path / "control.json")


class TestCertificates:
    def test_they_are_made_once(self, places: Places) -> None:
        before = {path: path.read_bytes() for path in places.directory.rglob("*.pem")}
        parts.prepare_certificates(places)
        assert len(before) == 5
        assert {path: path.read_bytes() for path in before} == before

    def test_an_old_one_is_renewed(
        self, places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        signer = certificates.authority(
            places.tls / "google-ca.pem", places.tls / "google-ca.key", "unused", "unused"
        )
        monkeypatch.setattr(certificates, "SERVER_DAYS", 10)
        old = certificates.server_certificate(tmp_path, "a.example", signer).read_bytes()
        monkeypatch.setattr(certificates, "SERVER_DAYS", 365)
        assert certificates.server_certificate(tmp_path, "a.example", signer).read_bytes() != old

    def test_the_bundle_has_google_s_authority_and_not_the_proxy_s(self, places: Places) -> None:
        subjects = [
            certificate.subject.rfc4514_string()
            for certificate in x509.load_pem_x509_certificates(places.ca_bundle.read_bytes())
        ]
        assert subjects == ["CN=Lab Google Trust Services CA,O=Lab Google Trust Services"]
        assert ssl.create_default_context(cafile=str(places.ca_bundle)).get_ca_certs()

    def test_keys_are_for_their_owner_alone(self, places: Places) -> None:
        private = [*places.tls.glob("*.key"), *places.google.glob("*.pem"), places.service_account]
        assert len(private) == 5
        assert {path.stat().st_mode & 0o777 for path in private} == {0o600}


class TestNames:
    @pytest.fixture
    def names_file(self, places: Places) -> Path:
        proxy.write_names(places)
        return places.names_file

    def test_a_connect_leads_to_the_stand_in(self, places: Places, names_file: Path) -> None:
        destination = names.destination(b"CONNECT FCM.googleapis.com:443 HTTP/1.1\r\n\r\n", names_file)
        assert destination == names.Destination("fcm.googleapis.com", places.address, places.ports.google)

    def test_a_name_that_is_missing_leads_nowhere(self, names_file: Path) -> None:
        assert names.destination(b"CONNECT example.com:443 HTTP/1.1\r\n\r\n", names_file) is None

    @pytest.mark.parametrize("request_", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff\xfe", b"CONNECT\r\n\r\n"])
    def test_anything_else_is_refused(self, names_file: Path, request_: bytes) -> None:
        with pytest.raises(ValueError, match="not a CONNECT"):
            names.destination(request_, names_file)


class TestConfigurations:
    def test_a_member_can_be_taken_offline(self, places: Places) -> None:
        balancer.write_configuration(places)
        directory = balancer.directory_of(places)
        balancer.write_members(directory, places.members, frozenset({"api_2"}))
        balancer.write_configuration(places)  # as by another `lab up`: it stays out
        text = (directory / "upstreams.conf").read_text()
        down = [line for line in text.splitlines() if line.rstrip(";").endswith(" down")]
        assert len(down) == 3
        assert all(places.members["api_2"] in line for line in down)

    def test_a_refused_host_is_matched_whole_and_its_dots_are_dots(self, places: Places) -> None:
        proxy.write_rules(places, proxy.Rules(refused_hosts=("fcm.googleapis.com",)))
        refused = (places.directory / "proxy" / "refused-hosts").read_text()
        assert refused == "^fcm\\.googleapis\\.com$\n"

    def test_preparing_again_switches_every_fault_off(self, places: Places) -> None:
        proxy.write_rules(places, proxy.Rules("u", "p", ("fcm.googleapis.com",)))
        proxy.write_names(places, missing=("fcm.googleapis.com",))
        google_control.write(places.google / "control.json", Control(mode="quota"))
        parts.prepare_files(places)
        assert "BasicAuth" not in proxy.configuration_file(places).read_text()
        assert "fcm.googleapis.com" in json.loads(places.names_file.read_text())
        assert google_control.read(places.google / "control.json") == Control()
