"""A log that is rewritten: what was read does not count again, whatever its dates look like; what is new does."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitor.filters.definition import FilterDefinition
from monitor.filters.matcher import LogMatcher
from monitor.sources.tail.reader import Tail

_DAY_S = 86_400
_COUNT = 6
_FORMATS = {
    "iso and zone": "%Y-%m-%dT%H:%M:%S%z",
    "iso": "%Y-%m-%d %H:%M:%S",
    "no year": "%b %d %H:%M:%S",
    "epoch": "%s",
    "web": "[%d/%b/%Y:%H:%M:%S %z]",
    "time only": "%H:%M:%S",
    "none": "",
}


def _in_place(log: Path, text: str) -> None:
    """`tail LOG > NEW; cat NEW > LOG`."""
    log.write_text(text)


def _renamed(log: Path, text: str) -> None:
    """`sed -i`, rsync."""
    new = log.with_name(".new")
    new.write_text(text)
    new.rename(log)


def _kept_aside(log: Path, text: str) -> None:
    """`sed -i.bak`."""
    log.rename(log.with_name("aside"))
    log.write_text(text)


def _in_pieces(log: Path, text: str) -> None:
    """Emptied first, and written by and by."""
    with log.open("w") as file:
        file.write(text[: len(text) // 2])
        file.flush()
        file.write(text[len(text) // 2 :])


_WAYS = (_in_place, _renamed, _kept_aside, _in_pieces)


class Site:
    """A log and its reader."""

    def __init__(self, directory: Path, form: str) -> None:
        self.log = directory / "app.log"
        self.form = form
        self.tail: Tail | None = None
        definition = FilterDefinition(name="app", failregex=("refused <HOST>",))
        self.matcher = LogMatcher({"app": definition}, use_hyperscan=False)

    def line(self, number: int, age_s: float) -> str:
        date = time.strftime(_FORMATS[self.form], time.localtime(time.time() - age_s))
        return f"{date} line {number:5} refused 192.0.2.{number}\n".lstrip()

    def lines(self, age_s: float, *, first: int = 1) -> list[str]:
        return [self.line(number, age_s) for number in range(first, first + _COUNT)]

    def open(self) -> None:
        self.tail = Tail({"app": [str(self.log)]})
        self.read()

    def read(self, *, is_settled: bool = False) -> list[int]:
        """Return the last numbers of the addresses that count."""
        assert self.tail
        self.tail._is_stale = True
        for file in self.tail._files.open.values() if is_settled else ():
            file.repeats._until_s = 0.0
        found = []
        for _ in range(4):
            found += [event.source[3] for block in self.tail.read() for event in self.matcher.scan(block)]
            self.tail.tick()
        return found

    def append(self, *lines: str) -> None:
        with self.log.open("a") as file:
            file.writelines(lines)


@pytest.fixture(params=_FORMATS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, request.param)
    yield site
    if site.tail:
        site.tail.close()


@pytest.mark.parametrize("way", _WAYS)
@pytest.mark.parametrize("change", ["tail", "the first gone", "all changed", "the same"])
def test_nothing_counts_twice(site: Site, way: Callable[[Path, str], None], change: str) -> None:
    """Written anew in any way, with all its lines or some; a line that comes later counts."""
    site.log.touch()
    site.open()
    lines = site.lines(120 if site.form == "none" else 61)
    site.append(*lines)
    assert site.read() == [1, 2, 3, 4, 5, 6]
    text = {
        "tail": "".join(lines[-2:]),
        "the first gone": "".join(lines[1:]),
        "all changed": "".join(line.replace("line", "LINE") for line in lines),
        "the same": "".join(lines),
    }[change]
    way(site.log, text)
    assert site.read() == []
    assert site.read(is_settled=True) == []
    site.append(site.line(9, 0))
    assert site.read(is_settled=True) == [9]


@pytest.mark.parametrize("way", _WAYS)
def test_what_is_new_in_a_rewritten_log_counts(site: Site, way: Callable[[Path, str], None]) -> None:
    """Behind what was read, at once."""
    site.log.touch()
    site.open()
    lines = site.lines(61)
    site.append(*lines)
    site.read()
    way(site.log, "".join([*lines[2:], site.line(9, 0)]))
    assert site.read() == [9]


def test_a_log_that_appears_late_is_old(site: Site) -> None:
    """Lines of five days ago that appear now are not of now; the counter says so. Without a day nobody can know."""
    site.open()
    site.append(*site.lines(5 * _DAY_S + 421))
    found, stale = site.read(), site.matcher.stats["app"].stale
    if site.form in ("time only", "none"):
        assert len(found) + stale == _COUNT
    else:
        assert (found, stale) == ([], _COUNT)
    site.append(site.line(9, 0))
    assert site.read() == [9]


def test_a_wrong_zone_is_no_old_line(tmp_path: Path) -> None:
    """A difference between zones explains a date without a zone, up to 26 hours; not one that says its zone."""
    for form, ages_s, counts in (
        ("iso", (2 * 3600, 5.75 * 3600, 26 * 3600), True),
        ("iso", (2 * 3600 + 400, 27 * 3600), False),
        ("iso and zone", (2 * 3600, 26 * 3600), False),
    ):
        for number, age_s in enumerate(ages_s):
            site = Site(tmp_path, form)
            site.log = tmp_path / f"{form}{counts}{number}.log"
            site.open()
            site.append(*site.lines(age_s))
            assert bool(site.read()) is counts, (form, age_s)
            assert site.tail
            site.tail.close()


def test_a_log_that_was_rewritten_while_nobody_read_it(site: Site) -> None:
    """After a restart reading continues behind what was read, if that is still there."""
    site.log.touch()
    site.open()
    lines = [line for first in (1, 7, 13) for line in site.lines(61, first=first)]
    site.append(*lines)
    assert len(site.read()) == len(lines)
    assert site.tail
    cursors = site.tail.cursors()
    site.tail.close()
    _renamed(site.log, "".join([*lines[2:], site.line(99, 0)]))
    site.tail = Tail({"app": [str(site.log)]}, cursors=cursors)
    assert site.read() == ([99] if site.form != "none" else [])
