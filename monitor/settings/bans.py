"""The settings of section `bans`: from alerts to bans."""

import enum
import re
from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, field

from monitor.config.kinds import GROUP, ValueKind, among, duration, integer, number
from monitor.config.shapes import MERGED, Conflict, Section
from monitor.model.addresses import Network, collapse, parse_network
from monitor.model.bans import ADMIN_GROUPS, MAX_ALLOWED_CONFIGURED, Action, Mode
from monitor.settings.presets import PRESET

_INTERFACE = re.compile(r"[A-Za-z0-9_.@-]{1,15}")
"""The common part of what the kernel accepts (dev_valid_name)."""


def _read_interface(value: str) -> str:
    """Read the name of a network interface other than loopback, on which nothing is ever dropped."""
    if not _INTERFACE.fullmatch(value) or value in (".", "..", "lo"):
        raise ValueError(f"{value[:32]!r} is not an interface that faces attackers (expected for example eth0)")
    return value


INTERFACE: ValueKind[str] = ValueKind(
    "name of an interface", _read_interface, str, {"type": "string", "pattern": f"^{_INTERFACE.pattern}$"}
)


class Increment(Section, frozen=True, kw_only=True):
    """Longer bans for repeat offenders."""

    enabled: Annotated[bool, Meta(description="Ban a source for longer each time it offends again.")] = True
    factor: Annotated[
        float,
        number(0.01, 1000),
        Meta(description="The ban time of the n-th repetition is `bantime`, doubled n times, times `factor`."),
    ] = 1.0
    multipliers: Annotated[
        tuple[Annotated[float, number(0.01, 1_000_000)], ...],
        Meta(
            description="Factors instead of doubling: the n-th offence is banned for `bantime` times the n-th factor, "
            "all further ones with the last factor."
        ),
    ] = ()
    maxtime_s: Annotated[float, duration("1s", "3650d"), Meta(description="Maximum ban time.")] = field(
        default=4 * 604800.0, name="maxtime"
    )
    rndtime_s: Annotated[
        float,
        duration("0s", "365d"),
        Meta(description="Maximum random time added to a ban, so that its end cannot be predicted."),
    ] = field(default=0.0, name="rndtime")
    overalljails: Annotated[bool, Meta(description="Count offences of a source across all detectors.")] = False
    decay_s: Annotated[
        float,
        duration("1m", "365d"),
        Meta(description="After each period of this length without an offence, the escalation step is lowered by one."),
    ] = field(default=604800.0, name="decay")


class Recidive(Section, frozen=True, kw_only=True):
    """One long ban for sources that were banned repeatedly."""

    enabled: Annotated[bool, Meta(description="Set a long ban on sources that any detectors banned repeatedly.")] = True
    maxretry: Annotated[
        int,
        integer(2, 1000),
        Meta(description="Number of bans of one source within `findtime` that leads to the long ban."),
    ] = 5
    findtime_s: Annotated[float, duration("1m", "4w"), Meta(description="Period over which bans are counted.")] = field(
        default=86400.0, name="findtime"
    )
    bantime_s: Annotated[float, duration("1s", "365d"), Meta(description="Duration of the long ban.")] = field(
        default=604800.0, name="bantime"
    )


class Prefixes(Section, frozen=True, kw_only=True):
    """Bans of whole prefixes."""

    ipv6_score: Annotated[
        int,
        among(48, 56, 64, 128),
        Meta(
            description="Count and ban IPv6 sources as prefixes of this length, since one host can use any address of "
            "its /64; 128: each address separately. If a prefix contains an allowlisted address, only the offending "
            "address is banned."
        ),
    ] = 64
    findtime_s: Annotated[
        float, duration("1m", "4w"), Meta(description="Period over which offenders in a prefix are counted.")
    ] = field(default=86400.0, name="findtime")
    ipv4_24: Annotated[
        int,
        integer(0, 256),
        Meta(description="Ban an IPv4 /24 with at least this many distinct offenders; 0 or 1: never."),
    ] = 0
    ipv6_64: Annotated[
        int,
        integer(0, 65536),
        Meta(
            description="Ban an IPv6 /64 with at least this many distinct offenders (if `ipv6_score` is longer); 0 or "
            "1: never."
        ),
    ] = 4
    ipv6_56: Annotated[
        int,
        integer(0, 256),
        Meta(description="Ban an IPv6 /56 with at least this many distinct offenders; 0 or 1: never."),
    ] = 4
    ipv6_48: Annotated[
        int,
        integer(0, 65536),
        Meta(
            description="Ban an IPv6 /48 with at least this many distinct offenders, or as many proven failures within "
            "a detector's `findtime` as these have together; 0 or 1: never."
        ),
    ] = 16


class Budget(Section, frozen=True, kw_only=True):
    """Limit on new bans."""

    bans_per_minute: Annotated[
        int,
        integer(1, 1_000_000),
        Meta(
            description="Maximum number of new bans per minute, for each strength of evidence: bans on proof, shuns "
            "on what anyone can forge, and egress bans have a budget of this size each. Further ones are only "
            "observed. More are likely caused by a wrong threshold or a flood of forged sources. Manual bans are "
            "exempt."
        ),
    ] = 300


class ProtectedScrapers(enum.StrEnum):
    """Which clients of the metrics server are protected."""

    INTERNAL = "internal"
    ALL = "all"
    NONE = "none"


class Protect(Section, frozen=True, kw_only=True):
    """Entries of the allowlist that are detected on the node, in addition to its addresses, gateways and resolvers."""

    sessions: Annotated[
        bool, Meta(description="Allowlist the addresses of logged-in administrators during their sessions.")
    ] = True
    admin_groups: Annotated[
        tuple[Annotated[str, GROUP], ...],
        Meta(
            description="Administrators are root, and members of these groups with a shell. Sessions of other users, "
            "such as accounts for file transfer, protect no address."
        ),
    ] = ADMIN_GROUPS
    scrapers: Annotated[
        ProtectedScrapers,
        Meta(
            description="Allowlist clients that scrape `/metrics` or check `/healthz` at even intervals, three times "
            "or more, until an hour after the last time; at most 16. `internal`: those in `bans.internal.networks` and "
            "connected networks; `all`: others as well, for an endpoint that strangers cannot reach; `none`: no "
            "client."
        ),
    ] = ProtectedScrapers.INTERNAL
    kubernetes: Annotated[
        bool,
        Meta(
            description="On a Kubernetes node, allowlist its API server, nodes, pods and services, as far as files on "
            "the node name them."
        ),
    ] = True


PRIVATE = tuple(
    map(parse_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")),
)
"""Private networks (RFC 1918), shared ones of providers (RFC 6598) and unique local ones (RFC 4193)."""


class Internal(Section, frozen=True, kw_only=True):
    """Networks whose hosts are not strangers."""

    mode: Annotated[
        Mode,
        Meta(
            description="`observe`: evidence that anyone can forge bans no source in these networks, and is only "
            "recorded. Proven evidence, such as failed logins, bans in any mode. `enforce`: no exception."
        ),
    ] = Mode.OBSERVE
    networks: Annotated[
        tuple[Network, ...],
        Meta(description="Internal networks: private ones (RFC 1918, RFC 4193) and carrier-grade NAT (RFC 6598)."),
    ] = PRIVATE
    connected: Annotated[
        bool,
        Meta(
            description="Networks of the node's interfaces are internal as well, except those of interfaces with a "
            "default route: neighbours in the public network of a hosting provider are strangers. Without a default "
            "route, only networks of container bridges are."
        ),
    ] = True


class Xdp(Section, frozen=True, kw_only=True):
    """Bans in XDP, before nftables."""

    interfaces: Annotated[
        tuple[Annotated[str, INTERFACE], ...],
        MERGED,
        Meta(
            description="External interfaces, such as `eth0`. On them an XDP program drops packets of sources in the "
            "`ban` sets before the kernel's network stack; the sets in nftables stay active. Empty: none."
        ),
    ] = ()


class Bans(Section, frozen=True, kw_only=True):
    """From alerts to bans."""

    allowlist: Annotated[
        tuple[Network, ...],
        MERGED,
        Meta(
            description="Addresses and networks that are never banned; at most "
            f"{MAX_ALLOWED_CONFIGURED}, adjacent ones merged."
        ),
    ] = ()
    presets: Annotated[
        tuple[Annotated[str, PRESET], ...],
        MERGED,
        Meta(
            description="Documented networks of load balancers and their health checks that are never banned: "
            "`gcp-load-balancer`, `azure-load-balancer`. Those of AWS check from addresses of your own VPC: add its "
            "subnets to `allowlist`."
        ),
    ] = ()
    action: Annotated[
        Action,
        Meta(
            description="What becomes of packets of a source that is banned on proof, and of connections to a "
            "destination under an egress ban: `drop`, or `reject` with a TCP reset, for other protocols with ICMP "
            "administratively prohibited; at most 100 answers per second, further packets are dropped. Packets of "
            "shunned sources, which may be forged, are always dropped."
        ),
    ] = Action.DROP
    protect: Annotated[Protect, Meta(description="Entries of the allowlist that are detected on the node.")] = Protect()
    internal: Annotated[Internal, Meta(description="Networks whose hosts are not strangers.")] = Internal()
    budget: Annotated[Budget, Meta(description="Limit on new bans.")] = Budget()
    increment: Annotated[
        Increment, Meta(description="Longer bans for repeat offenders, as fail2ban's `bantime.increment`.")
    ] = Increment()
    recidive: Annotated[Recidive, Meta(description="One long ban for sources that were banned repeatedly.")] = (
        Recidive()
    )
    prefixes: Annotated[Prefixes, Meta(description="Bans of whole prefixes.")] = Prefixes()
    escalate_spoofable: Annotated[
        bool,
        Meta(
            description="Count evidence that anyone can forge, such as a logged packet, towards longer, recidive and "
            "prefix bans. While this is off, an attacker who forges an address cannot have it shunned for weeks. Such "
            "evidence is counted apart: it makes shuns longer and wider, never bans."
        ),
    ] = False
    xdp: Annotated[Xdp, Meta(description="Drop packets of banned sources in XDP, by eBPF.")] = Xdp()
    max_bans: Annotated[
        int,
        integer(16, 1_048_576),
        Meta(
            description="Maximum number of bans in force, and capacity of each of the kernel's sets of banned "
            "addresses; bounds memory. When it is reached the weakest ban yields: shuns by detectors first, then "
            "egress bans, lists, imports, peers, and bans on proof to those by hand."
        ),
    ] = 131_072

    def conflicts(self) -> Iterable[Conflict]:
        """Refuse an allowlist that is too large for the kernel's sets, and answers where XDP drops first."""
        if self.action is Action.REJECT and self.xdp.interfaces:
            text = "`reject` answers nothing on the interfaces of `bans.xdp.interfaces`: XDP drops first; choose one"
            yield Conflict(("action",), text)
        if len(self.allowlist) > MAX_ALLOWED_CONFIGURED and (
            (count := len(collapse(self.allowlist))) > MAX_ALLOWED_CONFIGURED
        ):
            text = f"{count} networks, adjacent ones merged, are too many: expected at most {MAX_ALLOWED_CONFIGURED}"
            yield Conflict(("allowlist",), f"{text}; allow wider networks")
