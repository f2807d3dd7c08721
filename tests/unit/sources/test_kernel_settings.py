"""Sysctls that evidence depends on: each value that hides or weakens it is reported, by what is in use."""

from pathlib import Path

import pytest

from monitor.daemon.life.sysctl_watch import SysctlWatch
from monitor.model.requirements import Part
from monitor.node import kernel_settings
from monitor.node.kernel_settings import ACCOUNTING, EXPECTATIONS, Expectation

_ALL = {one.needed_by for one in EXPECTATIONS}
_GOOD = {one.name: one.fine[0] for one in EXPECTATIONS} | {
    "net/netfilter/nf_conntrack_max": "262144",
    "net/netfilter/nf_log_all_netns": "0",
}
each = pytest.mark.parametrize("one", EXPECTATIONS, ids=lambda one: one.name.rpartition("/")[2])


def write(root: Path, values: dict[str, str]) -> None:
    """Write the values of sysctls below root."""
    for name, value in values.items():
        path = root / "proc/sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")


def parts(values: dict[str, str], uses: set[str]) -> dict[str, Part]:
    """Return what doctor says, by name."""
    return {part.name: part for part in kernel_settings.parts(values, uses)}


@each
def test_each_other_value_is_reported_with_its_consequence(one: Expectation) -> None:
    """A value that hides evidence is a problem, one that weakens it a notice; only if what needs it is in use."""
    other = "0" if "1" in one.fine else "1"
    values = _GOOD | {one.name: other}
    problems, notices = kernel_settings.problems(values, _ALL), kernel_settings.notices(values, _ALL)
    (text,) = [*problems, *notices]
    assert bool(problems) is one.is_blinding
    assert text == f"{one.dotted} is {other}: {one.consequence}"
    unused = _ALL - {one.needed_by}
    assert kernel_settings.findings(values, unused) == []
    if one.name != ACCOUNTING:  # the part flow_bytes has it
        part = parts(values, _ALL)["kernel_settings" if one.is_blinding else "kernel_settings_advised"]
        assert part.state == ("missing" if one.is_blinding else "could be better")
        (needed,) = [needed for needed in part.requirements if needed.missing]
        assert f"{one.dotted}={one.fine[0]}" in needed.repair


@each
def test_what_is_fine_is_not_reported(one: Expectation) -> None:
    """Every value that serves; and a sysctl that this kernel lacks, unless nothing is seen without it."""
    for value in one.fine:
        assert kernel_settings.findings(_GOOD | {one.name: value}, _ALL) == []
    lacking = {name: value for name, value in _GOOD.items() if name != one.name}
    assert bool(kernel_settings.findings(lacking, _ALL)) is one.is_required
    assert {part.state for part in parts(_GOOD, _ALL).values()} == {"ok"}


def test_without_connection_tracking_nothing_is_known() -> None:
    """Where the kernel has none, the source says so; where nothing is in use, nothing is needed."""
    assert kernel_settings.findings({}, _ALL) == []
    assert {part.state for part in parts(_GOOD, set()).values()} == {"off"}


def test_logs_of_other_namespaces_need_a_sysctl_of_the_first() -> None:
    """It cannot be read elsewhere, which is how one is told from the other."""
    values = {name: value for name, value in _GOOD.items() if "nf_log_all" not in name}
    (notice,) = kernel_settings.notices(values, _ALL)
    assert "net.netfilter.nf_log_all_netns" in notice
    assert kernel_settings.notices(values, {kernel_settings.CONNTRACK}) == []


def test_changes_are_followed(tmp_path: Path) -> None:
    """By each tick; problems, notices and samples are of the values as read last. Odd content is a value too."""
    write(tmp_path, _GOOD)
    watch = SysctlWatch(lambda: _ALL, tmp_path)
    assert (watch.problems(), watch.notices()) == ([], [])
    write(tmp_path, {"net/netfilter/nf_conntrack_events": "0", "net/ipv4/tcp_syncookies": "x" * 100})
    watch.tick()
    assert len(watch.problems()) == len(watch.notices()) == 1
    faults = {labels[0] for _, labels, value in watch.samples() if value}
    assert faults == {"net.netfilter.nf_conntrack_events", "net.ipv4.tcp_syncookies"}
