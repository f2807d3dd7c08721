"""Draws a sweep: offenders found against known-good sources hit, for the terminal and as SVG.

The axis of known-good sources is logarithmic: what matters is whether none, one or a few are hit.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple
from xml.sax.saxutils import escape

from monitor.daemon.tuning.proposal import Score, Tuning

_COLUMNS, _ROWS = 80, 18
_WIDTH, _HEIGHT = 720, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 30, 60, 70
_TRIED, _TODAY, _PROPOSAL, _INK, _GRID = "#8a94a3", "#d9480f", "#2b8a3e", "#212529", "#dee2e6"
_TICKS = 5


class Texts(NamedTuple):
    """What a drawing says in words."""

    title: str
    x: str
    y: str
    today: str
    proposal: str
    """Empty: there is none."""


def terminal_chart(tuning: Tuning, texts: Texts, columns: int, *, has_colours: bool) -> str:
    """Return a chart of at most 80 columns; its key is below it: the best points are in the corner at the top left."""
    import plotext as plt

    width = min(columns, _COLUMNS)
    plt.clear_figure()
    plt.plot_size(width, _ROWS)
    plt.theme("clear")
    plt.title(texts.title)
    plt.xlabel(texts.x)
    most = max(one.good for one in tuning.scores)
    plt.xlim(0, _scaled(most) or 1.0)
    plt.ylim(0, max(1, *(one.offenders for one in tuning.scores)))
    plt.xticks([_scaled(one) for one in _decades(most)], [f"{one:,}" for one in _decades(most)])
    values = _even(max(one.offenders for one in tuning.scores))
    plt.yticks(values, [f"{one:,}" for one in values])
    tried = sorted({(one.good, one.offenders) for one in tuning.scores})
    plt.scatter([_scaled(good) for good, _ in tried], [found for _, found in tried], marker="•")
    marks = [(tuning.today, "T", "orange", texts.today)]
    if tuning.proposal is not None:
        marks.append((tuning.proposal, "P", "green", texts.proposal))
    for score, marker, colour, _ in marks:
        plt.scatter([_scaled(score.good)], [score.offenders], marker=marker, color=colour)
    drawn = str(plt.build()).rstrip("\n")
    key = [f"↑ {texts.y}", *(f"{marker} {label}" for _, marker, _, label in marks)]
    return "\n".join([drawn if has_colours else str(plt.uncolorize(drawn)), *(line[:width] for line in key)])


def svg(tuning: Tuning, texts: Texts) -> str:
    """Return the drawing as an SVG document."""
    return "\n".join(("<?xml version='1.0' encoding='UTF-8'?>", *_svg(tuning, texts), ""))


def _svg(tuning: Tuning, texts: Texts) -> Iterator[str]:
    frame = _Frame(max(one.good for one in tuning.scores), max(1, *(one.offenders for one in tuning.scores)))
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" font-family="sans-serif" font-size="13" fill="{_INK}" role="img">'
    )
    yield f"<title>{escape(texts.title)}</title>"
    yield f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>'
    yield _text(_WIDTH / 2, 26, texts.title, 'text-anchor="middle" font-size="16"')
    yield from _axes(frame, texts)
    for good, found in sorted({(one.good, one.offenders) for one in tuning.scores}):
        yield f'<circle cx="{frame.x(good):.1f}" cy="{frame.y(found):.1f}" r="3.5" fill="{_TRIED}"/>'
    yield from _mark(frame, tuning.today, _TODAY, texts.today, -1)
    if tuning.proposal is not None:
        yield from _mark(frame, tuning.proposal, _PROPOSAL, texts.proposal, 1)
    yield "</svg>"


class _Frame(NamedTuple):
    most_good: int
    most_offenders: int

    def x(self, good: float) -> float:
        """Return where a number of known-good sources lies."""
        share = _scaled(good) / (_scaled(self.most_good) or 1.0)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, offenders: float) -> float:
        """Return where a number of offenders lies."""
        return _HEIGHT - _BOTTOM - offenders / self.most_offenders * (_HEIGHT - _TOP - _BOTTOM)


def _axes(frame: _Frame, texts: Texts) -> Iterator[str]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    for value in _even(frame.most_offenders):
        y = frame.y(value)
        yield f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="{_GRID}"/>'
        yield _text(_LEFT - 8, y + 4, f"{value:,}", 'text-anchor="end"')
    for value in _decades(frame.most_good):
        x = frame.x(value)
        yield f'<line x1="{x:.1f}" y1="{bottom}" x2="{x:.1f}" y2="{bottom + 5}" stroke="{_INK}"/>'
        yield _text(x, bottom + 20, f"{value:,}", 'text-anchor="middle"')
    yield f'<path d="M {_LEFT} {_TOP} V {bottom} H {right}" fill="none" stroke="{_INK}"/>'
    yield _text((_LEFT + right) / 2, _HEIGHT - 22, texts.x, 'text-anchor="middle"')
    middle = (_TOP + bottom) / 2
    yield _text(20, middle, texts.y, f'text-anchor="middle" transform="rotate(-90 20 {middle:.1f})"')


def _mark(frame: _Frame, score: Score, colour: str, label: str, side: int) -> Iterator[str]:
    """Yield a ring around a point, and its label on the side where there is room."""
    x, y = frame.x(score.good), frame.y(score.offenders)
    yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="7" fill="none" stroke="{colour}" stroke-width="3"/>'
    is_left = x > (_WIDTH + _LEFT) / 2
    anchor, start = ("end", x - 13) if is_left else ("start", x + 13)
    yield _text(start, y + 4 + 14 * side, label, f'text-anchor="{anchor}" fill="{colour}" font-weight="bold"')


def _text(x: float, y: float, text: str, attributes: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {attributes}>{escape(text)}</text>'


def _scaled(count: float) -> float:
    """Return where a count lies on a logarithmic axis that has room for 0."""
    return math.log10(1.0 + count)


def _decades(most: int) -> list[int]:
    """Return the values that the logarithmic axis names: 0, and powers of ten up to the first beyond what is there."""
    decades, value = [0], 1
    while value <= most:
        decades.append(value)
        value *= 10
    return decades


def _even(most: int) -> list[int]:
    """Return a few whole numbers at even distances, from 0 on."""
    return list(range(0, most + 1, max(1, math.ceil(most / _TICKS))))
