"""LogQL in pieces: the daemon's log in Loki, as the collectors in `examples/loki` send it.

They send the fields of decisions as structured metadata, which queries use without reading lines: text that attackers
chose cannot become a field.
"""

from grafana_foundation_sdk.builders import loki
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models.loki import LokiQueryType

LOKI = kinds.DataSourceRef(type_val="loki", uid="${loki}")
STREAM = '{job="nodewarden",cluster=~"$cluster",instance=~"$instance"}'
"""The log of the chosen nodes; nodes have the same names as in Prometheus."""
CHOSEN = 'detector=~"$detector"'
"""What is chosen at the top of the dashboard."""
ROWS = 15


def most(field: str, *more: str) -> str:
    """Return the values of a field with most decisions in the time that is shown, apart by `more` fields."""
    by = ", ".join((field, *more))
    decisions = f'{STREAM} | verdict!="" | {CHOSEN} | {field}!="" | unwrap decisions [$__range]'
    return f"topk({ROWS}, sum by ({by}) (sum_over_time({decisions})))"


def lines() -> str:
    """Return the lines that contain what was searched for."""
    return f"{STREAM} |= `$search` | {CHOSEN}"


def instant(expression: str) -> loki.Dataquery:
    """Return a query that is asked once for all the time that is shown."""
    return _asked(expression).query_type(LokiQueryType.INSTANT)


def log(expression: str) -> loki.Dataquery:
    """Return a query for lines, the newest first."""
    return _asked(expression).query_type(LokiQueryType.RANGE).max_lines(500)


def _asked(expression: str) -> loki.Dataquery:
    return loki.Dataquery().datasource(LOKI).expr(expression).ref_id("A")
