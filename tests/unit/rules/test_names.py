"""What rules and runbooks name: metrics, labels, label values, commands. All of it exists."""

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest

from dashboards.aggregates import AGGREGATES
from monitor.audit.findings import Severity
from monitor.bans.claims import Rank
from monitor.bans.decision import Verdict
from monitor.cli.main import cli
from monitor.daemon.catalogue import BY_NAME
from monitor.daemon.fleet.watch import PEER_STATES
from monitor.daemon.life.scraper_watch import ScraperState
from monitor.daemon.pipeline.harm import Sign
from monitor.daemon.sources.registrations import SOURCES
from monitor.detectors.registry import REGISTRATIONS
from monitor.enforcers.nftables.drift import DriftKind
from monitor.fleet.comparison import Subject
from monitor.model.bans import MANUAL, Mode
from monitor.model.problems import ProblemKind
from monitor.node.kernel_settings import EXPECTATIONS
from monitor.sources.drops.runner import DropsRunner
from monitor.sources.xdp.runner import XdpRunner
from tests.unit.rules import support

RULES = support.rules()
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
SIGNALS = {rule["labels"]["signal"] for rule in RULES if rule.get("record") == "instance:nodewarden_signal:last2m"}
SCRAPED = {"cluster", "job", "instance"}
VALUES: dict[str, set[str]] = {
    "verdict": set(Verdict),
    "kind": {*DriftKind, *ProblemKind},
    "sign": set(Sign),
    "state": {*ScraperState, *PEER_STATES},
    "subject": set(Subject),
    "severity": set(Severity),
    "mode": set(Mode),
    "detector": {MANUAL, *(one.name for one in REGISTRATIONS)},
    "source": {row.source.name for row in SOURCES},
    "program": {one.program_name for one in (DropsRunner, XdpRunner)},
    "event": {"opened", "closed"},
    "signal": SIGNALS,
    "job": {"nodewarden"},
    "class": {one.label for one in Rank},
    "sysctl": {one.dotted for one in EXPECTATIONS},
}
"""What a label can be, of those that rules ask for."""
AGGREGATED = {one.name: one for one in AGGREGATES}
_DOCS = Path(__file__).parents[3] / "docs"
RUNBOOKS = [*sorted((_DOCS / "runbooks").glob("*.md")), _DOCS / "fleet.md"]


def _labels_of(name: str) -> set[str]:
    """Return the labels of a metric; KeyError where there is none of this name."""
    if name in {"up", "process_start_time_seconds"}:
        return SCRAPED
    if name in RECORDED and name not in AGGREGATED:
        return SCRAPED | {"signal"}
    if name in AGGREGATED:
        return SCRAPED | set(AGGREGATED[name].labels)
    return SCRAPED | {"le"} | set(BY_NAME[name.removesuffix("_bucket")].labels)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_what_a_rule_asks_for_exists(rule: dict[str, str]) -> None:
    """Each metric is in the catalogue or recorded, has the labels that are matched, and can have those values."""
    expression = rule["expr"]
    selectors = re.findall(r"\b(up|process_\w+|(?:\w+:)?nodewarden_[a-z0-9_:]*)\b(?:\{([^}]*)\})?", expression)
    assert selectors or expression.startswith("vector(")
    for name, matchers in selectors:
        for label, wanted in re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"', matchers):
            assert label in _labels_of(name), f"{name} has no label {label}"
            assert set(wanted.split("|")) <= VALUES[label], f"{label} of {name} is never {wanted}"
        _labels_of(name)
    told = SCRAPED | {"signal", "edge", "day"} | {label for name, _ in selectors for label in _labels_of(name)}
    for names in re.findall(r"\b(?:by|on|without|group_left)\s*\(([\w, ]*)\)", expression):
        assert set(filter(None, re.split(r",\s*", names))) <= told


def test_every_node_keeps_its_signals_apart() -> None:
    """What is recorded of a node carries cluster, job and instance: every sum keeps them."""
    for rule in RULES:
        for names in re.findall(r"\bby\s*\(([\w, ]*)\)", rule["expr"]):
            assert set(names.split(", ")) >= SCRAPED
    assert {"bans", "alerts", "drops", "stopped", "flows", "conntrack"} == SIGNALS


def test_recorded_names_say_level_metric_and_operations() -> None:
    """`level:metric:operations`, as Prometheus recommends; the level is what a series is about."""
    for name in RECORDED:
        level, metric, operations = name.split(":")
        assert level == "signal" or level.split("_")[0] == "instance"
        assert metric.startswith("nodewarden_")
        assert operations


def test_promtool_finds_nothing_to_mend() -> None:
    """`promtool check rules` with every lint as an error."""
    files = [str(support.RULES / name) for name in support.FILES]
    command = ["promtool", "check", "rules", "--lint=all", "--lint-fatal", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_what_a_runbook_tells_to_type_exists(path: Path) -> None:
    """Each `nodewarden` command has these options; each metric named in full is in the catalogue."""
    text = path.read_text()
    commands = re.findall(r"^ {4,7}nodewarden ([^#|&\n]*)", text, re.MULTILINE)
    commands += re.findall(r"`nodewarden ([^`]*)`", text)
    for words in map(shlex.split, commands):
        _look_up(cli, words)
    for name in re.findall(r"\bnodewarden_[a-z_]+[a-z]\b", text):
        assert any(known.startswith(name) for known in BY_NAME), name


def _look_up(command: click.Command, words: list[str]) -> None:
    """Follow the words through the command line's groups; AssertionError where a command or option is not there."""
    if isinstance(command, click.Group) and words and not words[0].startswith("-"):
        assert words[0] in command.commands, f"no command {words[0]}"
        _look_up(command.commands[words[0]], words[1:])
        return
    options = {name for parameter in command.params for name in parameter.opts} | {"--help"}
    assert {word for word in words if word.startswith("--")} <= options, f"{command.name}: {words}"
