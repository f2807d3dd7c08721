"""TLS and passwords at /metrics, with real handshakes and hashes."""

import base64
import contextlib
import datetime
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from monitor.metrics.http_connection import Drop, HttpLimits
from monitor.metrics.http_message import HttpRequest
from monitor.metrics.http_server import HttpServer
from monitor.metrics.web_config import read_web_config
from monitor.metrics.web_gate import WebGate
from monitor.model.errors import ConfigError
from tests.unit.metrics.test_http_server import hello

_WAIT_S = 60.0
_HASH = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
_TLS = {"cert_file": "node.crt", "key_file": "node.key"}
_UNUSABLE = {
    "missing": None,
    "no yaml": "a: [",
    "a number that is none": 'basic_auth_users: {a: !!int ""}',
    "a date that is none": "basic_auth_users: {a: !!timestamp x}",
    "a list": "[1]",
    "no certificate": {"tls_server_config": _TLS | {"cert_file": "none.crt"}},
    "another key": {"tls_server_config": _TLS | {"key_file": "ca.key"}},
    "an encrypted key": {"tls_server_config": _TLS | {"key_file": "locked.key"}},
    "a directory as a key": {"tls_server_config": _TLS | {"key_file": "."}},
    "a FIFO as a certificate": {"tls_server_config": _TLS | {"cert_file": "fifo"}},
    "key missing": {"tls_server_config": {"cert_file": "node.crt"}},
    "unknown key": {"tls_server_config": _TLS | {"cipher_suites": ["X"]}},
    "unknown section": {"http_server_config": {"http2": False}},
    "authority missing": {"tls_server_config": _TLS | {"client_auth_type": "RequireAndVerifyClientCert"}},
    "authority unused": {"tls_server_config": _TLS | {"client_ca_file": "ca.crt"}},
    "authority broken": {
        "tls_server_config": _TLS | {"client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": "node.key"}
    },
    "a password as it is": {"basic_auth_users": {"prometheus": "secret"}},
    "a slow hash": {"basic_auth_users": {"prometheus": _HASH.replace("$04$", "$31$")}},
    "a hash that is none": {"basic_auth_users": {"prometheus": "$2y$04$" + "!" * 53}},
}


def _certify(directory: Path, name: str, issuer: str = "ca") -> None:
    """Make a key and a certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    private, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (directory / f"{name}.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, private, plain))
    by = key
    if name != issuer:
        loaded = serialization.load_pem_private_key((directory / f"{issuer}.key").read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        by = loaded
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in (name, issuer)]
    made = (
        x509.CertificateBuilder(issuer_name=names[1], subject_name=names[0], public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=name == issuer, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("node.example")]), critical=False)
        .sign(by, hashes.SHA256())
    )
    (directory / f"{name}.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with an authority, certificates of a node and of a client, and an encrypted key."""
    found = tmp_path_factory.mktemp("web")
    for name in ("ca", "node", "client"):
        _certify(found, name)
    key = serialization.load_pem_private_key((found / "node.key").read_bytes(), None)
    os.mkfifo(found / "fifo")
    locked = serialization.BestAvailableEncryption(b"x")
    private = serialization.PrivateFormat.PKCS8
    (found / "locked.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, private, locked))
    return found


def _write(directory: Path, content: object) -> Path:
    path = directory / "web.yaml"
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


@contextlib.contextmanager
def _served(gate: WebGate, **limits: float) -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    port: int = listener.getsockname()[1]
    dropped: dict[str, int] = dict.fromkeys(Drop, 0)
    faults: list[Exception] = []
    server = HttpServer(listener, hello, dropped, faults.append, HttpLimits(**limits), gate=gate)  # type: ignore[arg-type]
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield port
    finally:
        server.close()
        thread.join(_WAIT_S)
    assert not thread.is_alive()
    assert faults == []


def _get(port: int, login: str = "", context: ssl.SSLContext | None = None, *, pause_s: float = 0.0) -> bytes:
    """Scrape; return the whole answer, empty if the server closes without one."""
    header = f"Authorization: Basic {base64.b64encode(login.encode()).decode()}\r\n" if login else ""
    request = f"GET /metrics HTTP/1.1\r\nHost: x\r\n{header}\r\n".encode()
    raw = socket.create_connection(("127.0.0.1", port), _WAIT_S)
    try:
        client = context.wrap_socket(raw, server_hostname="node.example") if context else raw
        with client:
            for part in (request[:20], request[20:]):
                client.sendall(part)
                time.sleep(pause_s)
            return b"".join(iter(lambda: client.recv(65536), b""))
    except (ssl.SSLError, ConnectionError):
        return b""
    finally:
        raw.close()


def _client(
    directory: Path, *, certificate: str = "", newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(directory / "ca.crt"))
    context.maximum_version = newest
    if certificate:
        context.load_cert_chain(directory / f"{certificate}.crt", directory / f"{certificate}.key")
    return context


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("pause_s", [0.0, 0.05])
def test_tls(directory: Path, newest: ssl.TLSVersion, pause_s: float) -> None:
    """A scrape over TLS is answered, also in pieces; one without TLS is not."""
    gate = WebGate(_write(directory, {"tls_server_config": _TLS}))
    with _served(gate) as port:
        assert _get(port, context=_client(directory, newest=newest), pause_s=pause_s).endswith(b"hello")
        assert _get(port) == b""


@pytest.mark.parametrize("kind", ["RequireAndVerifyClientCert", "VerifyClientCertIfGiven"])
def test_certificates_of_clients(directory: Path, kind: str) -> None:
    """The authority's clients are answered; those without a certificate only if none is required."""
    tls = _TLS | {"client_auth_type": kind, "client_ca_file": "ca.crt"}
    with _served(WebGate(_write(directory, {"tls_server_config": tls}))) as port:
        assert _get(port, context=_client(directory, certificate="client")).endswith(b"hello")
        is_answered = _get(port, context=_client(directory)) != b""
        assert is_answered == (kind == "VerifyClientCertIfGiven")


def test_strangers_who_stop_in_the_middle_of_a_handshake(directory: Path) -> None:
    """Hundreds of them, silent or with garbage, keep no scrape from being answered."""
    gate = WebGate(_write(directory, {"tls_server_config": _TLS}))
    with _served(gate, connections=20, read_s=60) as port, contextlib.ExitStack() as stack:
        for number in range(300):
            stranger = stack.enter_context(socket.create_connection(("127.0.0.1", port), _WAIT_S))
            with contextlib.suppress(OSError):
                stranger.sendall(
                    (b"", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n", os.urandom(600))[number % 4]
                )
        assert _get(port, context=_client(directory)).endswith(b"hello")


@pytest.mark.parametrize(
    "login", ["", "prometheus:wrong", "nobody:secret", "prometheus:", ":secret", "prometheus", "\0:\xff"]
)
def test_passwords(directory: Path, login: str) -> None:
    """Only the right name with the right password is answered, the second time from memory; others get 401."""
    with _served(WebGate(_write(directory, {"basic_auth_users": {"prometheus": _HASH}}))) as port:
        for _ in range(2):
            assert _get(port, "prometheus:secret").endswith(b"hello")
            answer = _get(port, login)
            assert answer.startswith(b"HTTP/1.1 401 ")
            assert b"WWW-Authenticate: Basic" in answer


def test_guessing_delays_no_scrape(directory: Path) -> None:
    """While strangers send wrong passwords, known clients are answered without another check."""
    slow = bcrypt.hashpw(b"secret", bcrypt.gensalt(9)).decode()
    gate = WebGate(_write(directory, {"basic_auth_users": {"prometheus": slow}}))
    checked: list[HttpRequest] = []
    admits = gate._admits

    def count(request: HttpRequest) -> bool:
        checked.append(request)
        return admits(request)

    gate._admits = count  # type: ignore[method-assign]
    with _served(gate, connections=50, read_s=60) as port:
        assert _get(port, "prometheus:secret").endswith(b"hello")
        threads = [threading.Thread(target=_get, args=(port, f"prometheus:{number}")) for number in range(20)]
        for thread in threads:
            thread.start()
        assert _get(port, "prometheus:secret").endswith(b"hello")
        for thread in threads:
            thread.join(_WAIT_S)
        assert len(checked) == 21


def test_changed_files_are_followed(directory: Path) -> None:
    """A new password counts soon; a broken file is reported, and the old one stays in force until it is repaired."""
    now_s = [0.0]
    path = _write(directory, {"basic_auth_users": {"prometheus": _HASH}})
    gate = WebGate(path, clock=lambda: now_s[0])
    with _served(gate) as port:
        assert _get(port, "prometheus:secret").endswith(b"hello")
        for content, wrong, right, is_troubled in (
            ({"basic_auth_users": {"other": _HASH}}, "prometheus:secret", "other:secret", False),
            ("broken: [", "prometheus:secret", "other:secret", True),
            (None, "prometheus:secret", "other:secret", True),
            ({"basic_auth_users": {"third": _HASH}}, "other:secret", "third:secret", False),
        ):
            _write(directory, content)
            now_s[0] += 60.0
            assert b" 401 " in _get(port, wrong)
            assert _get(port, right).endswith(b"hello")
            assert bool(gate.trouble) == is_troubled


def test_clients_that_the_old_files_refuse_are_not_locked_out(directory: Path) -> None:
    """A new TLS configuration counts although no request came through the old one's handshake."""
    now_s = [0.0]
    strict = _TLS | {"client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": "ca.crt"}
    gate = WebGate(_write(directory, {"tls_server_config": strict}), clock=lambda: now_s[0])
    with _served(gate) as port:
        assert _get(port, context=_client(directory)) == b""
        _write(directory, {"tls_server_config": _TLS})
        now_s[0] += 60.0
        assert _get(port, context=_client(directory)).endswith(b"hello")


@pytest.mark.parametrize("why", _UNUSABLE)
def test_unusable_files(directory: Path, why: str) -> None:
    """The daemon does not serve without the protection that the file asks for; the error names the file."""
    path = _write(directory, _UNUSABLE[why])
    if why == "a hash that is none":  # only checking a password shows it
        with _served(WebGate(path)) as port:
            assert b" 401 " in _get(port, "prometheus:secret")
        return
    with pytest.raises(ConfigError, match=r"web\.yaml"):
        WebGate(path)


def test_an_empty_file_asks_for_nothing(directory: Path) -> None:
    """As with the toolkit."""
    assert read_web_config(_write(directory, "")).basic_auth_users == {}


def test_other_programs(directory: Path) -> None:
    """Prometheus' own tool takes the file for good, and curl scrapes with certificate and password."""
    tls = _TLS | {"client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": "ca.crt"}
    path = _write(directory, {"tls_server_config": tls, "basic_auth_users": {"prometheus": _HASH}})
    subprocess.run(["promtool", "check", "web-config", path], check=True, capture_output=True, cwd=directory)
    with _served(WebGate(path)) as port:
        client: list[str | Path] = ["--cert", "client.crt", "--key", "client.key", "--cacert", "ca.crt"]
        where: list[str | Path] = [
            "--resolve",
            f"node.example:{port}:127.0.0.1",
            f"https://node.example:{port}/metrics",
        ]
        curl: list[str | Path] = ["curl", "-sS", "--max-time", "10", *client, "-u", "prometheus:secret", *where]
        answer = subprocess.run(curl, check=True, capture_output=True, cwd=directory)
        assert (answer.stdout, answer.stderr) == (b"hello", b"")
