"""Where the server is, as the URL says. Pure."""

import enum
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

_PORT = 6379
_SENTINEL_PORT = 26379


class Finding(enum.Enum):
    """How the server that takes writes is found."""

    DIRECT = "direct"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


class Endpoint(NamedTuple):
    """One server: host and port, or the path of a socket."""

    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        """Write it as people do."""
        return self.path or (f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}")


class Address(NamedTuple):
    """The parts of `fleet.url`."""

    finding: Finding
    seeds: tuple[Endpoint, ...]
    """The server, or several of which each can tell where the server is."""
    is_tls: bool
    service: str = ""
    """What Sentinel calls the server."""
    database: int = 0
    username: str = ""


def read_address(url: str) -> Address:
    """Return the parts of a URL; ValueError if it names no server, with a text for people."""
    parts = urlsplit(url)
    kind, _, suffix = parts.scheme.partition("+")
    user, _, hosts = parts.netloc.rpartition("@")
    username = unquote(user.partition(":")[0])
    path = unquote(parts.path)
    if kind == "unix":
        if hosts or not path.startswith("/"):
            raise ValueError("it names no socket, as in unix:///run/redis/redis.sock")
        return Address(Finding.DIRECT, (Endpoint("", 0, path),), is_tls=False, username=username)
    finding = Finding(suffix) if suffix else Finding.DIRECT
    port = _SENTINEL_PORT if finding is Finding.SENTINEL else _PORT
    seeds = tuple(_endpoint(host, port) for host in hosts.split(",") if host)
    if not seeds:
        raise ValueError("it names no server")
    if finding is Finding.DIRECT and len(seeds) > 1:
        raise ValueError("several servers need redis+sentinel:// or redis+cluster://")
    word = path.strip("/")
    if finding is Finding.SENTINEL:
        service, _, word = word.partition("/")
        if not service:
            raise ValueError("it does not name the service, as in redis+sentinel://HOST:PORT,HOST:PORT/SERVICE")
        return Address(finding, seeds, kind == "rediss", service, _database(word), username)
    if finding is Finding.CLUSTER and word not in ("", "0"):
        raise ValueError("a cluster has database 0 only")
    return Address(finding, seeds, kind == "rediss", "", _database(word), username)


def _endpoint(text: str, default_port: int) -> Endpoint:
    if text.count(":") > 1 and not text.startswith("["):
        raise ValueError(f"an IPv6 address needs brackets: [{text}]")
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{text}: {error}") from None
    if not host or port == 0:
        raise ValueError(f"{text} names no server")
    return Endpoint(host, port or default_port)


def _database(text: str) -> int:
    if not text:
        return 0
    if not text.isdecimal() or len(text) > 5:
        raise ValueError(f"{text} is no number of a database")
    return int(text)
