"""Label values that are known beforehand, as series of their own with colours that never change."""

from dashboards import queries as q
from dashboards.colours import GREY
from dashboards.queries import Query
from monitor.ebpf.reasons import ReasonClass, label_pattern

DROPPED = "nodewarden_kernel_dropped_packets_total"

NEW = slice(3)
"""The verdicts on sources that were not banned before."""
_VERDICTS = (
    ("banned", "ban", "red"),
    ("observed", "observe", GREY),
    ("over budget", "over_budget", "purple"),
    ("already banned", "refresh|claim|covered", "orange"),
    ("allowlisted", "allowlisted", "yellow"),
    ("expired", "stale", "blue"),
    ("at capacity", "full", "dark-red"),
    ("refused by the kernel", "refused", "dark-purple"),
)
_STRENGTHS = (("proven", "red"), ("spoofable", "orange"), ("destination", "purple"))
_SETS = (("banned", "ban.*", "red"), ("shunned", "shun.*", "orange"), ("egress", "egress.*", "purple"))
_DIRECTIONS = (("in", "blue"), ("out", "orange"), ("forwarded", "purple"), ("local", GREY))
_ENDS = (
    ("expired", "expired", "blue"),
    ("lifted", "lifted", "orange"),
    ("allowlisted", "allowlisted", "yellow"),
    ("yielded or withdrawn", "yielded|withdrawn", "purple"),
    ("refused by the kernel", "refused", "red"),
)
_CLASSES = {
    ReasonClass.FIREWALL: "orange",
    ReasonClass.CLOSED_PORT: "yellow",
    ReasonClass.BAD_PACKET: "purple",
    ReasonClass.NO_MEMORY: "red",
    ReasonClass.RATE_LIMIT: "blue",
}
_LAYERS = (
    (
        "device and queues",
        "blue",
        "XDP TC_.* QDISC_.* NO_TX_TARGET FQ_.* CAKE_.* CPU_BACKLOG FULL_RING DEV_.*",
    ),
    ("bridges, tunnels", "purple", "BRIDGE_.* VLAN_.* VXLAN_.* TUNNEL_.* LWT.*"),
    ("firewall", "orange", "NETFILTER_DROP"),
    (
        "IP, routing, neighbours",
        "yellow",
        "IP_.* IPV4_.* IPV6_.* NEIGH_.* ICMP_.* PKT_TOO_.* OTHERHOST FRAG_.* DUP_FRAG",
    ),
    ("TCP, UDP, sockets", "light-blue", "TCP_.* UDP_.* SOCKET_.* NO_SOCKET PROTO_MEM BPF_CGROUP_EGRESS"),
)
"""Where in the kernel a reason belongs, by how reasons are named (include/net/dropreason-core.h)."""


def verdicts(*more: str) -> list[Query]:
    """Return how many decisions there were: new bans and those not enforced, then all others."""
    metric = "nodewarden_decisions_total"
    return [Query(q.events(metric, f'verdict=~"{which}"', *more), name, hue) for name, which, hue in _VERDICTS]


def alerts_by_strength(*more: str) -> list[Query]:
    """Return how many alerts there were, by strength of evidence."""
    metric = "nodewarden_detector_alerts_total"
    return [Query(q.events(metric, f'strength="{name}"', *more), name, hue) for name, hue in _STRENGTHS]


def bans() -> list[Query]:
    """Return bans in force by strength of evidence, and those that are only observed."""
    enforced = [
        Query(q.now("nodewarden_bans", 'mode="enforce"', f'strength="{name}"'), name, hue) for name, hue in _STRENGTHS
    ]
    return [*enforced, Query(q.now("nodewarden_bans", 'mode="observe"'), "observed", GREY)]


def bans_ended() -> list[Query]:
    """Return how many bans ended, by cause."""
    metric = "nodewarden_bans_ended_total"
    return [Query(q.events(metric, f'cause=~"{which}"'), name, hue) for name, which, hue in _ENDS]


def stopped_packets() -> list[Query]:
    """Return packets dropped by the sets in nftables, and those dropped in XDP."""
    table, front = "nodewarden_set_dropped_packets_total", "nodewarden_xdp_dropped_packets_total"
    sets = [Query(q.per_second(table, f'set=~"{which}"'), name, hue) for name, which, hue in _SETS]
    return [*sets, Query(q.or_none(q.per_second(front)), "banned (XDP)", "dark-red")]


def sets_in_use() -> list[Query]:
    """Return how full the fullest set of each kind is, and the share that imports and lists may use."""
    held, limit = "nodewarden_set_elements", "nodewarden_set_elements_limit"
    sets = [
        Query(q.most(q.select(held, f'set=~"{which}"') + f" / ({q.select(limit)} > 0)"), name, hue)
        for name, which, hue in _SETS
    ]
    bulk = q.most(f"{q.select('nodewarden_bulk_bans')} / ({q.select('nodewarden_bulk_bans_limit')} > 0)")
    return [*sets, Query(bulk, "imports and lists", GREY)]


def by_direction(metric: str, *matchers: str) -> list[Query]:
    """Return how fast a counter rises, by direction."""
    return [
        Query(q.or_none(q.per_second(metric, *matchers, f'direction="{name}"')), name, hue) for name, hue in _DIRECTIONS
    ]


def handshakes() -> list[Query]:
    """Return completed handshakes, and incomplete or failed connection attempts."""
    return [
        Query(q.per_second("nodewarden_handshakes_completed_total"), "complete", "green"),
        Query(q.per_second("nodewarden_handshakes_incomplete_total"), "incomplete", "orange"),
    ]


def drops_of(kind: ReasonClass) -> str:
    """Return how many packets drop for reasons of a class."""
    return q.or_none(q.per_second(DROPPED, f'reason=~"{label_pattern(kind)}"'))


def drops_by_class() -> list[Query]:
    """Return drops by class of reason."""
    classes = [Query(drops_of(kind), kind.value.replace("_", " "), hue) for kind, hue in _CLASSES.items()]
    rest = "|".join(label_pattern(kind) for kind in _CLASSES)
    return [*classes, Query(q.or_none(q.per_second(DROPPED, f'reason!~"{rest}"')), "other", GREY)]


def drops_by_layer() -> list[Query]:
    """Return drops by where in the kernel they happen."""
    patterns = {name: "|".join(names.split()) for name, _, names in _LAYERS}
    layers = [
        Query(q.or_none(q.per_second(DROPPED, f'reason=~"{patterns[name]}"')), name, hue) for name, hue, _ in _LAYERS
    ]
    named = "|".join(patterns.values())
    rest = q.per_second(DROPPED, f'reason!~"{named}"')
    return [*layers, Query(q.or_none(rest), "unnamed or elsewhere", GREY)]
