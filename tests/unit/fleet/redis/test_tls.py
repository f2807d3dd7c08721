"""TLS: the server's certificate is checked in every respect, and what is wrong with it is said."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.fleet.redis import link
from tests.support.redis_server import RedisServer, free_port
from tests.unit.fleet.redis.support import Member, running, until


class Authority:
    """Makes certificates with openssl."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in ("ca", "other"):
            self._run(f"req -x509 -newkey ed25519 -nodes -subj /CN={name} -keyout {name}.key -out {name}.pem -days 2")

    def sign(self, name: str, alternative: str, days: str = "2") -> None:
        """Make NAME.pem and NAME.key; `days` may be negative."""
        self._run(f"req -newkey ed25519 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr")
        (self.directory / "ext").write_text(f"subjectAltName={alternative}\n")
        self._run(f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days {days} -extfile ext "
                  f"-out {name}.pem")  # fmt: skip

    def file(self, name: str) -> str:
        """Return the path of a file."""
        return str(self.directory / name)

    def _run(self, command: str) -> None:
        subprocess.run(["openssl", *command.split()], cwd=self.directory, check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    one = Authority(tmp_path_factory.mktemp("ca"))
    one.sign("good", "DNS:localhost,IP:127.0.0.1")
    one.sign("elsewhere", "DNS:redis.example.org")
    one.sign("expired", "DNS:localhost", "-1")
    one.sign("client", "DNS:client")
    return one


@pytest.fixture(scope="module")
def server(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    options = {"tls-port": str(free_port()), "tls-cert-file": authority.file("good.pem"),
               "tls-key-file": authority.file("good.key"), "tls-ca-cert-file": authority.file("ca.pem")}  # fmt: skip
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    with RedisServer(tmp_path_factory.mktemp("redis"), *arguments, port=free_port()) as one:
        yield one


CASES: dict[str, tuple[str, dict[str, str], str]] = {
    # the server's certificate, our settings, and what is said: empty, it connects
    "sound": ("good", {"ca_file": "ca.pem", "cert_file": "client.pem", "key_file": "client.key"}, ""),
    "without our certificate": ("good", {"ca_file": "ca.pem"}, "certificate (fleet.cert_file"),
    "expired": ("expired", {"ca_file": "ca.pem"}, "its certificate has expired"),
    "of another name": ("elsewhere", {"ca_file": "ca.pem"}, "for another name"),
    "of an unknown authority": ("good", {"ca_file": "other.pem"}, "is not trusted"),
    "of none that the system knows": ("good", {}, "is not trusted"),
}


def test_each_certificate(server: RedisServer, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name and by the address; and what answers no TLS, or nothing else."""
    tls_port = server.cli("CONFIG", "GET", "tls-port").split()[1]

    async def outcome(url: str, files: dict[str, str]) -> str:
        member = Member("web", url=url, **{name: authority.file(file) for name, file in files.items()})
        async with running(member):
            await until(lambda: member.is_connected or len(member.problems) > 2, member)
        return "" if member.is_connected else member.problems[-1]

    async def run() -> None:
        for name, (certificate, files, expected) in CASES.items():
            _use(server, authority, certificate)
            text = await outcome(f"rediss://localhost:{tls_port}", files)
            assert (expected in text) if expected else not text, (name, text)
        _use(server, authority, "good")
        sound = CASES["sound"][1]
        assert await outcome(f"rediss://127.0.0.1:{tls_port}", sound) == ""
        monkeypatch.setattr(link, "CONNECT_S", 0.3)
        assert "only one side uses TLS" in await outcome(f"rediss://127.0.0.1:{server.port}", sound)
        text = await outcome(f"redis://127.0.0.1:{tls_port}", {})
        assert "rediss://" in text, text

    asyncio.run(run())


_PING = """
import sys
from monitor.cli import slim
slim.load()
import asyncio
assert asyncio.base_events.ssl is None
from monitor.fleet.redis.credentials import make_tls
from monitor.fleet.settings import FleetSettings
async def ping(port, ca_file, cert_file, key_file):
    tls = make_tls(FleetSettings(url="rediss://localhost", ca_file=ca_file, cert_file=cert_file, key_file=key_file))
    reader, writer = await asyncio.open_connection("localhost", port, ssl=tls)
    writer.write(b"PING\\r\\n")
    print((await reader.readline()).decode())
    writer.close()
asyncio.run(ping(*sys.argv[1:]))
"""


def test_a_daemon_that_started_without_openssl_has_tls_for_the_fleet(server: RedisServer, authority: Authority) -> None:
    """asyncio was imported without it, as `nodewarden run` does."""
    _use(server, authority, "good")
    port = server.cli("CONFIG", "GET", "tls-port").split()[1]
    files = map(authority.file, ("ca.pem", "client.pem", "client.key"))
    done = subprocess.run([sys.executable, "-c", _PING, port, *files], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "+PONG", done.stderr


def _use(server: RedisServer, authority: Authority, name: str) -> None:
    """Give the server another certificate."""
    files = {"tls-cert-file": authority.file(f"{name}.pem"), "tls-key-file": authority.file(f"{name}.key")}
    assert server.cli("CONFIG", "SET", *(word for pair in files.items() for word in pair)) == "OK"
