"""Text for users avoids the phrases that read as translated: in documents, panels, rules, help, settings and comments.

CONTRIBUTING asks for plain technical English. The phrases here have no right use, or hardly any; `_ALLOWED` has those
places, each with the reason.
"""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from manual.pages import commands
from monitor.cli.main import cli
from monitor.config.shapes import Group, NamedMap, group_of
from monitor.daemon.catalogue import SECTIONS
from monitor.settings.schema import Settings
from tests.support.dashboards import JSON, NAMES

ROOT = Path(__file__).parents[2]

_INSTEAD = {
    r"so many|as many as there are": "N, or at least N",
    r"(?:is|are|was|were) told|told of|tells? of": "report",
    r"beside": "alongside, in addition to, compared with",
    r"in vain|com(?:e|es|ing) to nothing|came to nothing": "incomplete or failed",
    r"(?:goes|go|going|went) on": "continue, keep working, stay in force",
    r"begins?|begun|beginning": "start, open",
    r"mend(?:s|ed|ing)?": "repair, fix",
    r"by (?:itself|themselves)": "automatically",
    r"all the same": "still",
    r"(?:hold|holds|held) (?:against|together)": "check, compare",
    r"whoever|whomever|for who|those of who|who is never banned": "the source, a source that",
    r"dearer": "costs more",
    r"(?:the|a) (?:first |second )?wall(?! clock)": "XDP",
    r"rungs?": "attach mode",
    r"the way through": "how it works, data path",
    r"needs for itself": "node addresses, gateways and resolvers",
    r"the greater part": "outnumber",
    r"for want of": "for lack of",
    r"who is who": "handshake evidence",
}
"""Phrases, as regular expressions of whole words, with what to write instead."""

_PHRASES = {
    re.compile(rf"\b(?:{phrase})\b".replace(" ", r"[\s#*]+"), re.IGNORECASE): words
    for phrase, words in _INSTEAD.items()
}

_ALLOWED = {
    ("docs/metrics.md", "rung"): "a label of nodewarden_ebpf_rung, whose name is kept",
    ("dashboards/guard_cost.py", "rung"): "the query for that label",
    ("dashboards/colours.py", "rung"): "that label and its values",
}
"""Where a phrase is right: text and phrase, with the reason."""

_DOCUMENTS = ("*.md", "docs/**/*.md", "bench/*.md", "examples/*")
_SHIPPED = (
    "Makefile",
    "systemd/**/*",
    "deploy/Containerfile",
    "deploy/ansible/**/*.yml",
    "deploy/kubernetes/**/*.yaml",
    "debian/control",
    "debian/p*",
    "debian/rules",
    "dashboards/rules/*.yaml",
    "dashboards/provisioning/*",
)
_PROGRAMS = ("monitor/cli/*.py", "manual/*.py", "demo/*.py", "dashboards/*.py", "monitor/settings/reference.py")


def _files(*patterns: str) -> list[str]:
    found = {path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()}
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def faults(name: str, text: str, first_line: int = 1) -> list[str]:
    """Return the phrases of a text that are not allowed there, each with its line and what to write instead."""
    found = []
    for phrase, instead in _PHRASES.items():
        for match in phrase.finditer(text):
            shown, line = " ".join(match[0].split()), first_line + text.count("\n", 0, match.start())
            if (name, shown.lower()) not in _ALLOWED:
                found.append(f"{name}:{line}: {shown!r}, better: {instead}")
    return found


@pytest.mark.parametrize("name", _files(*_DOCUMENTS))
def test_documents(name: str) -> None:
    """Documents and examples, generated ones included."""
    assert not faults(name, (ROOT / name).read_text())


@pytest.mark.parametrize("name", _files(*_SHIPPED))
def test_shipped_files(name: str) -> None:
    """Files that operators install and edit: their values and comments."""
    assert not faults(name, (ROOT / name).read_text())


@pytest.mark.parametrize("name", _files(*_PROGRAMS))
def test_program_texts(name: str) -> None:
    """Every string of a program that prints for people: messages, help, docstrings."""
    found = []
    for node in ast.walk(ast.parse((ROOT / name).read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found += faults(name, node.value, node.lineno)
    assert not found


@pytest.mark.parametrize("name", NAMES)
def test_dashboards(name: str) -> None:
    """Titles, descriptions, legends, links and annotations, without the names of labels in them."""
    dashboard = json.loads((JSON / f"{name}.json").read_text())
    shown = {text for text in _shown(dashboard) if text}
    assert len(shown) > len(dashboard["panels"])
    assert not [fault for text in sorted(shown) for fault in faults(name, re.sub(r"\{\{\w+\}\}", "", text))]


def _shown(node: Any) -> Iterator[str]:
    """Yield what Grafana shows of a part of a dashboard."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("title", "description", "legendFormat", "titleFormat", "tooltip") and isinstance(value, str):
                yield value
            yield from _shown(value)
    elif isinstance(node, list):
        for value in node:
            yield from _shown(value)


@pytest.mark.parametrize("area", SECTIONS)
def test_help_of_metrics(area: str) -> None:
    """The help of each metric, by the area of the catalogue."""
    assert not faults(area, area)
    assert not [fault for metric in SECTIONS[area] for fault in faults(metric.name, metric.help)]


def _described(group: Group, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield each setting's path and description, sections included."""
    for field in group.fields.values():
        path = f"{place}{field.key}"
        yield path, field.description
        shape = field.shape.value if isinstance(field.shape, NamedMap) else field.shape
        if isinstance(shape, Group):
            yield from _described(shape, f"{path}.")


_COMMANDS = {"nodewarden": cli} | {" ".join(words): command for words, command in commands(cli, ("nodewarden",))}
_DESCRIPTIONS = dict(_described(group_of(Settings)))


@pytest.mark.parametrize("section", sorted({".".join(path.split(".")[:2]) for path in _DESCRIPTIONS}))
def test_settings(section: str) -> None:
    """The description of each setting, by the second level of the configuration."""
    inside = {path: text for path, text in _DESCRIPTIONS.items() if path == section or path.startswith(f"{section}.")}
    assert all(inside.values())
    assert not [fault for path, text in inside.items() for fault in faults(path, text)]


@pytest.mark.parametrize(
    ("name", "command"),
    [pytest.param(words, command, id=words) for words, command in _COMMANDS.items()],
)
def test_command_help(name: str, command: click.Command) -> None:
    """The whole help of each command, as a terminal shows it."""
    shown = command.get_help(click.Context(command, info_name=name))
    assert command.help
    assert command.help.split(".")[0] in " ".join(shown.split())
    assert not faults(name, shown)


@pytest.mark.parametrize(
    "text",
    [
        "Show at most so many.",
        "a source that goes on is told of again",
        "a table of its own beside\n# the firewall",
        "attempts that came to nothing",
        "whoever offends begins again",
        "Attempts in vain",
        "the command that mends it",
        "packets pass all the same",
        "hold against the allowlist",
        "A second wall in front of the first: the wall",
        "connections of who is never banned",
        "Proofs of who is who",
    ],
)
def test_a_phrase_is_found(text: str) -> None:
    """The scan can fail: each of these is found, also across lines of a comment."""
    assert faults("text", text)


@pytest.mark.parametrize(
    "text", ["besides", "wrung, prongs, nodewarden_ebpf_rung", "recommended amendments", "firewall"]
)
def test_words_that_only_contain_a_phrase_are_no_fault(text: str) -> None:
    """Only whole words count."""
    assert not faults("text", text)


def test_exceptions_are_needed() -> None:
    """Each place in the list of exceptions still has its phrase."""
    for name, phrase in _ALLOWED:
        assert re.search(rf"\b{phrase}\b", (ROOT / name).read_text()), f"{name} has no {phrase!r} any more"
