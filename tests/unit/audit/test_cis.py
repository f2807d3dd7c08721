"""Numbers of the CIS benchmark, and the result of kube-bench."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from monitor.audit.cis import BY_VERSION, LATEST, VERSIONS, numbers
from monitor.audit.kube_bench import MAX_FAILURES, MAX_FILE_BYTES, parse_kube_bench, read_kube_bench
from monitor.audit.registry import BY_ID


def test_numbers_follow_the_version_of_the_benchmark() -> None:
    """NodeRestriction moved from 1.8 to 1.9; what a version lacks, and versions that are not known, have no number."""
    assert numbers("apiserver-noderestriction", "1.8") == ("1.2.15",)
    assert numbers("apiserver-noderestriction") == numbers("apiserver-noderestriction", "1.9") == ("1.2.14",)
    assert not numbers("exposed-proxy", "1.8")
    assert not numbers("rp-filter")
    assert not numbers("etcd-tls", "0.1")
    assert VERSIONS[-1] == LATEST


@pytest.mark.parametrize("version", VERSIONS)
def test_numbers_are_of_the_right_section(version: str) -> None:
    """Section 1 is the control plane, 2 etcd, 4 the node; no number is given twice but for the read-only port."""
    sections = {"apiserver": "1.2.", "external": "1.2.", "etcd": "2.", "kubelet": "4.2."}
    given: list[str] = []
    for check, found in BY_VERSION[version].items():
        kind = check.partition("-")[0]
        assert all(number.startswith(sections[kind]) for number in found if kind in sections), check
        assert check in BY_ID or kind == "exposed", check
        given += found
    assert sorted({number for number in given if given.count(number) > 1}) == ["4.2.4"]


def result(number: str, status: str, **more: Any) -> dict[str, Any]:
    """Return a test as kube-bench reports it."""
    return {"test_number": number, "test_desc": f"Ensure {number}", "status": status, "scored": True, **more}


def control(*results: Any, version: str = "cis-1.10") -> dict[str, Any]:
    """Return the controls of one part of the node."""
    return {"id": "4", "version": version, "node_type": "node", "tests": [{"section": "4.2", "results": list(results)}]}


RESULTS = (result("4.2.1", "PASS"), result("4.2.2", "FAIL"), result("4.2.3", "WARN"), result("4.2.4", "INFO"))


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"Controls": [control(*RESULTS)], "Totals": {"total_fail": 99}}),
        json.dumps([control(*RESULTS)]),
        "\n".join(json.dumps(control(one)) for one in RESULTS),
    ],
)
def test_all_forms_of_a_result_are_read(text: str) -> None:
    """One document, a list of old, and a document a line; counts are of the tests themselves."""
    bench = parse_kube_bench(text)
    assert (bench.version, bench.problem) == ("cis-1.10", "")
    assert (bench.passed, bench.failed, bench.warned, bench.informed) == (1, 1, 1, 1)
    assert [(one.number, one.text) for one in bench.failures] == [("4.2.2", "Ensure 4.2.2")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "5",
        '{"Controls": 5}',
        '{"Controls": [{"tests": [{"results": [5]}]}]}',
        "[" * 100_000,
        "\0",
    ],
)
def test_what_is_no_result_is_a_problem(text: str) -> None:
    """It is never shown as a result without failures."""
    assert parse_kube_bench(text).problem


def test_a_hostile_result_is_bounded() -> None:
    """Long texts are cut, values of other types are left out, and failures are counted beyond those that are kept."""
    many = [result("9" * 1000, "FAIL", test_desc="x" * 10_000) for _ in range(MAX_FAILURES + 10)]
    bench = parse_kube_bench(json.dumps([control(*many, result("1", "FAIL", test_desc=["x"]), {"status": ["FAIL"]})]))
    assert bench.failed == MAX_FAILURES + 11
    assert len(bench.failures) == MAX_FAILURES
    assert max(len(one.text) for one in bench.failures) == 256
    assert max(len(one.number) for one in bench.failures) == 32


def test_the_first_file_that_is_there_is_read(tmp_path: Path) -> None:
    """With the time that it was written; without a file there is nothing, and one that is unreadable is a problem."""
    none, first, fifo = (tmp_path / name for name in ("none", "first", "fifo"))
    first.write_text(json.dumps([control(*RESULTS)]))
    os.utime(first, (1000, 1000))
    assert read_kube_bench([none, tmp_path / "first/below"]) is None
    bench = read_kube_bench([none, first])
    assert bench is not None
    assert (bench.path, bench.time_s, bench.failed) == (str(first), 1000.0, 1)
    os.mkfifo(fifo)
    bench = read_kube_bench([fifo])
    assert bench is not None
    assert "regular" in bench.problem or "cannot be read" in bench.problem
    with first.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    bench = read_kube_bench([first])
    assert bench is not None
    assert "larger" in bench.problem
