"""Lists that several files set: which add up, which replace each other, and how to replace on purpose."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from monitor.cli.config import config_group
from monitor.config.shapes import Group, ListRule, NamedMap, Sequence, Shape, group_of, join
from monitor.model.bans import NOT_DETECTORS
from monitor.settings.detectors import DETECTOR_NAMES
from monitor.settings.load import load
from monitor.settings.schema import Settings
from tests.unit.config.support import faults_of, write

_DETECTORS = [name for name in DETECTOR_NAMES.reserved if name not in NOT_DETECTORS]
MERGED = {
    "bans.allowlist",
    "bans.presets",
    "bans.xdp.interfaces",
    *(f"detectors.{name}.allowlist" for name in (*_DETECTORS, "failures.*")),
    "detectors.drop_rate.overlay_peers",
    "detectors.egress.approved",
    "detectors.egress.sources",
    "detectors.failures.*.files",
    "detectors.failures.*.journalmatch",
    "detectors.failures.*.pods",
    "detectors.from_fail2ban_proven",
    "sources.kernel_log.ignore_prefixes",
    "sources.kernel_log.prefixes",
}
"""What is protected, watched or read in addition."""
REPLACED = {
    "crowdsec.origins",
    "bans.increment.multipliers",
    "bans.internal.networks",
    "bans.protect.admin_groups",
    "detectors.protected_port.services.*.networks",
    "detectors.protected_port.services.*.ports",
    *(f"detectors.{name}.ports" for name in (*_DETECTORS, "failures.*")),
    "detectors.udp_amplification.ban_ports",
    "fleet.adopt_roles",
    "lists.*.wider",
}
"""What is only right as a whole: an entry of an earlier file would widen what a later one narrows."""


def lists(shape: Shape, path: str = "") -> dict[str, tuple[Sequence, str]]:
    """Return all lists of the schema by path, each with its description."""
    found: dict[str, tuple[Sequence, str]] = {}
    if isinstance(shape, NamedMap):
        return lists(shape.value, join(path, "*"))
    if isinstance(shape, Group):
        for key, field in shape.fields.items():
            if isinstance(field.shape, Sequence):
                found[join(path, key)] = (field.shape, field.description)
            else:
                found |= lists(field.shape, join(path, key))
    return found


def test_every_list_says_what_becomes_of_it() -> None:
    """Each is merged or replaced on purpose: a new one has to be entered here, and its description says which."""
    rules = {path: found.rule for path, (found, _) in lists(group_of(Settings)).items()}
    assert {path for path, rule in rules.items() if rule is ListRule.MERGED} == MERGED
    of_channels = {path for path in rules if path.startswith("notify.")}
    assert {path for path, rule in rules.items() if rule is ListRule.REPLACED} == REPLACED | of_channels
    for found, description in lists(group_of(Settings)).values():
        assert description.endswith(found.rule.value)


def test_entries_of_all_files_count(tmp_path: Path) -> None:
    """An importer's file does not undo the operator's: each entry counts once, with the place that named it first."""
    main = write(tmp_path, "bans: {allowlist: [192.0.2.1]}\n")
    local = write(tmp_path, "bans:\n  allowlist:\n  - 198.51.100.7\n  - 192.0.2.1\n", "conf.d/50-local.yaml")
    imported = write(tmp_path, "bans: {allowlist: [203.0.113.0/24]}\n", "conf.d/60-fail2ban.yaml")
    loaded = load(main)
    assert list(map(str, loaded.settings.bans.allowlist)) == ["192.0.2.1", "198.51.100.7", "203.0.113.0/24"]
    places = list(map(str, loaded.origins["bans.allowlist"].entries))
    assert places == [f"{main}:1", f"{local}:3", f"{imported}:1"]
    shown = CliRunner().invoke(config_group, ["show", "--config", str(main)]).stdout
    rows = [line.split() for line in shown.splitlines() if line.startswith("bans.allowlist")]
    assert rows == [
        ["bans.allowlist[0]", "192.0.2.1", f"{main}:1"],
        ["bans.allowlist[1]", "198.51.100.7", f"{local}:3"],
        ["bans.allowlist[2]", "203.0.113.0/24", f"{imported}:1"],
    ]
    result = json.loads(CliRunner().invoke(config_group, ["show", "--config", str(main), "--json"]).stdout)
    assert result["origins"]["bans.allowlist[1]"] == f"{local}:3"


@pytest.mark.parametrize("later", ["conf.d/50-local.yaml", "conf.d/60-last.yaml"])
def test_replace_drops_the_entries_of_earlier_files_only(tmp_path: Path, later: str) -> None:
    """`!replace` starts anew, and what comes after it still adds; an empty list adds nothing."""
    main = write(tmp_path, "bans: {allowlist: [192.0.2.1]}\n")
    write(tmp_path, "bans: {allowlist: !replace [192.0.2.2]}\n", "conf.d/40-own.yaml")
    write(tmp_path, "bans: {allowlist: [192.0.2.3]}\n", later)
    write(tmp_path, "bans: {allowlist: []}\n", "conf.d/70-empty.yaml")
    assert list(map(str, load(main).settings.bans.allowlist)) == ["192.0.2.2", "192.0.2.3"]
    write(tmp_path, "bans: {allowlist: !replace []}\n", "conf.d/80-none.yaml")
    assert load(main).settings.bans.allowlist == ()


def _values_of(path: str) -> tuple[str, str]:
    """Return two entries for a list."""
    name = path.rpartition(".")[2]
    if name in ("allowlist", "overlay_peers") or "egress" in path:
        return "192.0.2.1", "192.0.2.2"
    kinds = {"files": "/a/{}", "pods": "a/b/c{}", "interfaces": "eth{}", "from_fail2ban_proven": "jail{}"}
    notation = kinds.get(name, "A={}")
    return notation.format(1), notation.format(2)


@pytest.mark.parametrize("path", sorted(MERGED - {"bans.presets"}))
def test_each_merged_list_adds_up(tmp_path: Path, path: str) -> None:
    """The entry of the first file is still there after the second, for every list that is merged."""
    key = path.replace("*", "web")
    texts = []
    for value in _values_of(path):
        text = f"[{value}]"
        for part in reversed(key.split(".")):
            text = f"{{web: {{filter: sshd, {text[1:]}}}" if part == "web" else f"{{{part}: {text}}}"
        texts.append(text)
    main = write(tmp_path, texts[0])
    write(tmp_path, texts[1], "conf.d/50-local.yaml")
    found: object = load(main).settings
    for part in key.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    assert tuple(map(str, found)) == _values_of(path)  # type: ignore[call-overload]


@pytest.mark.parametrize("text", ["!replace 0", "!replace 192.0.2.1", "!replace {a: 1}", "!other [192.0.2.1]"])
def test_a_misplaced_replace_is_a_fault(tmp_path: Path, text: str) -> None:
    """The tag belongs before a list; any other tag stays refused."""
    (fault,) = faults_of(write(tmp_path, f"bans: {{allowlist: {text}}}\n"))
    assert fault.startswith("nodewarden.yaml:1:19: ")
    assert "!replace" in fault
