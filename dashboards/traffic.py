"""Traffic: who talks with whom, in which direction, and where that was not approved."""

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
        "Connections and bytes by direction and protocol, calls to where nobody approved, and protected ports.",
        row("", 4, _opened_now(), _bytes_now(), _incomplete_now(), _unapproved_now(), _protected_now()),
        *_flows(),
        *_bytes(),
        *_forbidden(),
    )


def _opened_now() -> Panel:
    return number(
        "New flows",
        About(
            "Flows that begin, by the second.",
            "more visitors, a flood, or an application that loops.",
            "see direction and protocol below.",
        ),
        Value("flows", q.per_second(_FLOWS, _OPENED), "cps", FACT),
    )


def _bytes_now() -> Panel:
    return number(
        "Bytes",
        About(
            "Bytes of flows that ended, both ways; 0 without `net.netfilter.nf_conntrack_acct`.",
            "large transfers ended just now: bytes count when a flow ends.",
            "for what is on the line at this moment use the interface's own counters.",
        ),
        Value("bytes", q.per_second("nodewarden_flow_bytes_total"), "Bps", FACT),
    )


def _incomplete_now() -> Panel:
    complete, incomplete = "nodewarden_handshakes_completed_total", "nodewarden_handshakes_incomplete_total"
    whole = f"({q.per_second(complete)} + {q.per_second(incomplete)})"
    return number(
        "In vain",
        About(
            "Share of attempts to connect whose handshake was never completed.",
            "a scan, a SYN flood, or a service of yours that is down.",
            "see *Attempts to connect*; `nodewarden list` names scanners.",
        ),
        Value("incomplete", q.share(q.per_second(incomplete), whole), "percentunit", FACT, 0),
    )


def _unapproved_now() -> Panel:
    return number(
        "Unapproved calls",
        About(
            "Flows out of the node and its pods to a destination outside of `detectors.egress.approved`, in the time "
            "shown. Nothing is watched while that list is empty.",
            "something inside calls out: new software, a misconfiguration, or malware.",
            "`nodewarden list --observed` names destinations, `nodewarden why ADDRESS` who called them.",
        ),
        Value("unapproved", q.during("nodewarden_egress_flows_total", 'approved="no"'), "short", NONE_IS_CALM, 0),
    )


def _protected_now() -> Panel:
    return number(
        "Protected ports",
        About(
            "Connections from outside to etcd, API server, kubelet or services of yours that are for inside, in the "
            "time shown.",
            "somebody who should not could reach them: the firewall in front is open.",
            "close the port to the outside first, then see who it was: `nodewarden list --observed`.",
        ),
        Value("protected", q.during(_ALERTS, 'detector="protected_port"'), "short", NONE_IS_GOOD, 0),
    )


def _flows() -> tuple[Row, ...]:
    return (row("Flows", 8, _direction(), _protocol()), row("", 8, _balance(), _attempts(), _pending(), _table()))


def _direction() -> Panel:
    return stack(
        "New flows by direction",
        About(
            f"Flows that begin: {_DIRECTIONS}.",
            "in `in` visitors or a flood; in `out` and `forwarded`: something here calls out a lot.",
            "for `in` see *Detectors and thresholds*; for `out` ask the node's applications (`ss -tp`).",
        ),
        "cps",
        known.by_direction(_FLOWS, _OPENED),
    )


def _protocol() -> Panel:
    return stack(
        "New flows by protocol",
        About(
            "Flows that begin, by protocol.",
            "in `udp` often DNS, or an amplification attack; in `icmp` pings and sweeps.",
            "for `udp` see answers of services that amplify below.",
        ),
        "cps",
        Query(q.per_second(_FLOWS, _OPENED, by="protocol"), "{{protocol}}"),
    )


def _balance() -> Panel:
    return lines(
        "Opened and closed",
        About(
            "Flows that begin and flows that end.",
            "a gap between them: connections stay open, and the connection table fills.",
            "see *Connection table*; slow attacks hold connections (`open_connections`).",
        ),
        "cps",
        Query(q.per_second(_FLOWS, by="event"), "{{event}}"),
    )


def _attempts() -> Panel:
    return stack(
        "Attempts to connect",
        About(
            "TCP handshakes completed, and attempts that came to nothing.",
            "in `incomplete` scans and SYN floods.",
            "see *Detectors and thresholds*: `port_scan`, `half_open`.",
        ),
        "cps",
        known.handshakes(),
    )


def _pending() -> Panel:
    return lines(
        "Attempts under way",
        About(
            "Attempts to connect whose time is not up: half-open connections that the guard follows.",
            "a SYN flood, or a service that answers slowly.",
            "is `net.ipv4.tcp_syncookies` 1? See *Floods* in *Detectors and thresholds*.",
        ),
        "short",
        Query(q.now("nodewarden_handshakes_pending"), "half-open"),
    )


def _table() -> Panel:
    return lines(
        "Connection table",
        About(
            "Share of the connection table in use, of the ten fullest nodes.",
            "connections pile up; when it is full, new ones of everybody drop.",
            "raise `net.netfilter.nf_conntrack_max`.",
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
            f"Bytes of flows that ended: {_DIRECTIONS}. Needs `net.netfilter.nf_conntrack_acct=1`.",
            "in `out` or `forwarded` at odd hours that data leaves; in `in` uploads or a flood.",
            "compare with *Calls out, approved or not*.",
        ),
        "Bps",
        known.by_direction("nodewarden_flow_bytes_total"),
    )


def _packets() -> Panel:
    return stack(
        "Packets by direction",
        About(
            f"Packets of flows that ended: {_DIRECTIONS}.",
            "many packets with few bytes: scans, floods, chatty protocols.",
            "see *Bytes per packet*.",
        ),
        "pps",
        known.by_direction("nodewarden_flow_packets_total"),
    )


def _size() -> Panel:
    return lines(
        "Bytes per packet",
        About(
            "Mean size of packets by direction.",
            "bulk transfers. A fall towards 60 bytes means empty packets: scans and floods.",
            "small ones in `in`: see *Drops* and *Attempts to connect*.",
        ),
        "bytes",
        Query(
            f"{q.per_second('nodewarden_flow_bytes_total', by='direction')}"
            f" / ({q.per_second('nodewarden_flow_packets_total', by='direction')} > 0)",
            "{{direction}}",
        ),
    )


def _forbidden() -> tuple[Row, ...]:
    return (row("Where it should not go", 8, _egress(), _protected(), _uncounted()),)


def _egress() -> Panel:
    return stack(
        "Calls out, approved or not",
        About(
            "Flows out of the node and its pods by whether their destination is in `detectors.egress.approved`.",
            "in `no`: something new calls out.",
            "`nodewarden why ADDRESS` says who called; approve it, or let `egress` enforce.",
        ),
        "cps",
        Query(q.per_second("nodewarden_egress_flows_total", by="approved"), "approved: {{approved}}"),
    )


def _protected() -> Panel:
    return bars(
        "Protected ports, unapproved calls, amplification",
        About(
            "Alerts of the detectors that watch where connections go: `protected_port`, `egress`, `udp_amplification`.",
            "a door is open that should not be, something calls out, or a service of yours is used against others.",
            "close the port, find the caller, or restrict who may ask the service: `nodewarden list --observed`.",
        ),
        "suffix:/min",
        Query(q.in_force_mode(q.per_minute(_ALERTS, _WHERE, by="detector, mode")), "{{detector}} ({{mode}})"),
    )


def _uncounted() -> Panel:
    return lines(
        "Answers nobody measured",
        About(
            "Flows to services that amplify (DNS, NTP, …) of which the kernel counted no bytes.",
            "`udp_amplification` cannot judge them.",
            "`sysctl -w net.netfilter.nf_conntrack_acct=1`.",
        ),
        "cps",
        Query(q.per_second("nodewarden_uncounted_flows_total"), "not measured"),
    )
