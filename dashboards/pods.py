"""Pods: in whose network namespace packets drop, and which calls out nobody watches."""

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from dashboards import queries as q
from dashboards.board import board, row
from dashboards.panels import BAD, FACT, NONE_IS_CALM, About, Value, bars, lines, number, stack
from dashboards.queries import Query
from dashboards.tables import Column, Key, grid

_DROPPED = "nodewarden_pod_dropped_packets_total"
_NAMED = 'pod!="other"'
_UNCOVERED = "nodewarden_egress_uncovered_flows_total"
_POD = "namespace, pod"
_OFF = "Empty unless `sources.drops.pods` says how many pods may have series."
_CLASSES = (
    ("firewall", "orange"),
    ("closed_port", "yellow"),
    ("bad_packet", "purple"),
    ("no_memory", "red"),
    ("rate_limit", "blue"),
    ("other", "#8e8e99"),
)


def made() -> Dashboard:
    """Return the dashboard."""
    return board(
        "pods",
        "Pods",
        "Drops in the network namespaces of pods, by pod and cause, and forwarded calls out that nobody watches.",
        row("", 4, _now(), _trouble(), _known(), _uncovered_now()),
        row("Drops", 9, _by_pod()),
        row("", 9, _by_class(), _table(), widths=(8, 16)),
        row("Calls out", 8, _egress(), _uncovered()),
    )


def _now() -> Panel:
    return number(
        "Dropped in pods now",
        About(
            f"Packets that drop in network namespaces of pods. {_OFF}",
            "A pod refuses traffic, is attacked, or cannot keep up.",
            "*Packets dropped, by pod* names it. What a network policy on the node refuses counts for the node: see "
            "*Drops*.",
        ),
        Value("dropped", q.per_second(_DROPPED), "pps", FACT),
    )


def _trouble() -> Panel:
    lost = q.during(_DROPPED, 'class="no_memory"', _NAMED, by=_POD)
    return number(
        "Pods that cannot keep up",
        About(
            f"Pods that lost packets for lack of memory or buffer space in the time range shown. {_OFF}",
            "An application in them reads too slowly, or accepts too few connections.",
            "The table names them: give them more CPU time, or larger buffers.",
        ),
        Value("pods", q.or_none(f"count({lost} > 0)"), "short", NONE_IS_CALM, 0),
    )


def _known() -> Panel:
    return number(
        "Pods known",
        About(
            "Pods whose network namespace the guard can name, by the results that the container runtime keeps.",
            "More pods are scheduled.",
            "0 on a node with pods: `nodewarden status` says what cannot be read.",
        ),
        Value("pods", q.now("nodewarden_pods_known"), "short", FACT, 0),
    )


def _uncovered_now() -> Panel:
    return number(
        "Calls out that nobody watches",
        About(
            "Forwarded flows to destinations that are not approved, from networks that neither the cluster nor "
            "`detectors.egress.sources` names, in the time range shown. 0 while `detectors.egress.approved` is empty.",
            "Containers or hosts behind the node call out, and no alert can follow.",
            "`nodewarden status` names the networks: add them to `detectors.egress.sources`.",
        ),
        Value("flows", q.during(_UNCOVERED), "short", NONE_IS_CALM, 0),
    )


def _by_pod() -> Panel:
    return stack(
        "Packets dropped, by pod",
        About(
            f"The twelve pods with most drops; `other`: pods without series, and namespaces that are no pod's. {_OFF}",
            "One pod: its policy, its load, or an attack on it. All pods: something changed for all of them.",
            "`nodewarden drops --by pod` on the node shows the reasons at this moment.",
        ),
        "pps",
        Query(
            f"{q.per_second(_DROPPED, by=_POD)} and on ({_POD}) "
            f"topk(12, {q.add(f'increase({q.select(_DROPPED)}[$__range] @ end())', _POD)} > 0)",
            "{{namespace}}/{{pod}}",
        ),
        table=("lastNotNull", "mean", "max"),
    )


def _by_class() -> Panel:
    return stack(
        "Drops in pods, by cause",
        About(
            f"Drops in network namespaces of pods, by class of reason. {_OFF}",
            "`firewall`: rules inside the pod, such as those of a service mesh. `closed port`: probes. `no memory`: "
            "the application is too slow.",
            "See the table for the pods.",
        ),
        "pps",
        tuple(
            Query(q.or_none(q.per_second(_DROPPED, f'class="{name}"')), name.replace("_", " "), colour)
            for name, colour in _CLASSES
        ),
    )


def _table() -> Panel:
    def during(*matchers: str) -> str:
        return q.during(_DROPPED, _NAMED, *matchers, by=_POD)

    return grid(
        "Pods with drops",
        About(
            f"Packets that each pod lost in the time range shown, by cause. {_OFF}",
            "See *Packets dropped, by pod*.",
            "`nodewarden why ADDRESS` of an offender names the pods that it tried to reach.",
        ),
        (Key("namespace", "Namespace", 120), Key("pod", "Pod", 220)),
        (
            Column("Dropped", during(), "short", decimals=0),
            Column("Firewall", during('class="firewall"'), "short", decimals=0),
            Column("Closed port", during('class="closed_port"'), "short", decimals=0),
            Column("No memory", during('class="no_memory"'), "short", decimals=0),
        ),
        sort_by="Dropped",
    )


def _egress() -> Panel:
    return bars(
        "Calls out, by approval",
        About(
            "Flows out of the node and its pods, by whether their destination is approved. Empty while "
            "`detectors.egress.approved` is.",
            "Something inside calls out to a new destination.",
            "`nodewarden list --observed` names the destinations, `nodewarden why ADDRESS` the pod that called.",
        ),
        "short",
        (
            Query(q.events("nodewarden_egress_flows_total", 'approved="no"'), "not approved", BAD),
            Query(q.events("nodewarden_egress_flows_total", 'approved="yes"'), "approved", "blue"),
        ),
    )


def _uncovered() -> Panel:
    return lines(
        "Calls out that nobody watches, by node",
        About(
            "Forwarded flows to destinations that are not approved, from networks that nothing watches; the ten nodes "
            "with most.",
            "Containers that Kubernetes does not manage, or a network behind the node, call out.",
            "Add the network to `detectors.egress.sources`.",
        ),
        "cps",
        Query(q.highest(q.per_second(_UNCOVERED, by=q.BY_NODE)), "{{instance}}"),
    )
