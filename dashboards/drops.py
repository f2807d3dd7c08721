"""Drops: what the kernel drops, why, where, and how much of it nobody can explain."""

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from dashboards import known
from dashboards import queries as q
from dashboards.board import Row, board, row
from dashboards.panels import FACT, FULL, GOOD, NONE_IS_GOOD, WARN, About, Value, bars, lines, number, stack
from dashboards.queries import Query
from monitor.ebpf.reasons import ReasonClass

_PACKETS = known.DROPPED
_BYTES = "nodewarden_kernel_dropped_bytes_total"
_TABLE = "nodewarden_conntrack_table_total"

_NO_TROUBLE = 'event!~"insert|clash_resolve|search_restart"'


def made() -> Dashboard:
    """Return the dashboard."""
    return board(
        "drops",
        "Drops",
        "What the kernel drops, by its own reasons, on the node and in its pods; the connection table beside it.",
        row("", 4, _rate(), _unexplained(), _trouble(), _table_used(), _table_refusals()),
        row("Why", 9, _by_reason()),
        row("", 8, _by_class(), _unexplained_share()),
        *_where(),
        *_connection_table(),
    )


def _rate() -> Panel:
    return number(
        "Dropped now",
        About(
            "Packets that the kernel drops, for whatever reason.",
            "an attack, a firewall that says no, or a node in trouble.",
            "read the reasons below.",
        ),
        Value("dropped", q.per_second(_PACKETS), "pps", FACT),
    )


def _unexplained() -> Panel:
    part = q.per_second(_PACKETS, f'reason=~"{q.UNEXPLAINED}"')
    return number(
        "Unexplained",
        About(
            "Share of drops for which the kernel names no reason of its own.",
            "something drops which older code paths, drivers or modules do not explain.",
            "`nodewarden status --json` has the numbers of unknown reasons; a newer kernel names more.",
        ),
        Value("unexplained", q.share(part, q.per_second(_PACKETS)), "percentunit", ((None, GOOD), (0.5, WARN)), 0),
    )


def _trouble() -> Panel:
    return number(
        "Own trouble",
        About(
            "Packets dropped for want of memory or of room in a buffer: no offence of anybody, and no detector counts "
            "them.",
            "the node cannot keep up: applications read too slowly, buffers are too small, or memory is short.",
            "the reason says which: `SOCKET_RCVBUFF` a slow application, `CPU_BACKLOG` a busy processor, "
            "`TCP_LISTEN_OVERFLOW` a full accept queue.",
        ),
        Value("trouble", known.drops_of(ReasonClass.NO_MEMORY), "pps", NONE_IS_GOOD),
    )


def _table_used() -> Panel:
    return number(
        "Connection table",
        About(
            "Share of the connection table in use, on the fullest node.",
            "many or stale connections; when it is full, new connections of everybody drop.",
            "raise `net.netfilter.nf_conntrack_max`, shorten its timeouts, or find who fills it in *Traffic*.",
        ),
        Value("used", q.most(q.CONNTRACK_USE), "percentunit", FULL, 1),
    )


def _table_refusals() -> Panel:
    return number(
        "Table refusals",
        About(
            "Packets dropped because the connection table had no room or could not insert.",
            "people cannot connect. `insert_failed` alone may also be a race between two equal packets.",
            "raise `net.netfilter.nf_conntrack_max`.",
        ),
        Value("refused", q.per_second(_TABLE, 'event=~"insert_failed|drop|early_drop"'), "pps", NONE_IS_GOOD),
    )


def _by_reason() -> Panel:
    return stack(
        "Packets dropped, by reason",
        About(
            "The twelve most frequent reasons, in the kernel's own words (`enum skb_drop_reason`).",
            "`NETFILTER_DROP` a firewall, ours or another; `NO_SOCKET` closed ports are tried; `TCP_*` late or forged "
            "packets; `SOCKET_RCVBUFF` an application that reads too slowly.",
            "for floods see *Anomalies*; for the firewall, which of its rules counts; for buffers, the application.",
        ),
        "pps",
        Query(q.frequent(_PACKETS, "reason", 12), "{{reason}}"),
        table=("lastNotNull", "mean", "max"),
    )


def _by_class() -> Panel:
    return stack(
        "Whose trouble it is",
        About(
            "Drops by what they mean: a firewall refused, a port is closed, the packet is malformed, the node has no "
            "memory or room, a rate limit, or something else.",
            "in `firewall`, `closed port` and `bad packet`: others send what is not wanted; in `no memory`: the node "
            "suffers.",
            "for the first three the detectors `port_scan` and `drop_rate` name the senders; for the last look at the "
            "node's load.",
        ),
        "pps",
        known.drops_by_class(),
    )


def _unexplained_share() -> Panel:
    part = q.per_second(_PACKETS, f'reason=~"{q.UNEXPLAINED}"', by=q.BY_NODE)
    return lines(
        "Share unexplained",
        About(
            "Share of each node's drops for which the kernel names no reason; the ten highest.",
            "less of what happens is known. One node alone: its driver or a module of its own.",
            "compare kernels and drivers between nodes; quiet nodes may show high shares of next to nothing.",
        ),
        "percentunit",
        Query(q.highest(f"{part} / ({q.per_second(_PACKETS, by=q.BY_NODE)} > 0)"), "{{instance}}"),
    )


def _where() -> tuple[Row, ...]:
    return (row("Where", 8, _layers(), _direction(), _places()), row("", 8, _bytes_lost(), _nodes(), _ours()))


def _layers() -> Panel:
    return stack(
        "Where in the kernel",
        About(
            "Drops by the layer that the reason belongs to, from the wire to the application.",
            "in higher layers: what could be dropped earlier is carried far. The lower the layer, the cheaper the "
            "drop.",
            "floods that reach sockets are better dropped earlier: a ban, or a firewall rule in `raw`.",
        ),
        "pps",
        known.drops_by_layer(),
    )


def _direction() -> Panel:
    return stack(
        "By direction and family",
        About(
            "Drops of packets that came in, and of those that were going out, by family of addresses.",
            "in `out`: something of ours is not let out, or the line is full.",
            "for outgoing drops look at the firewall's output rules, the `egress` sets and queues.",
        ),
        "pps",
        Query(q.per_second(_PACKETS, by="direction, family"), "{{direction}} {{family}}"),
    )


def _places() -> Panel:
    return stack(
        "Node, pods and tunnels",
        About(
            "Drops in the node's own network namespace and in others (pods), inside of tunnels or not.",
            "in `pods`: network policy refuses, or a pod is under attack.",
            "the kernel tells it of all namespaces; which pod it is, its own counters (`nstat`) say.",
        ),
        "pps",
        (
            Query(_place("no", "no"), "node", "blue"),
            Query(_place("no", "yes"), "node, in tunnels", "light-blue"),
            Query(_place("yes", "no"), "pods", "purple"),
            Query(_place("yes", "yes"), "pods, in tunnels", "light-purple"),
        ),
    )


def _place(foreign: str, tunnelled: str) -> str:
    return q.or_none(q.per_second(_PACKETS, f'foreign="{foreign}"', f'tunnelled="{tunnelled}"'))


def _bytes_lost() -> Panel:
    return stack(
        "Bytes dropped, by reason",
        About(
            "Bytes of the dropped packets, as far as the kernel had not taken headers off; the eight highest reasons.",
            "bulk traffic is dropped: a flood of large packets, or transfers that suffer.",
            "compare with the packets: few and large are transfers, many and small are scans and SYN floods.",
        ),
        "Bps",
        Query(q.frequent(_BYTES, "reason", 8), "{{reason}}"),
    )


def _nodes() -> Panel:
    return lines(
        "By node",
        About(
            "The ten nodes that drop most.",
            "one node alone is attacked or ill; all together, something changed for all.",
            "choose the node above to see its reasons.",
        ),
        "pps",
        Query(q.highest(q.per_second(_PACKETS, by=q.BY_NODE)), "{{instance}}"),
    )


def _ours() -> Panel:
    return stack(
        "Our own drops: front and table",
        About(
            "What our sets stop. In front of the stack (XDP) the kernel makes no packet of it and counts no drop; in "
            "the table it is part of `NETFILTER_DROP`.",
            "banned sources go on sending.",
            "nothing; if the table stops much, `bans.xdp.interfaces` makes it cheaper.",
        ),
        "pps",
        known.stopped_packets(),
    )


def _connection_table() -> tuple[Row, ...]:
    return (row("Pressure on the connection table", 8, _entries(), _events(), _half_open()),)


def _entries() -> Panel:
    return lines(
        "Entries of the connection table",
        About(
            "Connections that the kernel tracks, of the ten nodes with most.",
            "more or longer connections. At the limit, new ones drop.",
            "raise `net.netfilter.nf_conntrack_max` before it is reached.",
        ),
        "short",
        Query(q.highest(q.select("nodewarden_conntrack_entries")), "{{instance}}"),
    )


def _events() -> Panel:
    return bars(
        "Trouble of the connection table",
        About(
            "What went wrong in it: `drop` and `early_drop` no room; `insert_failed` a race or no room; `invalid` "
            "packets that belong to nothing; `chain_toolong` too many in one bucket.",
            "in `drop`: connections are refused; in `invalid` late packets or forged ones.",
            "for `drop` raise the limit; for `chain_toolong` raise `nf_conntrack_buckets`.",
        ),
        "pps",
        Query(q.per_second(_TABLE, _NO_TROUBLE, by="event"), "{{event}}"),
    )


def _half_open() -> Panel:
    return stack(
        "Attempts to connect",
        About(
            "Handshakes that were completed, and attempts that came to nothing.",
            "in `incomplete` a scan or a SYN flood; in `complete` many visitors.",
            "a flood of incomplete ones: is `net.ipv4.tcp_syncookies` 1?",
        ),
        "cps",
        known.handshakes(),
    )
