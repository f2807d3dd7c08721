"""What parts of the daemon require of the machine, what of it is missing, and the command that repairs it: pure."""

import enum

import msgspec

_UNIT = "nodewarden.service"
RESTART = f"systemctl restart {_UNIT}"
"""The command that restarts the daemon."""


class Privileges(msgspec.Struct, frozen=True):
    """What this process may do."""

    account: str
    is_sandboxed: bool
    """Whether a filter of system calls is in force, as in the unit."""
    capabilities: frozenset[str]
    """The effective capabilities that matter here."""


class Requirement(msgspec.Struct, frozen=True):
    """One thing that a part requires. `missing` says why it is not there; `repair` is a command for root's shell."""

    what: str
    missing: str = ""
    repair: str = ""


class PartKind(enum.StrEnum):
    """What a part does."""

    SOURCE = "source"
    ENFORCER = "enforcer"
    PROTECTION = "protection"
    SERVICE = "service"


class Part(msgspec.Struct, frozen=True):
    """A source, an enforcer or something else that works or does not."""

    name: str
    kind: PartKind
    is_wanted: bool
    """Whether the configuration enables it."""
    requirements: list[Requirement]
    is_optional: bool = False
    """Whether the daemon works without it, only not as well."""

    @property
    def state(self) -> str:
        """`off`, `ok`, `missing`, or `could be better`."""
        if not self.is_wanted:
            return "off"
        if not any(requirement.missing for requirement in self.requirements):
            return "ok"
        return "could be better" if self.is_optional else "missing"


def sysctl_requirement(name: str, value: str, purpose: str) -> Requirement:
    """Require that a sysctl (`net/netfilter/nf_conntrack_acct`), whose value is given, is 1."""
    dotted = name.replace("/", ".")
    return Requirement(
        f"{dotted} = 1 for {purpose}",
        "" if value == "1" else "it is not",
        f"echo {dotted}=1 >> /etc/sysctl.d/60-nodewarden.conf && sysctl --system",
    )


def capability_repair(capability: str, privileges: Privileges) -> str:
    """Return the command that gives the service a capability, or what to check where it has it already."""
    if capability in privileges.capabilities:
        return f"{capability} is there; what else refuses it (lockdown, seccomp, AppArmor)? see journalctl -k"
    return drop_in(capability.lower(), f"AmbientCapabilities={capability}", f"CapabilityBoundingSet={capability}")


def drop_in(name: str, *lines: str) -> str:
    """Return the command that adds lines to the unit's [Service] section and restarts it."""
    words = " ".join(f"'{line}'" for line in ("[Service]", *lines))
    path = f"/etc/systemd/system/{_UNIT}.d/{name}.conf"
    return f"printf '%s\\n' {words} | install -D -m 644 /dev/stdin {path} && systemctl daemon-reload && {RESTART}"
