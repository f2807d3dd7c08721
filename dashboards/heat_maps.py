"""Histograms over time."""

from grafana_foundation_sdk.builders import heatmap
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heatmap_kinds
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.panels import EVENTS_INTERVAL, POINTS, About, target, titled
from dashboards.queries import Query


def heat_map(title: str, about: About, unit: str, query: Query) -> model.Panel:
    """Return a histogram over time: brighter where more of what happened lies."""
    colour = (
        heatmap.HeatmapColorOptions()
        .mode(heatmap_kinds.HeatmapColorMode.SCHEME)
        .scheme("Oranges")
        .fill("dark-orange")
        .scale(heatmap_kinds.HeatmapColorScale.EXPONENTIAL)
        .exponent(0.5)
        .steps(64)
    )
    panel = (
        heatmap.Panel()
        .calculate(False)
        .color(colour)
        .cell_gap(1)
        .max_data_points(POINTS)
        .interval(EVENTS_INTERVAL)
        .y_axis(heatmap.YAxisConfig().unit(unit).axis_placement(kinds.AxisPlacement.LEFT))
        .show_legend()
        .tooltip(heatmap.HeatmapTooltip().mode(kinds.TooltipDisplayMode.SINGLE).y_histogram(False))
        .unit("short")
    )
    data = target(query, 0).format(PromQueryFormat.HEATMAP)
    return titled(panel, title, about).targets([data]).build()
