"""Panels over the daemon's log in Loki: a table of the most frequent values, and the lines."""

from collections.abc import Sequence

from grafana_foundation_sdk.builders import common, logs, table
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as model

from dashboards.board import address
from dashboards.log_queries import LOKI, instant, lines, log, most
from dashboards.panels import About, properties
from dashboards.tables import Key

_COUNT = "Decisions"
_VALUE = "Value #A"
"""What Grafana calls the numbers of a query of Loki in a table."""


def top(title: str, about: About, keys: Sequence[Key]) -> model.Panel:
    """Return the values with most decisions of the first key, apart by the others; a click searches the log for one."""
    names = {key.label: key.name for key in keys} | {_VALUE: _COUNT}
    arranged = model.DataTransformerConfig(
        id_val="organize",
        options={
            "excludeByName": {"Time": True},
            "indexByName": {name: place for place, name in enumerate(names)},
            "renameByName": names,
        },
    )
    panel = (
        table.Panel()
        .title(title)
        .description(str(about))
        .datasource(LOKI)
        .show_header(True)
        .cell_height(kinds.TableCellHeight.SM)
        .footer(common.TableFooterOptions().show(False).reducer([]))
        .sort_by([common.TableSortByFieldState().display_name(_COUNT).desc(True)])
        .unit("short")
        .decimals(0)
        .no_value("No decision names one.")
        .transformations([arranged])
        .with_target(instant(most(*(key.label for key in keys))))
        .override_by_name(_COUNT, properties(custom__width=90))
    )
    first, *others = keys
    search = {
        "title": "Lines with ${__value.text}",
        "url": address("who", "var-loki=${loki}", "var-search=${__value.text}"),
        "targetBlank": False,
    }
    panel = panel.override_by_name(first.name, properties(links=[search]))
    for key in others:
        panel = panel.override_by_name(key.name, properties(custom__width=key.width))
    return panel.build()


def log_lines(title: str, about: About) -> model.Panel:
    """Return the lines that were searched for, with their fields on a click."""
    return (
        logs.Panel()
        .title(title)
        .description(str(about))
        .datasource(LOKI)
        .unit("short")
        .show_time(True)
        .show_labels(False)
        .show_common_labels(False)
        .wrap_log_message(True)
        .prettify_log_message(False)
        .enable_log_details(True)
        .sort_order(kinds.LogsSortOrder.DESCENDING)
        .dedup_strategy(kinds.LogsDedupStrategy.NONE)
        .with_target(log(lines()))
        .build()
    )
