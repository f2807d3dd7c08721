"""Queries for the log in Loki: they are LogQL, ask for fields that collectors send, and count what they should.

No Loki runs here: a strict reader of the grammar and a small evaluator stand for it.
"""

import json
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.log_queries import LOKI, STREAM
from monitor.bans.decision import Decision, Verdict
from monitor.daemon.life.log_formats import Json
from monitor.daemon.life.logs import PREFIX, journal_fields
from monitor.daemon.pipeline.decision_fields import NAMES, Place
from monitor.daemon.pipeline.decision_log import DecisionLog
from monitor.model.addresses import host
from monitor.model.alerts import Alert, Evidence, Party, Strength
from monitor.model.bans import Ban, Mode
from tests.support.dashboards import DashboardQuery, filled, load, log_queries, panels
from tests.unit.dashboards.logql import LogQuery, parse

_COLLECTORS = Path(__file__).parents[3] / "examples/loki"
_QUERIES = list(log_queries("who"))
_SENT = set(NAMES) - {"networks"}
"""Fields that collectors send; the long list of a burst is in the line itself."""


def _read(asked: DashboardQuery) -> LogQuery:
    return parse(filled(asked.expression))


def _title(asked: DashboardQuery) -> str:
    return asked.panel


@pytest.mark.parametrize("asked", _QUERIES, ids=_title)
def test_a_query_is_logql_about_fields_that_are_sent(asked: DashboardQuery) -> None:
    """It heeds the chosen nodes and detectors, and a table is asked once for the time that is shown."""
    read = _read(asked)
    assert read.labels == {"job": '="nodewarden"', "cluster": '=~".*"', "instance": '=~".*"'}
    assert {name for name, _, _ in read.filters} | set(read.by) <= _SENT
    assert ("detector", "=~", ".*") in read.filters
    assert asked.expression.startswith(("topk", STREAM))
    if read.by:
        assert asked.is_instant
        assert "[$__range]" in asked.expression
        assert (read.by[0], "!=", "") in read.filters
        assert read.unwrapped == "decisions"
        assert 1 < read.top <= 20
    else:
        assert not asked.is_instant


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{job="nodewarden"',
        '{job="nodewarden"} | unwrap',
        '{job="nodewarden"} | verdict',
        '{job="nodewarden"} |= unquoted',
        'topk(5, sum by (network) (sum_over_time({job="x"} | unwrap decisions)))',
        'topk(5, sum by (network) (sum_over_time({job="x"} | unwrap decisions [1h]))',
        '{job="nodewarden"} {job="nodewarden"}',
    ],
)
def test_what_is_no_logql_is_found(text: str) -> None:
    """The reader that judges our queries refuses others."""
    with pytest.raises(ValueError, match=r"expected|no LogQL|left over"):
        parse(text)


def test_there_are_tables_of_networks_destinations_services_and_pods_and_the_lines() -> None:
    """The questions of the dashboard; nothing else of it needs Loki, so it works without."""
    asked = {query.panel: _read(query).by[:1] for query in _QUERIES}
    assert asked == {
        "Top networks": ("network",),
        "Top destinations": ("destination",),
        "Top services": ("service",),
        "Top pods": ("pod",),
        "Lines": (),
    }
    others = [panel for panel in panels(load("who")) if panel["title"] not in asked]
    assert others
    assert all(panel["datasource"]["type"] == "prometheus" for panel in others)


@pytest.mark.parametrize("asked", [one for one in _QUERIES if one.is_instant], ids=_title)
def test_tables_name_the_columns_that_loki_gives(asked: DashboardQuery) -> None:
    """One for each label of the result, and `Value #A`."""
    panel = next(one for one in panels(load("who")) if one["title"] == asked.panel)
    (arranged,) = panel["transformations"]
    assert set(arranged["options"]["renameByName"]) == {*_read(asked).by, "Value #A"}


def _alloy(name: str) -> str:
    return (_COLLECTORS / name).read_text()


def _block(text: str, name: str, attribute: str) -> dict[str, str]:
    """Return the map of an attribute in the block of an Alloy configuration."""
    found = re.search(rf"{re.escape(name)} \{{\n\s*{attribute} = \{{\n(.*?)\n\s*\}}\n", text, re.DOTALL)
    assert found, name
    pairs = [re.fullmatch(r'\s*(\w+)\s*= "(\w*)",', line) for line in found[1].splitlines()]
    assert all(pairs)
    return {pair[1]: pair[2] for pair in pairs if pair}


@pytest.mark.parametrize("name", ["journal.alloy", "kubernetes.alloy"])
def test_alloy_sends_all_fields_as_structured_metadata(name: str) -> None:
    """From the names that they have in the journal, or in JSON; the line is the readable message."""
    text = _alloy(name)
    prefix = PREFIX if name.startswith("journal") else ""
    expressions = _block(text, "stage.json", "expressions")
    message = expressions.pop("message")
    assert message == ("MESSAGE" if prefix else "")
    assert expressions == {field: f"{prefix}{field.upper()}" if prefix else "" for field in NAMES if field in _SENT}
    assert _block(text, "stage.structured_metadata", "values") == dict.fromkeys(expressions, "")
    assert _block(text, "stage.static_labels", "values") == {"job": "nodewarden"}
    assert text.index("stage.json") < text.index("stage.structured_metadata") < text.index("stage.output")
    assert text.count("{") == text.count("}")
    assert "stage.labels" not in text
    for label in ("job", "cluster", "instance"):
        assert re.search(rf'{label}\s+= |target_label\s*= "{label}"', text), label
    components = set(re.findall(r'^([\w.]+) "nodewarden"', text, re.MULTILINE))
    used = set(re.findall(r"((?:loki|discovery)\.\w+(?:\.\w+)?)\.nodewarden\.(?:receiver|output|targets)", text))
    assert used <= components
    assert "loki.write" in components


def _promtail() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((_COLLECTORS / "promtail.yaml").read_text())
    return read


def test_promtail_does_the_same() -> None:
    """With the same fields and labels."""
    (job,) = _promtail()["scrape_configs"]
    assert job["journal"]["json"] is True
    assert job["journal"]["matches"] == "SYSLOG_IDENTIFIER=nodewarden"
    assert set(job["journal"]["labels"]) == {"job", "cluster", "instance"}
    parsed, metadata, output = job["pipeline_stages"]
    expressions = parsed["json"]["expressions"]
    assert output == {"output": {"source": "message"}}
    assert expressions == _block(_alloy("journal.alloy"), "stage.json", "expressions")
    assert metadata == {"structured_metadata": dict.fromkeys(field for field in expressions if field != "message")}


class _Loki:
    """Lines with their metadata, as a collector sent them, and what queries find in them."""

    def __init__(self, records: list[logging.LogRecord], expressions: Mapping[str, str], *, is_json: bool) -> None:
        self.lines: list[tuple[str, dict[str, str]]] = []
        for record in records:
            entry = {"MESSAGE": record.getMessage(), **journal_fields(record)}
            given = json.loads(Json().format(record)) if is_json else json.loads(json.dumps(entry))
            sent = {name: given[source or name] for name, source in expressions.items() if (source or name) in given}
            self.lines.append((sent.pop("message"), sent))

    def found(self, query: LogQuery) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield the lines that a query is about."""
        for line, metadata in self.lines:
            wanted = all(text[1:-1] in line for text in query.searched)
            if wanted and all(_holds(metadata.get(name, ""), how, text) for name, how, text in query.filters):
                yield line, metadata

    def most(self, query: LogQuery) -> list[tuple[tuple[str, ...], int]]:
        """Return what a table shows."""
        counts: Counter[tuple[str, ...]] = Counter()
        for _, metadata in self.found(query):
            counts[tuple(metadata.get(name, "") for name in query.by)] += int(metadata[query.unwrapped])
        return counts.most_common(query.top)


def _holds(value: str, how: str, text: str) -> bool:
    return {
        "=": value == text,
        "!=": value != text,
        "=~": bool(re.fullmatch(text, value)),
        "!~": not re.fullmatch(text, value),
    }[how]


def _attack(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what the daemon logs of an offender who comes thrice, and of a botnet of fifty against one pod."""
    web, db = (Party(bytes((10, 244, 1, number)), service) for number, service in ((7, "tcp/443"), (8, "tcp/5432")))
    pods = {web.address: "shop/web-7d", db.address: "shop/db-0"}
    log = DecisionLog(Place("node-1", pods.get))
    caplog.set_level(logging.INFO)
    sources = [bytes((192, 0, 2, 7))] * 3 + [bytes((198, 51, 100, number)) for number in range(50)]
    for number, source in enumerate(sources):
        ours = web if number < 3 else db
        evidence = Evidence(9, 5, 60.0, 0.0, 1.0, "attempts")
        alert = Alert("port_scan", 1.0, source, host(source), True, Strength.SPOOFABLE, evidence, ours=ours)
        ban = Ban(host(source), Strength.SPOOFABLE, 1.0, 601.0, "port_scan", "9 attempts", Mode.ENFORCE)
        log.settled([Decision(Verdict.BAN, host(source), "port_scan", ban, ban, alert=alert)], 1.0)
    log.tick(1.0)
    return list(caplog.records)


@pytest.mark.parametrize("way", ["journal", "json"])
def test_tables_count_what_happened(caplog: pytest.LogCaptureFixture, way: str) -> None:
    """By the journal or by JSON: who came most, and what was attacked most, bursts included."""
    name = "journal.alloy" if way == "journal" else "kubernetes.alloy"
    expressions = _block(_alloy(name), "stage.json", "expressions")
    loki = _Loki(_attack(caplog), expressions, is_json=way == "json")
    tables = {asked.panel: _read(asked) for asked in _QUERIES}
    assert loki.most(tables["Top networks"])[0] == (("192.0.2.7", "port_scan"), 3)
    assert loki.most(tables["Top destinations"]) == [(("10.244.1.8", "node-1"), 50), (("10.244.1.7", "node-1"), 3)]
    assert loki.most(tables["Top services"]) == [(("tcp/5432", "port_scan"), 50), (("tcp/443", "port_scan"), 3)]
    assert loki.most(tables["Top pods"]) == [(("shop/db-0", "port_scan"), 50), (("shop/web-7d", "port_scan"), 3)]


def test_the_search_finds_one_of_a_burst(caplog: pytest.LogCaptureFixture) -> None:
    """An address that has no line of its own."""
    expressions = _block(_alloy("journal.alloy"), "stage.json", "expressions")
    loki = _Loki(_attack(caplog), expressions, is_json=False)
    (lines,) = (one.expression for one in _QUERIES if one.panel == "Lines")
    query = parse(filled(lines.replace("$search", "198.51.100.49")))
    assert query.searched == ["`198.51.100.49`"]
    ((line, metadata),) = loki.found(query)
    assert line.startswith("33 more: shun (port_scan): ")
    assert metadata["decisions"] == "33"


def test_the_source_of_logs_is_an_example_for_loki() -> None:
    """Provisioning has it in a file of its own: without it, the other dashboards are complete."""
    path = Path(__file__).parents[3] / "dashboards/provisioning/loki.yaml"
    (source,) = yaml.safe_load(path.read_text())["datasources"]
    assert source["type"] == LOKI.type_val
