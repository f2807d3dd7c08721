"""Expressions that decide whole lines, compiled for the native extension: those that are matched often enough.

Compiling an expression takes as long as matching some hundred lines, so the first lines of each are matched by `re`.
An expression that has no program is always matched by `re`; the result is the same.
"""

from typing import TYPE_CHECKING, TypeAlias

from monitor.filters.byte_sets import Untranslatable
from monitor.filters.date_templates import Template
from monitor.filters.expressions import Expression
from monitor.filters.fusion import Fusion
from monitor.filters.groups import FIELDS
from monitor.filters.joints import Joint
from monitor.filters.program import compile_program
from monitor.native import extension

if TYPE_CHECKING:
    from monitor._native import Form

_WORTH_LINES = 100
"""How many lines of an expression are matched by `re` first."""
_MAX_TEMPLATES = 32
"""An attacker who writes dates in all formats only makes matching slower."""

State: TypeAlias = "Form | int | None"
"""Of an expression: its form, how many more lines `re` matches first, or None: it has none."""


class Forms:
    """The forms of a filter's expressions for lines with dates of one format, or without dates."""

    def __init__(self, fusion: Fusion, template: Template | None, total: int) -> None:
        """Compile nothing yet; `total` is the number of expressions, `template` None for lines without dates."""
        self.states: list[State] = [_WORTH_LINES] * total
        """By number of the expression."""
        self._fusion = fusion
        self._template = template

    def warm(self, number: int) -> bool:
        """Count a line that `re` is about to match; compile the expression if it is worth it, and return whether."""
        left = self.states[number]
        if not isinstance(left, int):
            return False
        self.states[number] = left - 1 if left > 1 else self._form(number)
        return left <= 1

    def _form(self, number: int) -> "Form | None":
        template = self._template
        fused = self._fusion.dated(number, template) if template else self._fusion.plain(number)
        return form_of(fused, template.fraction if template else 0) if fused else None


def shared_forms(fusion: Fusion, template: Template | None, total: int) -> Forms:
    """Return the forms of a filter that detectors share (`shared_fusion`)."""
    forms = fusion.forms.get(template)
    if forms is None:
        if len(fusion.forms) >= _MAX_TEMPLATES:
            fusion.forms.clear()
        forms = fusion.forms[template] = Forms(fusion, template, total)
    return forms


def form_of(expression: Expression, fraction: int) -> "Form | None":
    """Return the form of an expression; None if it has none.

    `fraction` is the number of the group of the date's fraction of a second, or 0.
    """
    if extension is None:
        return None
    groups = expression.groups
    try:
        program = extension.Program(compile_program(expression.pattern))
        form: Form = extension.Form(
            program,
            tuple(groups.number(name) for name in FIELDS),
            tuple((FIELDS.index(name), number) for name, number in groups.alternatives if name in FIELDS),
            tuple(_side(joint) for name in ("ip4", "ip6") for joint in groups.sides(name)),
            fraction,
            expression.is_connected,
        )
    except (Untranslatable, ValueError):  # it has more groups than the extension takes
        return None
    return form


def _side(joint: Joint) -> tuple[bytes, bool]:
    return "".join(sorted(filter(str.isascii, joint.characters))).encode(), joint.is_certain
