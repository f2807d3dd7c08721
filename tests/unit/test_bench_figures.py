"""Figures of the benchmarks: what is printed of peers, and that bench/README.md explains each one."""

import re
from pathlib import Path

import pytest

from bench.growth import growth
from bench.registry import BenchmarkError, Figure, all_benchmarks
from bench.table import renewed, table

README = Path(__file__).parents[2] / "bench/README.md"


@pytest.mark.parametrize(
    ("unit", "value", "ahead"),
    [("lines/s", 100.0, ("fast",)), ("ms", 100.0, ("slow",)), ("%", 5.0, ()), ("lines/s", 500.0, ())],
)
def test_a_peer_that_is_ahead_is_named(unit: str, value: float, ahead: tuple[str, ...]) -> None:
    """A rate should be high and everything else low; the printed line names the peers for which ours is worse."""
    figure = Figure.with_peers("name", value, unit, {"slow": 50.0, "fast": 200.0})
    assert figure.ahead == ahead
    assert ("AHEAD" in str(figure)) == bool(ahead)
    assert "slow 50" in str(figure)


def test_a_peer_that_could_not_be_measured_is_named() -> None:
    """A missing peer is reported and never ahead; the ratio is that to the first peer, if it was measured."""
    figure = Figure.with_peers("name", 10.0, "ms", {"first": None, "second": 5.0})
    assert "first not measured" in str(figure)
    assert (figure.peer, figure.ratio, figure.ahead) == (None, None, ("second",))


def test_the_first_peer_gives_the_ratio() -> None:
    """Figures with several peers keep the columns of those with one."""
    figure = Figure.with_peers("name", 10.0, "lines/s", {"first": 5.0, "second": 40.0})
    assert (figure.peer, figure.ratio) == (5.0, 2.0)


def test_every_figure_is_explained() -> None:
    """bench/README.md names each figure; N in a name of the table stands for the sizes that its row lists."""
    named = set(re.findall(r"`([\w*]+)`", README.read_text()))
    patterns = [re.compile(re.escape(name).replace("_N", r"_\w+?").replace(r"\*", r"\w*")) for name in named]
    missing = [
        name
        for entry in all_benchmarks()
        for name in entry.names
        if name not in named and not any(pattern.fullmatch(name) for pattern in patterns)
    ]
    assert missing == []


def test_the_table_shows_who_is_ahead_and_what_is_missing() -> None:
    """Better values of peers are bold, a failed measurement and a peer that does not do the work are told apart."""
    figures = [
        Figure.with_peers("log_to_set_p50_ms", 1.0, "ms", {"fail2ban": 170.4, "crowdsec": None, "sshguard": 4.0}),
        Figure.with_peers("log_to_set_p99_ms", 9.04, "ms", {"fail2ban": 190.0, "crowdsec": None, "sshguard": 8.0}),
    ]
    (row,) = (line for line in table(figures).splitlines() if line.startswith("| line in a log"))
    assert row.split(" | ")[1:] == ["1 / 9 ms", "170 / 190 ms", "not measured", "4 / **8** ms", "- |"]
    assert table([]).count("| not measured |") == len(table([]).splitlines()) - 4


def test_the_table_of_the_readme_is_renewed_row_by_row() -> None:
    """Rows that were measured, and the date, are replaced; other lines and rows of other runs stay as they are."""
    document = (
        "text\n| a property | yes | no |\n| idle, memory | 1 MB | 2 MB | 3 MB | 4 MB | - |\n"
        "| idle, of a core | 1 % | 2 % | 3 % | 4 % | - |\n\nMeasured on 2020-01-01, 1 cores, Linux 1.0.\nMore.\n"
    )
    figure = Figure.with_peers("idle_rss_mb", 40.2, "MB", {"fail2ban": 26.0, "crowdsec": 74.0, "sshguard": None})
    lines = renewed(document, [figure]).splitlines()
    assert lines[2] == "| idle, memory | 40 MB | **26** MB | 74 MB | not measured | - |"
    assert [lines[at] for at in (0, 1, 3, 6)] == [document.splitlines()[at] for at in (0, 1, 3, 6)]
    assert lines[5].startswith("Measured on 20")
    assert lines[5] != document.splitlines()[5]


def test_growth_that_is_too_fast_is_an_error() -> None:
    """The cost of one unit may grow as log n does, with room for noise, and not as n does."""
    figure = growth("name", "µs", {1000: 3.0, 10: 1.0, 100: 2.0})
    assert (figure.value, list(figure.sizes)) == (3.0, [10, 100, 1000])
    assert "at 10: 1" in str(figure)
    with pytest.raises(BenchmarkError, match="faster than n log n"):
        growth("name", "µs", {10: 1.0, 100: 10.0})
