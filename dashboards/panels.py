"""Kinds of panels: what they look like is decided here, once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from grafana_foundation_sdk.builders import bargauge, common, heatmap, prometheus, stat, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as model

from dashboards.colours import BAD, CALM, GOOD, NEUTRAL, WARN, WATCH, coloured, fixed
from dashboards.queries import Query

__all__ = ["BAD", "CALM", "GOOD", "WARN", "WATCH"]
"""Colours, for those who make panels."""

SOURCE = kinds.DataSourceRef(type_val="prometheus", uid="${datasource}")

Steps: TypeAlias = tuple[tuple[float | None, str], ...]
"""From which value on a colour holds; the first holds from below."""

FACT: Steps = ((None, CALM),)
NONE_IS_GOOD: Steps = ((None, GOOD), (1e-9, BAD))
NONE_IS_CALM: Steps = ((None, GOOD), (1e-9, WATCH))
FULL: Steps = ((None, GOOD), (0.7, WARN), (0.9, BAD))

Series: TypeAlias = Query | Sequence[Query]
Visual: TypeAlias = timeseries.Panel | stat.Panel | bargauge.Panel | heatmap.Panel


@dataclass(frozen=True)
class About:
    """What a panel shows, what it means when it rises, and what to do then: its description."""

    shows: str
    rise: str
    act: str

    def __str__(self) -> str:
        """Return the description as Grafana shows it (Markdown)."""
        return f"{self.shows}\n\n**If it rises:** {self.rise}\n\n**Do:** {self.act}"


@dataclass(frozen=True)
class Value:
    """One value of a card: its name, its query, its unit and from where on it has which colour."""

    name: str
    expression: str
    unit: str = "short"
    steps: Steps = FACT
    decimals: int | None = None


def thresholds(steps: Steps) -> build.ThresholdsConfig:
    """Return colours by value."""
    return (
        build.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([model.Threshold(value, colour) for value, colour in steps])
    )


def properties(**values: object) -> list[model.DynamicConfigValue]:
    """Return the properties of an override; `__` in a name stands for a dot."""
    return [model.DynamicConfigValue(name.replace("__", "."), value) for name, value in values.items()]


_WITH_EXEMPLARS = ("nodewarden_decisions_total{", "nodewarden_detector_alerts_total{")


def target(query: Query, number: int, *, is_instant: bool = False) -> prometheus.Dataquery:
    """Return a query as Grafana wants it; what is about all the time that is shown is asked once, not at each step."""
    made = prometheus.Dataquery().datasource(SOURCE).expr(query.expression).legend_format(query.name)
    made = made.ref_id(chr(ord("A") + number))
    return made.instant() if is_instant or "[$__range])" in query.expression else made.range()


POINTS = 240
"""Points in time of a panel at most: at 3 h one a minute, which is enough to say when, at a quarter of the cost."""
_INTERVAL = "30s"
"""Least step: a multiple of the interval at which sums are recorded, as are all longer ones that Grafana takes."""
_MOMENT_POINTS = 10_000
"""Of a panel that shows a moment: enough that rates in it are over half a minute, however long is shown."""
EVENTS_INTERVAL = "1m"
"""Least step of bars: a bar is a minute, or longer when more than four hours are shown."""


def _many(series: Series) -> Sequence[Query]:
    return (series,) if isinstance(series, Query) else series


_NOT_A_NUMBER = model.SpecialValueMap(
    options=model.DashboardSpecialValueMapOptions(
        match=model.SpecialValueMatch.NA_N, result=model.ValueMappingResult(text="-", color=CALM)
    )
)
"""Quantiles of nothing, and shares of nothing."""


def card(title: str, about: About, *values: Value) -> model.Panel:
    """Return a few values below each other that together answer the question in the title."""
    panel = (
        stat.Panel()
        .orientation(kinds.VizOrientation.HORIZONTAL)
        .text_mode(kinds.BigValueTextMode.VALUE_AND_NAME)
        .color_mode(kinds.BigValueColorMode.VALUE)
        .graph_mode(kinds.BigValueGraphMode.NONE)
        .justify_mode(kinds.BigValueJustifyMode.AUTO)
        .wide_layout(True)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .text(common.VizTextDisplayOptions().title_size(15).value_size(24))
        .no_value("-")
        .mappings([_NOT_A_NUMBER])
        .unit("short")
    )
    for value in values:
        changes: dict[str, object] = {"unit": value.unit, "thresholds": thresholds(value.steps).build()}
        if value.decimals is not None:
            changes["decimals"] = value.decimals
        panel = panel.override_by_name(value.name, properties(**changes))
    queries = [Query(value.expression, value.name) for value in values]
    return _finished(panel, title, about, queries, is_instant=True)


def number(title: str, about: About, value: Value) -> model.Panel:
    """Return one value in large, as it is now; its course is in a panel below."""
    panel = (
        stat.Panel()
        .text_mode(kinds.BigValueTextMode.VALUE)
        .color_mode(kinds.BigValueColorMode.VALUE)
        .graph_mode(kinds.BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .unit(value.unit)
        .thresholds(thresholds(value.steps))
        .min(0)
        .no_value("-")
        .mappings([_NOT_A_NUMBER])
    )
    if value.decimals is not None:
        panel = panel.decimals(value.decimals)
    return _finished(panel, title, about, [Query(value.expression, value.name)], is_instant=True)


_COLUMN_NAMES = {"lastNotNull": "Last *", "mean": "Mean", "max": "Max", "sum": "Total"}
"""What Grafana calls the numbers of a legend."""


def legend(columns: Sequence[str] = ()) -> common.VizLegendOptions:
    """Return a list of names below the panel, or a table with numbers to its right."""
    made = common.VizLegendOptions().show_legend(True).calcs(list(columns))
    if not columns:
        return made.display_mode(kinds.LegendDisplayMode.LIST).placement(kinds.LegendPlacement.BOTTOM)
    made = made.display_mode(kinds.LegendDisplayMode.TABLE).placement(kinds.LegendPlacement.RIGHT)
    return made.sort_by(_COLUMN_NAMES[columns[-1]]).sort_desc(True)


NOTHING = "nothing in the time shown"
"""What a panel of events says that has none: `No data` would look like a fault."""

_LEAST_SCALE = {"percentunit": 0.01, "s": 1e-6, "bytes": 100, "Bps": 10}
"""Where an axis ends at least, by unit: nothing at all shall not look like a scale up to a hundred."""


def curve(unit: str, columns: Sequence[str] = ()) -> timeseries.Panel:
    """Return a time series with what all kinds of it have in common."""
    return (
        timeseries.Panel()
        .unit(unit)
        .max_data_points(POINTS)
        .interval(_INTERVAL)
        .min(0)
        .axis_soft_max(_LEAST_SCALE.get(unit, 1))
        .line_width(1)
        .fill_opacity(8)
        .show_points(kinds.VisibilityMode.NEVER)
        .color_scheme(build.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .legend(legend(columns))
        .tooltip(common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING))
    )


def lines(
    title: str,
    about: About,
    unit: str,
    series: Series,
    *,
    table: Sequence[str] = (),
    limit: float | None = None,
    nothing: str = "",
) -> model.Panel:
    """Return lines in one panel, to compare them.

    `table`: numbers in the legend, `limit`: a line to heed, `nothing`: what it says without any series.
    """
    panel = curve(unit, table).fill_opacity(0).line_width(2)
    if nothing:
        panel = panel.no_value(nothing)
    if limit is not None:
        panel = panel.thresholds(thresholds(((None, "transparent"), (limit, BAD)))).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(kinds.GraphThresholdsStyleMode.DASHED)
        )
        panel = panel.axis_soft_max(limit)
    return finished_curve(panel, title, about, series)


def stack(title: str, about: About, unit: str, series: Series, *, table: Sequence[str] = ()) -> model.Panel:
    """Return areas on each other: parts of a whole, whose upper edge is the whole."""
    panel = curve(unit, table).fill_opacity(45).line_width(0).stacking(_stacked())
    return finished_curve(panel, title, about, series)


def bars(
    title: str, about: About, unit: str, series: Series, *, table: Sequence[str] = (), examples: str = ""
) -> model.Panel:
    """Return bars on each other: things that happen seldom, so that a single one is seen. See `queries.events`.

    `examples`: a query for exemplars, which are drawn as dots.
    """
    series = (*_many(series), Query(examples, "examples")) if examples else series
    panel = curve(unit, table).draw_style(kinds.GraphDrawStyle.BARS).fill_opacity(80).line_width(0)
    panel = panel.interval(EVENTS_INTERVAL).bar_alignment(kinds.BarAlignment.BEFORE).no_value(NOTHING)
    return finished_curve(panel.stacking(_stacked()), title, about, series)


def steps(title: str, about: About, unit: str, series: Series) -> model.Panel:
    """Return lines that keep a value until the next: states and counts of things."""
    panel = curve(unit).line_interpolation(kinds.LineInterpolation.STEP_AFTER)
    return finished_curve(panel, title, about, series)


def _stacked() -> common.StackingConfig:
    return common.StackingConfig().mode(kinds.StackingMode.NORMAL).group("A")


def gauges(title: str, about: About, unit: str, query: Query, colours: Steps, top: float) -> model.Panel:
    """Return a bar for each series, as it is now, up to `top`."""
    panel = (
        bargauge.Panel()
        .orientation(kinds.VizOrientation.HORIZONTAL)
        .display_mode(kinds.BarGaugeDisplayMode.BASIC)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .unit(unit)
        .decimals(0)
        .min(0)
        .max(top)
        .thresholds(thresholds(colours))
    )
    return _finished(panel, title, about, [query], is_instant=True)


def finished_curve(panel: timeseries.Panel, title: str, about: About, series: Series) -> model.Panel:
    """Return a time series with its queries."""
    queries = _many(series)
    spare = (colour for colour in NEUTRAL if colour not in {query.colour for query in queries})
    for query in queries:
        pairs = [(query.name, query.colour)] if query.colour else coloured(query.name, spare)
        for name, colour in pairs:
            panel = panel.override_by_name(name, properties(color=fixed(colour)))
    return _finished(panel, title, about, queries)


def _finished(
    panel: Visual, title: str, about: About, queries: Sequence[Query], *, is_instant: bool = False
) -> model.Panel:
    targets = [target(query, number, is_instant=is_instant) for number, query in enumerate(queries)]
    if is_instant:
        of_a_moment(panel)
    if isinstance(panel, timeseries.Panel):  # others cannot draw them
        for one, query in zip(targets, queries, strict=True):
            if any(counter in query.expression for counter in _WITH_EXEMPLARS):
                one.exemplar(True)
    return titled(panel, title, about).targets(list(targets)).build()


def of_a_moment(panel: Visual | tables.Panel) -> None:
    """Have a panel show the end of the time range only, with rates as of then."""
    panel.interval(_INTERVAL).max_data_points(_MOMENT_POINTS)


def titled(panel: Visual, title: str, about: About) -> Visual:
    """Return a panel with its title and description, and the chosen data source."""
    return panel.title(title).description(str(about)).datasource(SOURCE)
