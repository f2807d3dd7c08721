"""The users that a server needs, as lines of an ACL file. Pure.

Each node has a user of its own that writes its own keys only, so the key tells who wrote a record. What all nodes write
(the bell and the list of names) is limited to the commands needed, by selectors (Redis 7.0, Valkey 7.2). The
administrator's user is the only one that writes the fleet's allowlist; it may also do what `status` and the
documentation ask for: load a changed ACL file, see how the server is, and delete a key of the fleet.

Source: https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/
"""

import hashlib
from collections.abc import Mapping

from monitor.fleet.redis.keys import FleetKeys

_LONGEST_USER = 64
_EVERYBODY = ("auth", "hello", "select", "ping", "multi", "exec")
_WRITES = ("hset", "hdel", "xadd", "xtrim", "del", "set", "pexpireat")
_READS = ("getrange", "hlen", "hscan", "exists", "xread")


def user_name(fleet: str, node: str) -> str:
    """Return what a node's user is called, unique among all fleets of a server; a long name is shortened."""
    name = f"nodewarden:{fleet}:{node}"
    if len(name) <= _LONGEST_USER:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{name[: _LONGEST_USER - 13]}-{digest}"


def administrator_name(fleet: str) -> str:
    """Return what the administrator's user is called; no node's user is, as names of nodes hold no capitals."""
    return user_name(fleet, "ADMIN")


def acl_lines(fleet: str, nodes: Mapping[str, str], administrator: str) -> list[str]:
    """Return the lines; `nodes`: password by name of the node, `administrator`: that user's password.

    ValueError if there is none, or a password is too short to be one.
    """
    for password in (*nodes.values(), administrator):
        if len(password) < 16:
            raise ValueError("a password of a fleet has 16 characters or more")
    keys = FleetKeys(fleet)
    lines = [_node_line(keys, fleet, node, password) for node, password in nodes.items()]
    return [*lines, _administrator_line(keys, fleet, administrator)]


def _node_line(keys: FleetKeys, fleet: str, node: str, password: str) -> str:
    own = keys.of(node.encode())
    rules = [
        *(f"%RW~{_pattern(key)}" for key in own),
        *(f"+{name}" for name in (*_EVERYBODY, "time", *_WRITES, *_READS)),
        _selector(_READS, f"%R~{keys.prefix.decode()}[bpsmn]:*"),
        _selector(("hscan", "hlen"), f"%R~{_pattern(keys.allow)}"),
        _selector(("xread", "xadd", "del"), f"%RW~{_pattern(keys.bell)}"),
        _selector(("zadd", "zrangebyscore", "zremrangebyscore"), f"%RW~{_pattern(keys.names)}"),
    ]
    return _line(user_name(fleet, node), password, rules)


def _administrator_line(keys: FleetKeys, fleet: str, password: str) -> str:
    rules = [
        f"%RW~{_pattern(keys.allow)}",
        *(f"+{name}" for name in (*_EVERYBODY, "time", "exists")),
        *(f"+{name}" for name in ("hset", "hsetnx", "hdel", "hlen", "hget", "hscan")),
        _selector(("xadd",), f"%RW~{_pattern(keys.bell)}"),
        *(f"+{name}" for name in ("acl|load", "info")),
        _selector(("del",), f"%RW~{keys.prefix.decode()}*"),
    ]
    return _line(administrator_name(fleet), password, rules)


def _line(user: str, password: str, rules: list[str]) -> str:
    digest = hashlib.sha256(password.encode()).hexdigest()
    return " ".join(["user", user, "on", f"#{digest}", "resetchannels", "-@all", *rules])


def _selector(commands: tuple[str, ...], key: str) -> str:
    return f"({' '.join(f'+{name}' for name in commands)} {key})"


def _pattern(key: bytes) -> str:
    """Write a key as a pattern that matches it alone; our names hold no other special character."""
    return key.decode()
