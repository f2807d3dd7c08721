"""What a query uses: which metrics, which of their labels, and which labels its result has."""

from collections.abc import Iterator
from typing import Any

import promql_parser as promql

ANY = "*"
"""All labels that the metric has."""


def selectors(expression: str) -> list[tuple[str, set[str]]]:
    """Return each metric a query asks for, with the labels it is chosen by."""
    found: list[tuple[str, set[str]]] = []

    def note(node: Any) -> None:
        if isinstance(node, promql.VectorSelector):
            found.append((node.name or "", {matcher.name for matcher in node.matchers.matchers}))

    promql.walk(promql.parse(expression), note)
    return found


def groupings(expression: str) -> Iterator[tuple[set[str], set[str]]]:
    """Yield for each aggregation the labels it groups by, and the metrics below it."""
    found: list[tuple[set[str], set[str]]] = []

    def note(node: Any) -> None:
        if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
            found.append((set(node.modifier.labels), {name for name, _ in selectors(node.expr.prettify())}))

    promql.walk(promql.parse(expression), note)
    yield from found


def result_labels(expression: str) -> set[str]:
    """Return the labels that a query's result has; ANY where those of a metric come through."""
    return _labels(promql.parse(expression))


def _labels(node: Any) -> set[str]:
    if isinstance(node, promql.AggregateExpr):
        if str(node.op) in ("topk", "bottomk"):
            return _labels(node.expr)
        return set(node.modifier.labels) if node.modifier else set()
    if isinstance(node, promql.BinaryExpr):
        return _labels(node.lhs) | _labels(node.rhs)
    if isinstance(node, promql.Call):
        return set().union(*(_labels(argument) for argument in node.args))
    if isinstance(node, promql.ParenExpr | promql.UnaryExpr):
        return _labels(node.expr)
    return {ANY} if isinstance(node, promql.VectorSelector | promql.MatrixSelector) else set()
