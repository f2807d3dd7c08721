"""A real etcd, found by its process, judged by its settings; and what it answers says the same."""

import contextlib
import http.client
import os
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from monitor.audit.facts import Facts
from monitor.audit.host import Host
from monitor.audit.hosting.gathering import gather_host
from monitor.audit.judging import judge
from monitor.audit.registry import ALL
from tests.support.daemon import wait_for
from tests.support.lab import Lab
from tests.support.needs import needs

pytestmark = pytest.mark.kernel

ETCD = tuple(check for check in ALL if check.id.startswith("etcd-"))


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Return a certificate for 127.0.0.1 that is its own authority, and its key."""
    needs("openssl")
    certificate, key = tmp_path / "etcd.crt", tmp_path / "etcd.key"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=etcd", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", "-x509", *kind, *names, *files], check=True, capture_output=True)
    return certificate, key


@contextlib.contextmanager
def etcd(directory: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[None]:
    """Run an etcd in the namespace of the test, until it listens for clients."""
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            ["etcd", f"--data-dir={directory}/data", "--unsafe-no-fsync", *arguments],
            stdout=log,
            stderr=log,
            env={"PATH": os.environ["PATH"], "ETCD_UNSUPPORTED_ARCH": "arm64", **(environment or {})},
        )
    try:
        wait_for(lambda: answer(None) != "refused", f"etcd to listen, see {directory}/log")
        yield
    finally:
        process.terminate()
        process.wait(20)


def answer(context: ssl.SSLContext | None) -> str:
    """Return what etcd says to a client: a status, `refused` (no connection), or `closed` (no answer over it)."""
    connection = (
        http.client.HTTPSConnection("127.0.0.1", 2379, timeout=10, context=context)
        if context
        else http.client.HTTPConnection("127.0.0.1", 2379, timeout=10)
    )
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/version")
            return str(connection.getresponse().status)
        except ConnectionRefusedError:
            return "refused"
        except (OSError, http.client.HTTPException):
            return "closed"


def client(certificate: tuple[Path, Path] | None) -> ssl.SSLContext:
    """Return the TLS of a client that trusts every server, with a certificate of its own or without."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(*certificate)
    return context


def of_this_test(directory: Path) -> Facts:
    """Return the host, with the etcd of this test only: others run other tests on the same machine."""
    host = gather_host()
    programs = tuple(one for one in host.programs if one.value("data-dir") == f"{directory}/data")
    return Facts(host=Host(sysctls=host.sysctls, programs=programs))


def failures(directory: Path) -> dict[str, str]:
    """Return the severity of each check of etcd that fails."""
    return {str(one.check): str(one.severity) for one in judge(ETCD, of_this_test(directory)) if one.state == "fail"}


def test_an_etcd_without_tls_is_found_and_serves_everybody(tmp_path: Path) -> None:
    """Every client gets an answer, and four checks fail for it; on loopback only, they are less severe."""
    needs("etcd")
    with Lab("node", label="etcd") as lab, lab["node"].entered():
        with etcd(
            tmp_path, "--listen-client-urls=http://0.0.0.0:2379", "--advertise-client-urls=http://127.0.0.1:2379"
        ):
            assert answer(None) == "200"
            assert failures(tmp_path) == {
                "etcd-tls": "critical",
                "etcd-client-auth": "critical",
                "etcd-listen": "medium",
                "etcd-peers": "low",
            }
        with etcd(tmp_path):
            assert answer(None) == "200"
            assert failures(tmp_path) == {"etcd-tls": "medium", "etcd-client-auth": "medium", "etcd-peers": "low"}


def test_an_etcd_with_tls_passes_and_refuses_strangers(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    """Configured by its environment: a client without certificate gets no answer, one with it does."""
    needs("etcd")
    files = {"CERT_FILE": certificate[0], "KEY_FILE": certificate[1], "TRUSTED_CA_FILE": certificate[0]}
    environment = {
        "ETCD_LISTEN_CLIENT_URLS": "https://127.0.0.1:2379",
        "ETCD_ADVERTISE_CLIENT_URLS": "https://127.0.0.1:2379",
        "ETCD_LISTEN_PEER_URLS": "https://127.0.0.1:2380",
        "ETCD_INITIAL_ADVERTISE_PEER_URLS": "https://127.0.0.1:2380",
        "ETCD_INITIAL_CLUSTER": "default=https://127.0.0.1:2380",
        "ETCD_CLIENT_CERT_AUTH": "true",
        "ETCD_PEER_CLIENT_CERT_AUTH": "true",
        **{f"ETCD_{name}": str(path) for name, path in files.items()},
        **{f"ETCD_PEER_{name}": str(path) for name, path in files.items()},
    }
    with Lab("node", label="etcd") as lab, lab["node"].entered(), etcd(tmp_path, environment=environment):
        assert answer(client(None)) == "closed"
        assert answer(client(certificate)) == "200"
        assert failures(tmp_path) == {}
        assert all(one.state == "pass" for one in judge(ETCD, of_this_test(tmp_path)))


def test_an_authority_for_clients_is_enough_for_etcd_to_ask_them(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    """With --trusted-ca-file alone, from a file, etcd refuses clients without certificate: the check passes."""
    needs("etcd")
    file = tmp_path / "etcd.yaml"
    file.write_text(
        f"data-dir: {tmp_path}/data\nlisten-client-urls: https://127.0.0.1:2379\n"
        "advertise-client-urls: https://127.0.0.1:2379\nclient-transport-security:\n"
        f"  cert-file: {certificate[0]}\n  key-file: {certificate[1]}\n  trusted-ca-file: {certificate[0]}\n"
    )
    with Lab("node", label="etcd") as lab, lab["node"].entered(), etcd(tmp_path, f"--config-file={file}"):
        assert answer(client(None)) == "closed"
        assert answer(client(certificate)) == "200"
        assert failures(tmp_path) == {"etcd-peers": "low"}
