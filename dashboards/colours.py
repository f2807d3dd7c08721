"""Colours: what they mean, and which one each value of a closed set of labels has, on every board.

Green is for what is well and nothing else; whatever nobody thought of gets a colour that judges nothing.
"""

import itertools
import re
from collections.abc import Iterator

from monitor.model.problems import ProblemKind

GOOD, CALM, WATCH, WARN, BAD = "green", "blue", "yellow", "orange", "red"
"""Meaning of colours: healthy; a fact without judgement; activity of offenders; check soon; check now."""
GREY = "#8e8e99"

NEUTRAL = (
    *("blue", "purple", "orange", "light-blue", "yellow", "light-purple", "dark-blue", "light-orange", "dark-purple"),
    *("super-light-blue", "dark-yellow", "super-light-purple"),
)
"""For values that differ and are not judged, in this order."""

VALUES: dict[str, dict[str, str]] = {
    "action": {"ban": BAD, "unban": CALM},
    "approved": {"yes": CALM, "no": BAD},
    "cause": {
        "expired": CALM,
        "lifted": WARN,
        "allowlisted": WATCH,
        "yielded": "purple",
        "withdrawn": GREY,
        "refused": BAD,
        "queue": WARN,
        "disk": BAD,
        "fault": "dark-red",
        "crowded": WARN,
        "timeout": WATCH,
        "descriptors": BAD,
        "header": "blue",
        "truncated": "purple",
        "incomplete": "orange",
        "not_ip": "yellow",
        "field": "light-blue",
        "unreadable": BAD,
        "malformed": "dark-red",
        "oversize": "dark-purple",
        "version": "purple",
        "own_name": BAD,
        "foreign": "dark-orange",
        "internal": "light-blue",
        "wide": "light-purple",
        "spoofable": "light-orange",
        "ended": CALM,
        "pardoned": "dark-blue",
        "role": "dark-yellow",
        "off": GREY,
        "budget": WARN,
        "full": "super-light-blue",
        "waiting": "super-light-purple",
        "kernel": "super-light-yellow",
        "unreachable": "dark-orange",
        "tls": "light-purple",
        "status": "dark-yellow",
        "answer": "dark-purple",
        "credentials": "super-light-red",
    },
    "class": {
        "firewall": WARN,
        "closed_port": WATCH,
        "bad_packet": "purple",
        "no_memory": BAD,
        "rate_limit": CALM,
        "other": GREY,
        "spoofable": WARN,
        "peer": "light-purple",
        "list": "blue",
        "import": "dark-blue",
        "proven": BAD,
        "destination": "purple",
        "operator": "light-blue",
        "observed": GREY,
    },
    "direction": {"in": "blue", "out": "orange", "forwarded": "purple", "local": GREY},
    "event": {
        "opened": "blue",
        "closed": GREY,
        "found": GREY,
        "invalid": WATCH,
        "insert": GREY,
        "insert_failed": WARN,
        "drop": BAD,
        "early_drop": "dark-red",
        "error": "purple",
        "search_restart": "light-blue",
        "clash_resolve": "light-purple",
        "chain_toolong": "dark-orange",
    },
    "family": {"ipv4": "blue", "ipv6": "purple"},
    "found_by": {"shadow": "purple", "both": "blue", "real": "orange"},
    "hook": {"input": BAD, "forward": "dark-red"},
    "kind": {
        **{kind: NEUTRAL[number % len(NEUTRAL)] for number, kind in enumerate(ProblemKind)},
        "table_gone": BAD,
        "rules_changed": "dark-red",
        "element_gone": WARN,
        "element_added": WATCH,
        "element_changed": "dark-orange",
        "allow_changed": "purple",
        "overrun": GREY,
        "packet_logged": "blue",
        "auth_failure": "red",
        "flow_incomplete": "orange",
        "outbound_incomplete": "yellow",
        "drops_observed": "light-purple",
        "sender_observed": "light-blue",
    },
    "mode": {"enforce": BAD, "observe": GREY, "native": CALM, "generic": WATCH},
    "outcome": {
        "taken": WARN,
        "allowlisted": WATCH,
        "full": "dark-red",
        "refused": "dark-purple",
        "surplus": BAD,
        "malformed": "purple",
        "type": "light-blue",
        "scope": "blue",
        "origin": "dark-blue",
        "own": GREY,
        "wide": "dark-orange",
        "unusable": "light-purple",
        "expired": "super-light-blue",
        "sent": CALM,
        "lost": "semi-dark-red",
    },
    "program": {"drops": "blue", "xdp_ban": "purple", "first_packets": "orange"},
    "reason": {
        "known_service": CALM,
        "outbound": "light-blue",
        "accepted": GREY,
        "unchecked": WARN,
        "internal": WATCH,
        "contested": BAD,
    },
    "result": {"success": GOOD, "failure": BAD},
    "rung": {"tracing": CALM, "raw_tracepoint": "light-blue", "tracepoint": WARN, "off": BAD},
    "sign": {
        "client_banned": BAD,
        "client_shunned": WARN,
        "allowlisted": WATCH,
        "lifted_early": "purple",
        "withdrawn": GREY,
    },
    "signal": {
        "bans": BAD,
        "alerts": WARN,
        "drops": "purple",
        "stopped": "light-purple",
        "flows": "blue",
        "conntrack": WATCH,
    },
    "source": {
        "kernel_log": "blue",
        "conntrack": "purple",
        "drops": "orange",
        "xdp": "light-blue",
        "journal": "yellow",
        "files": "light-purple",
    },
    "protocol": {
        "tcp": "blue",
        "udp": "orange",
        "icmp": "yellow",
        "icmpv6": "dark-yellow",
        "igmp": "purple",
        "other": GREY,
    },
    "severity": {"critical": "dark-red", "high": BAD, "medium": WARN, "low": WATCH, "info": GREY},
    "state": {
        "protected": CALM,
        "unprotected": WATCH,
        "banned": BAD,
        "alive": CALM,
        "silent": WATCH,
        "observed": "dark-red",
    },
    "strength": {"proven": BAD, "spoofable": WARN, "destination": "purple"},
    "subject": {
        "configuration": "blue",
        "allowlist": BAD,
        "drift": WARN,
        "version": "purple",
        "audit": WATCH,
    },
    "task": {"pull": "blue", "push": "purple"},
    "verdict": {
        "ban": BAD,
        "observe": GREY,
        "over_budget": "purple",
        "refresh": WARN,
        "covered": "light-orange",
        "claim": "dark-orange",
        "allowlisted": WATCH,
        "stale": CALM,
        "full": "dark-red",
        "refused": "dark-purple",
    },
}
"""The colour of each value, by label."""
IS_GOOD = frozenset(("success", "complete", "up", "in place"))
"""What may be green: names of series."""

_JUDGED = frozenset(("result", "rung"))
"""Labels that decide the colour of a name with several."""
_MOST_NAMES = 24
"""A panel's series with several labels have fixed colours up to as many; beyond, Grafana derives them from the name."""
_LABEL = re.compile(r"\{\{(\w+)\}\}")


def fixed(colour: str) -> dict[str, str]:
    """Return a colour as Grafana's models write it."""
    return {"mode": "fixed", "fixedColor": colour}


def coloured(name: str, spare: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Yield the names that series of a legend can have, each with its colour; nothing if labels are open.

    Of several labels the last decides if it is a judgement: `{{program}}: {{rung}}` is red where it is off. `spare` has
    colours for names without labels.
    """
    labels = _LABEL.findall(name)
    if not labels:
        yield name, GOOD if name in IS_GOOD else next(spare)
    if not labels or not all(label in VALUES for label in labels):
        return
    choices = list(itertools.product(*(VALUES[label].items() for label in labels)))
    if len(labels) > 1 and len(choices) > _MOST_NAMES:
        return
    for number, chosen in enumerate(choices):
        written = name
        for label, (value, _) in zip(labels, chosen, strict=True):
            written = written.replace(f"{{{{{label}}}}}", value)
        is_judged = len(labels) == 1 or labels[-1] in _JUDGED
        yield written, chosen[-1][1] if is_judged else NEUTRAL[number % len(NEUTRAL)]
