"""Tables: one row a node, a detector or a signal, one column a query."""

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.panels import SOURCE, About, Steps, of_a_moment, properties, target, thresholds
from dashboards.queries import Query

_LEAST_WIDTH = 70
"""Pixels of a column: all of them are to be seen on a laptop."""


@dataclass(frozen=True)
class Key:
    """A column of a label's values: the label, its heading, its width in pixels."""

    label: str
    name: str
    width: int


@dataclass(frozen=True)
class Column:
    """A column of numbers: its heading, its query, its unit; with `steps`, cells have the colour of their value."""

    name: str
    expression: str
    unit: str = "short"
    steps: Steps = ()
    decimals: int | None = None
    words: tuple[tuple[str, str], ...] = ()
    """Words instead of numbers: (value, word)."""


CLUSTER, NODE = Key("cluster", "Cluster", 85), Key("instance", "Node", 110)


def grid(
    title: str,
    about: About,
    keys: Sequence[Key],
    columns: Sequence[Column],
    *,
    sort_by: str | Sequence[tuple[str, bool]],
    link: tuple[str, str] = ("", ""),
    nothing: str = "-",
) -> model.Panel:
    """Return a table with labels in front.

    `sort_by`: a column from high to low, or several with whether each is; `link`: (label, address) of a click;
    `nothing`: what an empty one says.
    """
    order = [(sort_by, True)] if isinstance(sort_by, str) else sort_by
    panel = (
        table.Panel()
        .title(title)
        .description(str(about))
        .datasource(SOURCE)
        .show_header(True)
        .cell_height(kinds.TableCellHeight.SM)
        .footer(common.TableFooterOptions().show(False).reducer([]))
        .sort_by([common.TableSortByFieldState().display_name(name).desc(falls) for name, falls in order])
        .unit("short")
        .min_width(_LEAST_WIDTH)
        .no_value(nothing)
        .transformations(
            [_merged(), _arranged(keys, columns), *(_sorted(name, falls) for name, falls in reversed(order))]
        )
    )
    for number, column in enumerate(columns):
        data = target(Query(column.expression, column.name), number, is_instant=True).format(PromQueryFormat.TABLE)
        panel = panel.with_target(data).override_by_name(column.name, _look(column))
    label, address = link
    opening = {"title": "Open ${__value.text}", "url": address, "targetBlank": False}
    for key in keys:
        changes = {"links": [opening]} if key.label == label else {}
        panel = panel.override_by_name(key.name, properties(custom__width=key.width, **changes))
    of_a_moment(panel)
    return panel.build()


def _look(column: Column) -> list[model.DynamicConfigValue]:
    changes: dict[str, object] = {"unit": column.unit}
    if column.decimals is not None:
        changes["decimals"] = column.decimals
    if column.steps:
        changes["thresholds"] = thresholds(column.steps).build()
        changes["custom__cellOptions"] = {"type": "color-text"}
    if column.words:
        texts = {value: model.ValueMappingResult(text=word) for value, word in column.words}
        changes["mappings"] = [model.ValueMap(options=texts)]
    return properties(**changes)


def _sorted(column: str, falls: bool) -> model.DataTransformerConfig:  # noqa: FBT001 - as Grafana has it
    return model.DataTransformerConfig(id_val="sortBy", options={"sort": [{"field": column, "desc": falls}]})


def _merged() -> model.DataTransformerConfig:
    return model.DataTransformerConfig(id_val="merge", options={})


def _arranged(keys: Sequence[Key], columns: Sequence[Column]) -> model.DataTransformerConfig:
    """Put columns in order under their headings; a lone query's column is called otherwise than one of many."""
    values = ["Value"] if len(columns) == 1 else [f"Value #{chr(ord('A') + number)}" for number in range(len(columns))]
    names = {key.label: key.name for key in keys}
    names |= {value: column.name for value, column in zip(values, columns, strict=True)}
    return model.DataTransformerConfig(
        id_val="organize",
        options={
            "excludeByName": {"Time": True},
            "indexByName": {name: place for place, name in enumerate(names)},
            "renameByName": names,
        },
    )
