"""Label values that are known beforehand, as series of their own with colours that never change."""

from dashboards import queries as q
from dashboards.queries import Query

_GREY = "#8e8e99"

NEW = slice(3)
"""Of the verdicts those on somebody who was not banned."""
_VERDICTS = (
    ("banned", "ban", "red"),
    ("only observed", "observe", _GREY),
    ("over budget", "over_budget", "purple"),
    ("banned already", "refresh|covered", "orange"),
    ("protected", "allowlisted", "green"),
    ("too late", "stale", "blue"),
    ("no room", "full", "dark-red"),
)
_STRENGTHS = (("proven", "red"), ("spoofable", "orange"), ("destination", "purple"))
_SETS = (("banned", "ban.*", "red"), ("shunned", "shun.*", "orange"), ("blocked", "block.*", "purple"))
_DIRECTIONS = (("in", "blue"), ("out", "orange"), ("forwarded", "purple"), ("local", _GREY))
_ENDS = (("expired", "green"), ("lifted", "orange"), ("allowlisted", "yellow"))


def verdicts(*more: str) -> list[Query]:
    """Return what became of alerts, by the minute: new bans and what could have been some, then all the rest."""
    metric = "nodewarden_decisions_total"
    return [Query(q.per_minute(metric, f'verdict=~"{which}"', *more), name, hue) for name, which, hue in _VERDICTS]


def alerts_by_strength(*more: str) -> list[Query]:
    """Return alerts by strength of evidence, by the minute."""
    metric = "nodewarden_detector_alerts_total"
    return [Query(q.per_minute(metric, f'strength="{name}"', *more), name, hue) for name, hue in _STRENGTHS]


def bans() -> list[Query]:
    """Return bans in force by strength of evidence, and those that are only observed."""
    enforced = [
        Query(q.now("nodewarden_bans", 'mode="enforce"', f'strength="{name}"'), name, hue) for name, hue in _STRENGTHS
    ]
    return [*enforced, Query(q.now("nodewarden_bans", 'mode="observe"'), "only observed", _GREY)]


def bans_ended() -> list[Query]:
    """Return why bans ended, by the minute."""
    metric = "nodewarden_bans_ended_total"
    return [Query(q.per_minute(metric, f'cause="{name}"'), name, hue) for name, hue in _ENDS]


def stopped_packets() -> list[Query]:
    """Return packets that our sets stop, and those that the program in front of the stack does."""
    table, front = "nodewarden_set_dropped_packets_total", "nodewarden_xdp_dropped_packets_total"
    sets = [Query(q.per_second(table, f'set=~"{which}"'), name, hue) for name, which, hue in _SETS]
    return [*sets, Query(q.or_none(q.per_second(front)), "banned, in front", "dark-red")]


def by_direction(metric: str, *matchers: str) -> list[Query]:
    """Return how fast a counter rises, by direction."""
    return [
        Query(q.or_none(q.per_second(metric, *matchers, f'direction="{name}"')), name, hue) for name, hue in _DIRECTIONS
    ]


def handshakes() -> list[Query]:
    """Return attempts to connect that were completed, and those that came to nothing."""
    return [
        Query(q.per_second("nodewarden_handshakes_completed_total"), "complete", "green"),
        Query(q.per_second("nodewarden_handshakes_incomplete_total"), "incomplete", "orange"),
    ]
