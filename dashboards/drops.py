"""Drops: what the kernel drops, why, where, and how much of it is unexplained."""

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
        "What the kernel drops on the node and in its pods, by reason; pressure on the connection table.",
        row("", 4, _rate(), _unexplained(), _trouble(), _table_used(), _table_refusals()),
        row("Reasons", 9, _by_reason()),
        row("", 8, _by_class(), _unexplained_share(), _no_drops(), widths=(10, 8, 6)),
        *_where(),
        *_connection_table(),
    )


def _rate() -> Panel:
    return number(
        "Dropped now",
        About(
            "Packets that the kernel drops, for any reason.",
            "An attack, a firewall rule, or a resource shortage on the node.",
            "Read the reasons in *Packets dropped, by reason*.",
        ),
        Value("dropped", q.per_second(_PACKETS), "pps", FACT),
    )


def _unexplained() -> Panel:
    part = q.per_second(_PACKETS, f'reason=~"{q.UNEXPLAINED}"')
    return number(
        "Unexplained",
        About(
            "Share of drops for which the kernel gives no specific reason.",
            "Older code paths, drivers or modules drop packets without naming a reason.",
            "`nodewarden status --json` lists the numbers of unknown reasons; newer kernels name more.",
        ),
        Value("unexplained", q.share(part, q.per_second(_PACKETS)), "percentunit", ((None, GOOD), (0.5, WARN)), 0),
    )


def _trouble() -> Panel:
    return number(
        "Resource drops",
        About(
            "Packets dropped for lack of memory or buffer space. They are no offence, and no detector counts them.",
            "The node cannot keep up: applications read too slowly, buffers are too small, or memory is short.",
            "The reason tells which: `SOCKET_RCVBUFF` a slow application, `CPU_BACKLOG` a busy CPU, "
            "`TCP_LISTEN_OVERFLOW` a full accept queue.",
        ),
        Value("resource drops", known.drops_of(ReasonClass.NO_MEMORY), "pps", NONE_IS_GOOD),
    )


def _table_used() -> Panel:
    return number(
        "Connection table",
        About(
            "Share of the connection table in use, on the fullest node.",
            "Many or stale connections. When it is full, every new connection is dropped.",
            "Raise `net.netfilter.nf_conntrack_max`, shorten its timeouts, or find the source in *Traffic*.",
        ),
        Value("used", q.most(q.CONNTRACK_USE), "percentunit", FULL, 1),
    )


def _table_refusals() -> Panel:
    return number(
        "Connection table drops",
        About(
            "Packets dropped because the connection table was full or an insertion failed.",
            "Clients cannot connect. `insert_failed` alone may also be a race between two identical packets.",
            "Raise `net.netfilter.nf_conntrack_max`.",
        ),
        Value("dropped", q.per_second(_TABLE, 'event=~"insert_failed|drop|early_drop"'), "pps", NONE_IS_GOOD),
    )


def _by_reason() -> Panel:
    return stack(
        "Packets dropped, by reason",
        About(
            "The twelve most frequent reasons, as the kernel names them (`enum skb_drop_reason`).",
            "`NETFILTER_DROP`: a firewall, this one or another. `NO_SOCKET`: probes of closed ports. `TCP_*`: late or "
            "forged packets. `SOCKET_RCVBUFF`: an application that reads too slowly.",
            "For floods see *Anomalies*; for the firewall, find the rule that counts; for buffers, check the "
            "application.",
        ),
        "pps",
        Query(q.frequent(_PACKETS, "reason", 12), "{{reason}}"),
        table=("lastNotNull", "mean", "max"),
    )


def _by_class() -> Panel:
    return stack(
        "Packets dropped, by cause",
        About(
            "Drops by class of reason: refused by a firewall, closed port, malformed packet, no memory or buffer "
            "space, rate limit, other.",
            "`firewall`, `closed port`, `bad packet`: others send unwanted packets. `no memory`: the node is "
            "overloaded.",
            "For the first three the detectors `port_scan` and `drop_rate` name the senders; for `no memory` check "
            "the node's load.",
        ),
        "pps",
        known.drops_by_class(),
    )


def _unexplained_share() -> Panel:
    part = q.per_second(_PACKETS, f'reason=~"{q.UNEXPLAINED}"', by=q.BY_NODE)
    return lines(
        "Unexplained share by node",
        About(
            "Share of each node's drops for which the kernel gives no specific reason; the ten highest.",
            "Drops are harder to explain. A single node: its driver, or a module that only it has.",
            "Compare kernels and drivers between nodes. A high share on a quiet node may be a few packets.",
        ),
        "percentunit",
        Query(q.highest(f"{part} / ({q.per_second(_PACKETS, by=q.BY_NODE)} > 0)"), "{{instance}}"),
    )


def _no_drops() -> Panel:
    metric = "nodewarden_kernel_released_buffers_total"
    return stack(
        "No lost packets",
        About(
            "Buffers that the kernel reports as dropped although no packet was lost: messages of local sockets, such "
            "as loaded firewall rules, and what was unread when a socket was closed. No other panel counts them.",
            "Programs reload firewall rules, or close many sockets with unread data.",
            "Nothing. `nodewarden drops` shows how many there are now.",
        ),
        "cps",
        (
            Query(q.or_none(q.per_second(metric, 'fate="no_packet"')), "local messages", "light-blue"),
            Query(q.or_none(q.per_second(metric, 'fate="teardown"')), "closed sockets", "#8e8e99"),
        ),
    )


def _where() -> tuple[Row, ...]:
    return (row("Location", 8, _layers(), _direction(), _places()), row("", 8, _bytes_lost(), _nodes(), _ours()))


def _layers() -> Panel:
    return stack(
        "Drops by layer",
        About(
            "Drops by the layer that the reason belongs to, from the device to the application.",
            "Higher layers: packets are processed far before they are dropped. The lower the layer, the cheaper the "
            "drop.",
            "Drop floods that reach sockets earlier: by a ban, or a firewall rule in `raw`.",
        ),
        "pps",
        known.drops_by_layer(),
    )


def _direction() -> Panel:
    return stack(
        "Drops by direction and family",
        About(
            "Drops of incoming and of outgoing packets, by address family.",
            "`out`: outgoing traffic of the node is refused, or the link is saturated.",
            "For outgoing drops check egress rules, `egress` sets and queues.",
        ),
        "pps",
        Query(q.per_second(_PACKETS, by="direction, family"), "{{direction}} {{family}}"),
    )


def _places() -> Panel:
    return stack(
        "Drops by namespace",
        About(
            "Drops in the node's own network namespace and in others (pods), inside and outside of tunnels.",
            "`pods`: a pod refuses traffic or cannot keep up. Drops by network policies count for the node.",
            "`nodewarden drops --by pod` names the pods, and so does the board *Pods* with `sources.drops.pods`.",
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
            "Bytes of the dropped packets, without headers that the kernel had already removed; the eight highest "
            "reasons.",
            "Bulk traffic is dropped: a flood of large packets, or transfers that suffer.",
            "Compare with the packets: few and large are transfers, many and small are scans and SYN floods.",
        ),
        "Bps",
        Query(q.frequent(_BYTES, "reason", 8), "{{reason}}"),
    )


def _nodes() -> Panel:
    return lines(
        "Drops by node",
        About(
            "The ten nodes that drop most packets.",
            "A single node: it is attacked or faulty. All nodes: something changed for all of them.",
            "Select the node at the top to see its reasons.",
        ),
        "pps",
        Query(q.highest(q.per_second(_PACKETS, by=q.BY_NODE)), "{{instance}}"),
    )


def _ours() -> Panel:
    return stack(
        "Drops by the guard: XDP and nftables",
        About(
            "Packets dropped by the guard's sets. XDP drops happen before the kernel allocates a packet and are in no "
            "drop counter; drops in nftables are part of `NETFILTER_DROP`.",
            "Banned sources keep sending.",
            "Nothing. If nftables drops a lot, `bans.xdp.interfaces` makes it cheaper.",
        ),
        "pps",
        known.stopped_packets(),
    )


def _connection_table() -> tuple[Row, ...]:
    return (row("Pressure on the connection table", 8, _entries(), _events(), _half_open()),)


def _entries() -> Panel:
    return lines(
        "Connection table entries",
        About(
            "Connections that the kernel tracks, on the ten nodes with most.",
            "More or longer connections. At the limit, new ones are dropped.",
            "Raise `net.netfilter.nf_conntrack_max` before it is reached.",
        ),
        "short",
        Query(q.highest(q.select("nodewarden_conntrack_entries")), "{{instance}}"),
    )


def _events() -> Panel:
    return bars(
        "Connection table errors",
        About(
            "`drop`, `early_drop`: the table is full. `insert_failed`: a race, or a full table. `invalid`: packets "
            "that belong to no connection. `chain_toolong`: too many entries in one bucket.",
            "`drop`: connections are refused. `invalid`: late or forged packets.",
            "For `drop` raise the limit; for `chain_toolong` raise `nf_conntrack_buckets`.",
        ),
        "pps",
        Query(q.per_second(_TABLE, _NO_TROUBLE, by="event"), "{{event}}"),
    )


def _half_open() -> Panel:
    return stack(
        "Connection attempts",
        About(
            "Completed TCP handshakes, and incomplete or failed connection attempts.",
            "`incomplete`: a scan or a SYN flood. `complete`: many visitors.",
            "In a flood of incomplete ones, check that `net.ipv4.tcp_syncookies` is 1.",
        ),
        "cps",
        known.handshakes(),
    )
