"""Who is answered: token, TLS and client certificates, and what is refused before anything is started."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from service_toy import reader, tiny

from hw_model import estimate
from hw_model.errors import DataError, EnvironmentFault, UsageError
from hw_model.service import CostClient, CostServer, ServerSettings

TOKEN = "a token of a test"


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and certificates by it for a server and a client, made anew for every run."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is needed to make certificates")
    folder = tmp_path_factory.mktemp("certificates")
    new = (
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    )
    for authority in ("ca", "other"):
        openssl(
            folder,
            *new,
            "-keyout",
            f"{authority}.key",
            "-out",
            f"{authority}.pem",
            "-subj",
            f"/CN={authority}",
        )
    for name in ("server", "client"):
        openssl(
            folder, *new, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}",
            "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-CA", "ca.pem", "-CAkey", "ca.key",
        )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def guarded(certificates: Path) -> Iterator[CostServer]:
    """A server with everything: TLS, client certificates and a token."""
    settings = ServerSettings(
        port=0,
        spec_reader=reader,
        token=TOKEN,
        tls_cert=certificates / "server.pem",
        tls_key=certificates / "server.key",
        tls_client_ca=certificates / "ca.pem",
    )
    with CostServer(settings) as running:
        yield running


@pytest.fixture(scope="module")
def with_token() -> Iterator[CostServer]:
    with CostServer(ServerSettings(port=0, spec_reader=reader, token=TOKEN)) as running:
        yield running


def ask(server: CostServer, **settings: Any) -> float:
    with CostClient(
        [server.address], timeout_s=settings.pop("timeout_s", 30), **settings
    ) as client:
        return client.report(tiny()).latency_ms


def test_certificates_and_token_together_are_answered(
    guarded: CostServer, certificates: Path
) -> None:
    names = {"tls_ca": "ca.pem", "tls_cert": "client.pem", "tls_key": "client.key"}
    files = {key: certificates / name for key, name in names.items()}
    assert ask(guarded, token=TOKEN, **files) == estimate(tiny()).latency_ms
    with pytest.raises(UsageError, match="Token missing or wrong"):
        ask(guarded, token="another", **files)


def test_without_the_right_certificates_nobody_is_answered(
    guarded: CostServer, certificates: Path
) -> None:
    pair = {"tls_cert": certificates / "client.pem", "tls_key": certificates / "client.key"}
    for files in (
        {},
        {"tls_ca": certificates / "ca.pem"},
        {"tls_ca": certificates / "other.pem", **pair},
    ):
        with pytest.raises(EnvironmentFault, match="No cost service answered"):
            ask(guarded, token=TOKEN, timeout_s=0.5, **files)


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + " "])
def test_a_wrong_token_is_refused_at_once(with_token: CostServer, token: str) -> None:
    with pytest.raises(UsageError, match="EDGEZOO_COST_TOKEN"):
        ask(with_token, token=token)


def test_the_right_token_is_answered(with_token: CostServer) -> None:
    assert ask(with_token, token=TOKEN) == estimate(tiny()).latency_ms


def test_probes_need_no_token_and_reflection_does(with_token: CostServer) -> None:
    with grpc.insecure_channel(with_token.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=30)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        with pytest.raises(grpc.RpcError) as caught:
            list(stub.ServerReflectionInfo(asked, timeout=30))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"port": 70000}, "port must be from 0 to 65535"),
        ({"metrics_port": -1}, "metrics_port must be"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"max_calls": 0}, "max_calls must be at least 1"),
        ({"item_timeout_s": 0.0}, "item_timeout_s must be above 0"),
        ({"tls_cert": Path("a.pem")}, "TLS needs a certificate and its key"),
        ({"tls_client_ca": Path("a.pem")}, "needs a certificate and key of the server"),
        ({"host": "0.0.0.0", "token": TOKEN}, "can be read by others"),
        ({"host": "costs.example", "token": TOKEN}, "can be read by others"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        ServerSettings(**changes)


def test_a_token_is_served_in_clear_text_only_where_asked_for() -> None:
    for host in ("127.0.0.1", "::1", "localhost"):
        ServerSettings(host=host, token=TOKEN)
    ServerSettings(host="0.0.0.0", token=TOKEN, allow_plaintext_token=True)


def test_files_that_are_no_certificate_are_named(tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("nothing")
    with pytest.raises(DataError, match="rubbish.pem"):
        ServerSettings(tls_cert=rubbish, tls_key=rubbish)
    with pytest.raises(DataError, match="absent.pem"):
        ServerSettings(tls_cert=tmp_path / "absent.pem", tls_key=rubbish)
