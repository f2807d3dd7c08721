"""The frame of every dashboard: variables, links between them, marks over time, and rows of panels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as model

from dashboards.aggregates import DOWN, OUTSIDE
from dashboards.panels import BAD, CALM, SOURCE, WARN, WATCH
from dashboards.queries import during, most, over, select

TAG = "nodewarden"
COLUMNS = 24
_MARK_WINDOW, _MARK_STEP = "5m", "60s"
"""A mark lasts longer than Grafana's step over a month (11,000 points), so that it is seen at any zoom."""
_QUIET = "30m"


Variable: TypeAlias = build.QueryVariable | build.DatasourceVariable | build.TextBoxVariable


@dataclass(frozen=True)
class Row:
    """Panels side by side, `height` in Grafana's units of 30 pixels, under a heading unless that is empty.

    A folded row shows its heading only, until somebody opens it: for panels that are empty on a node that is well. The
    rows without a heading that follow belong to it. Grafana asks for nothing that is folded.
    """

    heading: str
    height: int
    panels: tuple[model.Panel, ...]
    widths: tuple[int, ...]
    is_folded: bool = False


def row(heading: str, height: int, *panels: model.Panel, widths: Sequence[int] = (), is_folded: bool = False) -> Row:
    """Return a row; without `widths` (24 in all) its panels share it evenly."""
    even, rest = divmod(COLUMNS, len(panels))
    widths = tuple(widths) or (even + 1,) * rest + (even,) * (len(panels) - rest)
    if sum(widths) != COLUMNS or len(widths) != len(panels):
        raise ValueError(f"row {heading!r}: widths {widths} of {len(panels)} panels do not add up to {COLUMNS}")
    if is_folded and not heading:
        raise ValueError("a folded row needs a heading to be opened by")
    return Row(heading, height, panels, widths, is_folded)


def board(
    slug: str, title: str, purpose: str, *rows: Row, span: str = "now-3h", more: Sequence[Variable] = ()
) -> model.Dashboard:
    """Return a dashboard; its uid is `nodewarden-SLUG` for ever, since people keep links to it."""
    frame = (
        build.Dashboard(f"nodewarden / {title}")
        .uid(uid(slug))
        .description(purpose)
        .tags([TAG])
        .readonly()
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .time(span, "now")
        .refresh("30s")
        .timezone("browser")
        .link(_links())
    )
    for variable in (_datasource(), *_nodes(), *more):
        frame = frame.with_variable(variable)
    for mark in (_by_hand(), *_marks()):
        frame = frame.annotation(mark)
    made = frame.build()
    made.panels = list(_placed(rows))
    return made


def leads_to(panel: model.Panel, slug: str, name: str) -> model.Panel:
    """Return a panel with a link to the dashboard with the details, same nodes and time range."""
    url = f"/d/{uid(slug)}?${{__url_time_range}}&${{__all_variables}}"
    panel.links = [model.DashboardLink(title=name, type_val=model.DashboardLinkType.LINK, url=url)]
    return panel


def uid(slug: str) -> str:
    """Return the uid of a dashboard."""
    return f"{TAG}-{slug}"


def address(slug: str, *settings: str) -> str:
    """Return where a dashboard is, at the time that is shown, with variables set as `settings` say."""
    return f"/d/{uid(slug)}?{'&'.join(('${__url_time_range}', 'var-datasource=${datasource}', *settings))}"


def variable(name: str, label: str, metric: str, *, all_value: str = ".*") -> build.QueryVariable:
    """Return a variable of label values, of which several can be chosen, or all.

    All is `all_value`, so that a node counts that was down all the time, and one without a label; if that is empty, all
    is just the values there are.
    """
    query = f"label_values({metric}, {name})"
    made = (
        build.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query({"query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"})
        .definition(query)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )
    return made.all_value(all_value) if all_value else made


def _datasource() -> build.DatasourceVariable:
    return build.DatasourceVariable("datasource").label("Data source").type("prometheus")


def _nodes() -> tuple[build.QueryVariable, ...]:
    """Return the variables that select nodes; jobs are listed by name, since `up` also has the jobs of others."""
    info = "nodewarden_build_info"
    return (
        variable("job", "Job", info, all_value=""),
        variable("cluster", "Cluster", f'{info}{{job=~"$job"}}'),
        variable("instance", "Instance", f'{info}{{job=~"$job",cluster=~"$cluster"}}', all_value=".+"),
    )


def _links() -> build.DashboardLink:
    return (
        build.DashboardLink("nodewarden")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(True)
        .keep_time(True)
        .include_vars(True)
        .icon("external link")
        .tooltip("Other dashboards of nodewarden, same nodes and time range")
    )


def _marks() -> tuple[build.AnnotationQuery, ...]:
    """Return the annotations of every dashboard: only the start of a change, so that a long attack is one line."""
    unusual = most(over("max_over_time", OUTSIDE, window=_MARK_WINDOW), "signal")
    bans = during("nodewarden_decisions_total", 'verdict="ban"', 'detector!="manual"', window=_MARK_WINDOW)
    down = f"count by (instance) ({over('count_over_time', DOWN, window=_MARK_WINDOW)})"
    reloads = during("nodewarden_config_reloads_total", by="instance, result", window=_MARK_WINDOW)
    young_s = f"time() - {select('process_start_time_seconds')}"
    return (
        _mark("Anomalies", WATCH, _starts(unusual), "{{signal}} becomes unusual"),
        _mark("Bans", BAD, _starts(bans), "first bans after half an hour without any", is_shown=False),
        _mark("Guard down", BAD, _starts(down), "{{instance}}: guard does not respond"),
        _mark("Reloads", CALM, f"{reloads} > 0", "{{instance}}: configuration reloaded, {{result}}"),
        _mark("Starts", WARN, f"{young_s} < 300", "{{instance}}: guard started"),
    )


def _by_hand() -> build.AnnotationQuery:
    """Return the marks that people set in Grafana itself."""
    own = kinds.DataSourceRef(type_val="grafana", uid="-- Grafana --")
    return (
        build.AnnotationQuery()
        .name("Manual")
        .type("dashboard")
        .datasource(own)
        .built_in(1)
        .enable(True)
        .hide(True)
        .icon_color("purple")
    )


def _starts(expression: str) -> str:
    """Return an expression where it is above zero after half an hour at zero: an incident is one mark."""
    before = expression.replace(f"[{_MARK_WINDOW}]", f"[{_QUIET}] offset {_MARK_WINDOW}")
    return f"({expression} > 0) unless ({before} > 0)"


def _mark(name: str, colour: str, expression: str, text: str, *, is_shown: bool = True) -> build.AnnotationQuery:
    return (
        build.AnnotationQuery()
        .name(name)
        .datasource(SOURCE)
        .enable(is_shown)
        .icon_color(colour)
        .expr(expression)
        .step(_MARK_STEP)
        .title_format(text)
        .text_format("")
    )


def _placed(rows: Sequence[Row]) -> Sequence[model.Panel | model.RowPanel]:
    """Give each panel its place, and a number in reading order; panels of a folded row are within its heading.

    All are placed as if every row were open: Grafana moves up what follows a folded one.
    """
    placed: list[model.Panel | model.RowPanel] = []
    top = number = 0
    folder: list[model.Panel] | None = None
    for one in rows:
        if one.heading:
            number += 1
            place = model.GridPos(x=0, y=top, w=COLUMNS, h=1)
            folder = [] if one.is_folded else None
            placed.append(model.RowPanel(one.is_folded, one.heading, None, place, number, folder))
            top += 1
        left = 0
        for panel, width in zip(one.panels, one.widths, strict=True):
            number += 1
            panel.id_val, panel.grid_pos = number, model.GridPos(x=left, y=top, w=width, h=one.height)
            (placed if folder is None else folder).append(panel)
            left += width
        top += one.height
    return placed
