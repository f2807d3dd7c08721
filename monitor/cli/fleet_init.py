"""What a fleet needs: the server's settings and users, and the settings of each node, as text. Nothing is sent."""

import os
import secrets
import socket
import urllib.parse
from collections.abc import Mapping
from pathlib import Path

import click

from monitor.fleet.redis.acl import acl_lines, user_name
from monitor.fleet.settings import FLEET_NAME, PEER, URL
from monitor.model.errors import NodewardenError, explain

_PASSWORD_BYTES = 32
_PORT = 6379
_TLS_DIRECTORY = "/etc/redis/tls"
PASSWORD_PATH = "/etc/nodewarden/fleet.password"  # noqa: S105 - where it is
CA_PATH = "/etc/nodewarden/fleet-ca.pem"
SETTINGS_NAME = "60-fleet.yaml"
MAX_NODES = 10_000
_CLIENTS_A_NODE = 3
_LEAST_CLIENTS = 1000


class OutputError(NodewardenError):
    """The files cannot be written; the text says why."""


def files_of(fleet: str, url: str, nodes: str, *, with_administrator: bool) -> dict[str, str]:
    """Return the files by name: the server's, those of each node, the administrator's password.

    UsageError for names that are none.
    """
    try:
        fleet, url = FLEET_NAME.read(fleet), URL.read(url)
        names = [PEER.read(name.strip()) for name in nodes.split(",") if name.strip()] or [_this_host()]
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if len(set(names)) < len(names) or len(names) > MAX_NODES:
        raise click.UsageError(f"--nodes: each name once, and at most {MAX_NODES}")
    if not url:
        raise click.UsageError("--url: name the server")
    passwords = {name: secrets.token_urlsafe(_PASSWORD_BYTES) for name in names}
    administrator = secrets.token_urlsafe(_PASSWORD_BYTES)
    lines = acl_lines(fleet, passwords, administrator)
    made = {
        "server/redis.conf": _server(url, len(names)),
        "server/users.acl": _users(lines if with_administrator else lines[:-1]),
    }
    if with_administrator:
        made["administrator.password"] = f"{administrator}\n"
    for name, password in passwords.items():
        made[f"{name}/{SETTINGS_NAME}"] = _node(fleet, url, name)
        made[f"{name}/fleet.password"] = f"{password}\n"
    return made


def write(directory: Path, files: Mapping[str, str]) -> None:
    """Write files that only their owner may read into a directory that must not exist yet; OutputError if it cannot."""
    try:
        directory.mkdir(mode=0o700)
        for name, text in files.items():
            path = directory / name
            path.parent.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
    except FileExistsError:
        raise OutputError(f"{directory} exists already: passwords in it may be in use; name a new directory") from None
    except OSError as error:
        raise OutputError(f"{directory}: {explain(error)}") from None


def _this_host() -> str:
    return socket.gethostname().lower()


def _server(url: str, nodes: int) -> str:
    """Return the part of redis.conf that matters."""
    parts = urllib.parse.urlsplit(url)
    port = parts.netloc.rpartition(":")[2]
    number = port if port.isdigit() else str(_PORT)
    lines = [
        "# Add this to redis.conf or valkey.conf: Redis 7.0, Valkey 7.2 or later. The server needs no disk: when it is",
        "# empty after a restart, each node publishes its own bans again.",
        "aclfile /etc/redis/users.acl",
        "# All addresses of the machine: better, name the one that nodes reach, and let a firewall admit nodes only.",
        "bind * -::*",
        "maxmemory 256mb",
        "maxmemory-policy noeviction",
        f"maxclients {max(_LEAST_CLIENTS, _CLIENTS_A_NODE * nodes)}",
        'save ""',
        "appendonly no",
    ]
    if parts.scheme.startswith("rediss"):
        lines += [
            "# TLS only: no other port",
            "port 0",
            f"tls-port {number}",
            f"tls-cert-file {_TLS_DIRECTORY}/server.pem",
            f"tls-key-file {_TLS_DIRECTORY}/server.key",
            f"tls-ca-cert-file {_TLS_DIRECTORY}/ca.pem",
            "tls-auth-clients no",
        ]
    elif parts.scheme.startswith("redis"):
        lines += [
            "# Without TLS, everybody who can read the network between nodes and server reads passwords: use rediss://",
            f"port {number}",
        ]
    return "\n".join(lines) + "\n"


def _users(lines: list[str]) -> str:
    """Return the ACL file; without a user `default` in it, anybody could do anything."""
    return "\n".join(["user default off resetpass resetchannels -@all", *lines]) + "\n"


def _node(fleet: str, url: str, name: str) -> str:
    """Return the settings of a node."""
    lines = [
        f"# /etc/nodewarden/conf.d/{SETTINGS_NAME} on {name}; its password is the content of",
        f"# {PASSWORD_PATH} (owner root, group nodewarden, mode 0640).",
        "fleet:",
        f"  url: {url}",
        f"  name: {fleet}",
        f"  node: {name}",
        f"  username: {user_name(fleet, name)}",
        f"  password_file: {PASSWORD_PATH}",
    ]
    if url.startswith("rediss"):
        lines += [f"  ca_file: {CA_PATH}    # delete this line if a public authority signed the server's certificate"]
    lines += [
        "  mode: observe    # set enforce once `nodewarden list --observed` shows only addresses that may be banned"
    ]
    return "\n".join(lines) + "\n"
