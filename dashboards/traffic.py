"""Traffic: connections by direction and protocol, unapproved egress, protected ports."""

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from dashboards import known
from dashboards import queries as q
from dashboards.board import Row, board, row
from dashboards.panels import FACT, NONE_IS_CALM, NONE_IS_GOOD, About, Value, bars, lines, number, stack
from dashboards.queries import Query

_FLOWS = "nodewarden_flows_total"
_OPENED = 'event="opened"'
_ALERTS = "nodewarden_detector_alerts_total"
_WHERE = 'detector=~"protected_port|egress|udp_amplification"'
_DIRECTIONS = "`in` to the node, `out` from it, `forwarded` through it (pods), `local` within it"


def made() -> Dashboard:
    """Return the dashboard."""
    return board(
        "traffic",
        "Traffic",
        "Connections and bytes by direction and protocol, unapproved egress, and protected ports.",
        row("", 4, _opened_now(), _bytes_now(), _incomplete_now(), _unapproved_now(), _protected_now()),
        *_flows(),
        *_bytes(),
        *_forbidden(),
    )


def _opened_now() -> Panel:
    return number(
        "New flows",
        About(
            "Flows opened per second.",
            "More visitors, a flood, or an application in a loop.",
            "See *New flows by direction* and *New flows by protocol*.",
        ),
        Value("flows", q.per_second(_FLOWS, _OPENED), "cps", FACT),
    )


def _bytes_now() -> Panel:
    return number(
        "Bytes",
        About(
            "Bytes of flows that ended and of long ones, both ways; 0 without `net.netfilter.nf_conntrack_acct`.",
            "Large transfers: beyond 1 MiB they are counted while they run, every half minute.",
            "For the current use of the link see the interface's own counters.",
        ),
        Value("bytes", q.per_second("nodewarden_flow_bytes_total"), "Bps", FACT),
    )


def _incomplete_now() -> Panel:
    complete, incomplete = "nodewarden_handshakes_completed_total", "nodewarden_handshakes_incomplete_total"
    whole = f"({q.per_second(complete)} + {q.per_second(incomplete)})"
    return number(
        "Failed connections",
        About(
            "Share of connection attempts whose handshake was never completed.",
            "A scan, a SYN flood, or a service of yours that is down.",
            "See *Connection attempts*; `nodewarden list` names scanners.",
        ),
        Value("incomplete", q.share(q.per_second(incomplete), whole), "percentunit", FACT, 0),
    )


def _unapproved_now() -> Panel:
    return number(
        "Unapproved egress",
        About(
            "Flows from the node and its pods to destinations outside `detectors.egress.approved`, in the time range "
            "shown. Nothing is watched while that list is empty.",
            "Something inside calls out: new software, a misconfiguration, or malware.",
            "`nodewarden list --observed` names the destinations, `nodewarden why ADDRESS` the source that called one.",
        ),
        Value("unapproved", q.during("nodewarden_egress_flows_total", 'approved="no"'), "short", NONE_IS_CALM, 0),
    )


def _protected_now() -> Panel:
    return number(
        "Protected ports",
        About(
            "Connections from outside to etcd, API server, kubelet or other internal services, in the time range "
            "shown.",
            "An outside source could connect: the firewall lets it through.",
            "Close the port to the outside first, then identify the source: `nodewarden list --observed`.",
        ),
        Value("protected", q.during(_ALERTS, 'detector="protected_port"'), "short", NONE_IS_GOOD, 0),
    )


def _flows() -> tuple[Row, ...]:
    return (row("Flows", 8, _direction(), _protocol()), row("", 8, _balance(), _attempts(), _pending(), _table()))


def _direction() -> Panel:
    return stack(
        "New flows by direction",
        About(
            f"Flows opened: {_DIRECTIONS}.",
            "`in`: visitors or a flood. `out`, `forwarded`: something here opens many connections.",
            "For `in` see *Detectors and thresholds*; for `out` check the node's applications (`ss -tp`).",
        ),
        "cps",
        known.by_direction(_FLOWS, _OPENED),
    )


def _protocol() -> Panel:
    return stack(
        "New flows by protocol",
        About(
            "Flows opened, by protocol.",
            "`udp`: often DNS, or an amplification attack. `icmp`: pings and sweeps.",
            "For `udp` see *Protected ports, egress, amplification*.",
        ),
        "cps",
        Query(q.per_second(_FLOWS, _OPENED, by="protocol"), "{{protocol}}"),
    )


def _balance() -> Panel:
    return lines(
        "Flows opened and closed",
        About(
            "Flows opened and flows closed per second.",
            "A gap between them: connections stay open, and the connection table fills.",
            "See *Connection table*; slow attacks hold connections open (`open_connections`).",
        ),
        "cps",
        Query(q.per_second(_FLOWS, by="event"), "{{event}}"),
    )


def _attempts() -> Panel:
    return stack(
        "Connection attempts",
        About(
            "Completed TCP handshakes, and incomplete or failed connection attempts.",
            "`incomplete`: scans and SYN floods.",
            "See *Detectors and thresholds*: `port_scan`, `half_open`.",
        ),
        "cps",
        known.handshakes(),
    )


def _pending() -> Panel:
    return lines(
        "Half-open connections",
        About(
            "Half-open connections that the guard follows and that have not timed out.",
            "A SYN flood, or a service that answers slowly.",
            "Check that `net.ipv4.tcp_syncookies` is 1. See *Floods* in *Detectors and thresholds*.",
        ),
        "short",
        Query(q.now("nodewarden_handshakes_pending"), "half-open"),
    )


def _table() -> Panel:
    return lines(
        "Connection table",
        About(
            "Share of the connection table in use, on the ten fullest nodes.",
            "Connections accumulate. When the table is full, every new connection is dropped.",
            "Raise `net.netfilter.nf_conntrack_max`.",
        ),
        "percentunit",
        Query(q.highest(q.CONNTRACK_USE), "{{instance}}"),
        limit=0.9,
    )


def _bytes() -> tuple[Row, ...]:
    return (row("Bytes", 8, _volume(), _packets(), _size()),)


def _volume() -> Panel:
    return stack(
        "Bytes by direction",
        About(
            f"Bytes of flows that ended and of long ones: {_DIRECTIONS}. Needs `net.netfilter.nf_conntrack_acct=1`.",
            "`out`, `forwarded` at unusual hours: data leaves the node. `in`: uploads or a flood.",
            "Compare with *Egress by approval*.",
        ),
        "Bps",
        known.by_direction("nodewarden_flow_bytes_total"),
    )


def _packets() -> Panel:
    return stack(
        "Packets by direction",
        About(
            f"Packets of flows that ended and of long ones: {_DIRECTIONS}.",
            "Many packets with few bytes: scans, floods, chatty protocols.",
            "See *Bytes per packet*.",
        ),
        "pps",
        known.by_direction("nodewarden_flow_packets_total"),
    )


def _size() -> Panel:
    return lines(
        "Bytes per packet",
        About(
            "Mean size of packets, by direction.",
            "Bulk transfers. A fall towards 60 bytes means empty packets: scans and floods.",
            "For small ones in `in` see *Drops* and *Connection attempts*.",
        ),
        "bytes",
        Query(
            f"{q.per_second('nodewarden_flow_bytes_total', by='direction')}"
            f" / ({q.per_second('nodewarden_flow_packets_total', by='direction')} > 0)",
            "{{direction}}",
        ),
    )


def _forbidden() -> tuple[Row, ...]:
    return (row("Egress, protected ports, amplification", 8, _egress(), _protected(), _uncounted()),)


def _egress() -> Panel:
    return stack(
        "Egress by approval",
        About(
            "Flows from the node and its pods, by whether their destination is in `detectors.egress.approved`.",
            "`approved: no`: something new calls out.",
            "`nodewarden why ADDRESS` names the source; approve the destination, or let `egress` enforce.",
        ),
        "cps",
        Query(q.per_second("nodewarden_egress_flows_total", by="approved"), "approved: {{approved}}"),
    )


def _protected() -> Panel:
    return bars(
        "Protected ports, egress, amplification",
        About(
            "Alerts of the detectors that watch where connections go: `protected_port`, `egress`, `udp_amplification`.",
            "A port is open that should not be, something calls out, or a service of yours is used to attack others.",
            "Close the port, find the caller, or restrict access to the service: `nodewarden list --observed`.",
        ),
        "short",
        Query(q.events(_ALERTS, _WHERE, by="detector, mode"), "{{detector}} ({{mode}})"),
    )


def _uncounted() -> Panel:
    return lines(
        "Flows without byte counts",
        About(
            "Flows to services that amplify (DNS, NTP, …) for which the kernel counted no bytes.",
            "`udp_amplification` cannot judge them.",
            "Run `sysctl -w net.netfilter.nf_conntrack_acct=1`.",
        ),
        "cps",
        Query(q.per_second("nodewarden_uncounted_flows_total"), "not counted"),
    )
