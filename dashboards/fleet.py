"""The fleet: whether nodes share their bans, what they take over, and who differs. Empty without `fleet.url`."""

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from dashboards import queries as q
from dashboards.board import board, row
from dashboards.panels import BAD, FACT, GOOD, NONE_IS_CALM, NONE_IS_GOOD, WARN, About, Value, bars, card, lines, steps
from dashboards.queries import Query
from dashboards.tables import CLUSTER, NODE, Column, grid

_UP = "nodewarden_fleet_up"
_PEERS = "nodewarden_fleet_peers"
_DIFFERING = "nodewarden_fleet_differing_nodes"
_REFUSED = "nodewarden_fleet_refused_total"
_OFF = "Empty without `fleet.url`."


def made() -> Dashboard:
    """Return the dashboard."""
    return board(
        "fleet",
        "Fleet",
        "Do nodes share their bans, what do they take over from each other, and which of them differ?",
        row("", 6, _is_it_well(), _is_it_equal(), _what_is_shared()),
        row("", 9, _table()),
        row("Bans", 8, _shared(), _refused()),
        row("", 8, _held(), _lag()),
        row("Consistency", 8, _differing(), _peers()),
        row("Server", 7, _waiting(), _clock()),
    )


def _is_it_well() -> Panel:
    def troubled(kind: str) -> str:
        return q.add(q.select("nodewarden_problem", f'kind="{kind}"'))

    waited = q.or_none(q.most(q.select("nodewarden_fleet_waiting_seconds")))
    return card(
        "Does sharing work?",
        About(
            f"Nodes that cannot use the fleet's server; those whose changes wait for over a minute; those that stopped "
            f"trusting a peer. {_OFF}",
            "Nodes learn late, or not at all, what others ban. Detectors of each node still ban there.",
            "`nodewarden fleet status` on one of these nodes says why.",
        ),
        Value("Without server", troubled("fleet"), "short", NONE_IS_GOOD, 0),
        Value("Changes wait", troubled("fleet_waiting"), "short", NONE_IS_GOOD, 0),
        Value("Distrust a peer", troubled("fleet_breaker"), "short", NONE_IS_GOOD, 0),
        Value("Longest wait", waited, "s", ((None, GOOD), (10, WARN), (60, BAD))),
    )


def _is_it_equal() -> Panel:
    def odd(subject: str) -> str:
        return q.or_none(q.most(q.select(_DIFFERING, f'subject="{subject}"')))

    return card(
        "Are all nodes alike?",
        About(
            f"Nodes that differ from the larger part of their fleet, by subject; of the fleet with most. {_OFF}",
            "A node has another configuration, allowlist or version: it bans whom others spare, or the reverse.",
            "`nodewarden fleet status` names them, `nodewarden fleet diff NODE NODE` says in what they differ.",
        ),
        Value("Configuration", odd("configuration"), "short", NONE_IS_CALM, 0),
        Value("Allowlist", odd("allowlist"), "short", NONE_IS_GOOD, 0),
        Value("Table drift", odd("drift"), "short", NONE_IS_CALM, 0),
        Value("Version", odd("version"), "short", NONE_IS_CALM, 0),
        Value("Audit", odd("audit"), "short", NONE_IS_CALM, 0),
    )


def _what_is_shared() -> Panel:
    return card(
        "What is shared?",
        About(
            f"In the time range shown: bans that nodes published, and that they took over (each node counts); records "
            f"that they refused. Now: pardons in force. {_OFF}",
            "Nodes find more offenders; a pardon bars an address from being taken over.",
            "`nodewarden list` shows what is held of peers, `nodewarden why ADDRESS` whose claim it is.",
        ),
        Value("Published", q.during("nodewarden_fleet_published_total"), "short", FACT, 0),
        Value("Taken over", q.during("nodewarden_fleet_adopted_total"), "short", FACT, 0),
        Value("Refused", q.during(_REFUSED), "short", NONE_IS_CALM, 0),
        Value("Pardons", q.or_none(q.most(q.select("nodewarden_fleet_pardons"))), "short", FACT, 0),
    )


def _shared() -> Panel:
    return bars(
        "Bans published and taken over",
        About(
            "Bans that nodes published; ends of bans and pardons that they published; bans taken over, counted on each "
            f"node that did. {_OFF}",
            "More offenders. Much published by one node alone: see *Bans held, by peer*.",
            "`nodewarden history` on the node that publishes says what its detectors saw.",
        ),
        "short",
        (
            Query(q.events("nodewarden_fleet_published_total"), "published", "red"),
            Query(q.events("nodewarden_fleet_adopted_total"), "taken over", "orange"),
            Query(q.events("nodewarden_fleet_withdrawn_total"), "withdrawn", "blue"),
        ),
    )


def _refused() -> Panel:
    return bars(
        "Records of peers refused, by cause",
        About(
            f"Bans of peers that nodes did not take over. {_OFF}",
            "`allowlisted`: a peer lacks an entry of the allowlist. `budget`: it bans in masses. `version`: it is "
            "newer. `malformed`: somebody writes garbage into its keys.",
            "`nodewarden fleet status` shows whose they are; see NodewardenFleetBreaker.",
        ),
        "short",
        Query(q.events(_REFUSED, by="cause"), "{{cause}}"),
    )


def _held() -> Panel:
    return lines(
        "Bans held, by peer",
        About(
            f"Bans of a peer that are in force on the node that holds most of them. The first 32 peers by name; the "
            f"rest is `other`. {_OFF}",
            "That peer sees an attack, or bans wrongly.",
            "`nodewarden list` on any node; `nodewarden unban --fleet ADDRESS` pardons what was banned wrongly.",
        ),
        "short",
        Query(q.highest(q.most(q.select("nodewarden_fleet_peer_bans", 'mode="enforce"'), "peer")), "{{peer}}"),
    )


def _lag() -> Panel:
    return lines(
        "Lag of the slowest peer, by node",
        About(
            f"Time from the last ban of a peer, as decided there, until it arrived; the ten slowest nodes. {_OFF}",
            "The server or the network is slow, or the node was cut off and reads what it missed.",
            "See *Changes that wait, by node*; `redis-cli --latency` on the node.",
        ),
        "s",
        Query(q.highest(q.most(q.select("nodewarden_fleet_lag_seconds"), q.BY_NODE)), "{{instance}}"),
    )


def _differing() -> Panel:
    return steps(
        "Nodes that differ, by subject",
        About(
            f"Nodes that differ from the larger part of their fleet. {_OFF}",
            "A rollout is under way, or stopped halfway. `drift`: other programs change the table of a node.",
            "`nodewarden fleet status` names them; alert NodewardenFleetDiffers comes after 25 minutes.",
        ),
        "short",
        Query(q.most(q.select(_DIFFERING), "subject"), "{{subject}}"),
    )


def _peers() -> Panel:
    return steps(
        "Peers, by state",
        About(
            f"Other nodes of the fleet, as the node that sees most of each state has it. {_OFF}",
            "`silent`: nodes are down or cut off. `observed`: their breaker tripped, so their bans are only recorded.",
            "`nodewarden fleet status`; *Guard health* shows nodes that are down.",
        ),
        "short",
        Query(q.most(q.select(_PEERS), "state"), "{{state}}"),
    )


def _table() -> Panel:
    def of(metric: str, *matchers: str) -> str:
        return q.most(q.select(metric, *matchers), q.BY_NODE)

    return grid(
        "Nodes of the fleet",
        About(
            f"Each node as it is now: whether it can use the server, peers it sees, what waits, lag, and in the time "
            f"range shown what it published, took over and refused. {_OFF}",
            "Look for the row that is unlike the others.",
            "`nodewarden fleet status` on that node.",
        ),
        (CLUSTER, NODE),
        (
            Column("Server", of(_UP), "short", ((None, BAD), (1, GOOD)), 0, (("1", "connected"), ("0", "away"))),
            Column("Peers alive", of(_PEERS, 'state="alive"'), "short", decimals=0),
            Column("Waiting", of("nodewarden_fleet_waiting_changes"), "short", decimals=0),
            Column("Lag", of("nodewarden_fleet_lag_seconds"), "s"),
            Column("Published", q.during("nodewarden_fleet_published_total", by=q.BY_NODE), "short", decimals=0),
            Column("Taken over", q.during("nodewarden_fleet_adopted_total", by=q.BY_NODE), "short", decimals=0),
            Column("Refused", q.during(_REFUSED, by=q.BY_NODE), "short", decimals=0),
        ),
        sort_by=(("Server", False), ("Lag", True)),
    )


def _waiting() -> Panel:
    return lines(
        "Changes that wait, by node",
        About(
            f"Bans and ends of bans that wait to be published; the ten nodes with most. {_OFF}",
            "The server is away or slow. What waits is bounded: beyond, the node publishes all of its bans again.",
            "See alert NodewardenFleetWaiting.",
        ),
        "short",
        Query(q.highest(q.most(q.select("nodewarden_fleet_waiting_changes"), q.BY_NODE)), "{{instance}}"),
    )


def _clock() -> Panel:
    return lines(
        "Clock of the server against nodes",
        About(
            f"How far the clock of the server is from that of a node; the ten farthest. Times are converted. {_OFF}",
            "The clock of that node, or of the server if all nodes show it, is not synchronised.",
            "`timedatectl` on both.",
        ),
        "s",
        Query(
            q.highest(q.most(f"abs({q.select('nodewarden_fleet_clock_offset_seconds')})", q.BY_NODE)),
            "{{instance}}",
        ),
    )
