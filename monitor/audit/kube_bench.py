"""Reads what kube-bench found on this node, to show it with an audit: the result of `kube-bench --json`.

kube-bench checks files, owners and flags of the whole CIS benchmark, and none of that is done again here. Its result is
one document with `Controls`, or in older versions a list of them, or one of them on each line.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from monitor.files.regular import read_regular
from monitor.model.errors import MalformedRecord, explain
from monitor.node.documents import as_list, as_mapping, load_json

DEFAULT_PATHS = (Path("/var/log/kube-bench.json"), Path("/var/log/kube-bench/kube-bench.json"))
"""kube-bench writes where `--outputfile` says; there is no usual place."""
MAX_FILE_BYTES = 16 << 20
MAX_FAILURES = 512
_MAX_CONTROLS, _MAX_GROUPS, _MAX_RESULTS = 64, 256, 1024
_MAX_NUMBER, _MAX_TEXT = 32, 256


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A recommendation of the benchmark that is not followed."""

    number: Annotated[str, Meta(max_length=_MAX_NUMBER)]
    text: Annotated[str, Meta(max_length=_MAX_TEXT)] = ""


class KubeBench(msgspec.Struct, frozen=True, kw_only=True):
    """What a result holds."""

    path: str
    time_s: float = 0.0
    """When the file was written, wall time."""
    version: Annotated[str, Meta(max_length=_MAX_NUMBER)] = ""
    """Of the benchmark, as kube-bench names it: `cis-1.10`."""
    passed: int = 0
    failed: int = 0
    warned: int = 0
    informed: int = 0
    failures: tuple[Failure, ...] = ()
    """The first ones; `failed` counts all."""
    problem: str = ""
    """Why there is nothing to show; empty: it was read."""


def read_kube_bench(paths: Iterable[Path] = DEFAULT_PATHS) -> KubeBench | None:
    """Return what the first file among `paths` holds; None if there is none. Never raises."""
    for path in paths:
        try:
            content = read_regular(path, MAX_FILE_BYTES)
            time_s = path.stat().st_mtime
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError) as error:
            return KubeBench(path=str(path), problem=f"it cannot be read: {explain(error)}")
        if len(content) > MAX_FILE_BYTES:
            return KubeBench(path=str(path), time_s=time_s, problem=f"it is larger than {MAX_FILE_BYTES} bytes")
        return parse_kube_bench(content.decode(errors="replace"), str(path), time_s)
    return None


def parse_kube_bench(text: str, path: str = "", time_s: float = 0.0) -> KubeBench:
    """Return what a result holds; with a problem if it is none."""
    try:
        controls = list(_controls(text))
    except MalformedRecord as error:
        return KubeBench(path=path, time_s=time_s, problem=f"it is no result of kube-bench: {error}"[:512])
    results = [result for one in controls for result in _results(one)]
    if not results:
        return KubeBench(path=path, time_s=time_s, problem="it is no result of kube-bench: it holds no tests")
    states = [result.get("status") for result in results]
    failures = [
        Failure(number=_text(result, "test_number", _MAX_NUMBER), text=_text(result, "test_desc", _MAX_TEXT))
        for result, state in zip(results, states, strict=True)
        if state == "FAIL"
    ]
    return KubeBench(
        path=path,
        time_s=time_s,
        version=next((version for one in controls if (version := _text(one, "version", _MAX_NUMBER))), ""),
        passed=states.count("PASS"),
        failed=states.count("FAIL"),
        warned=states.count("WARN"),
        informed=states.count("INFO"),
        failures=tuple(failures[:MAX_FAILURES]),
    )


def _controls(text: str) -> Iterator[dict[Any, Any]]:
    try:
        documents = [load_json(text)]
    except MalformedRecord:  # one document on each line, or no JSON at all
        documents = [load_json(line) for line in text.splitlines()[:_MAX_CONTROLS] if line.strip()]
    for document in documents:
        found = document if isinstance(document, list) else as_mapping(document).get("Controls", [document])
        yield from (as_mapping(one) for one in as_list(found)[:_MAX_CONTROLS])


def _results(control: dict[Any, Any]) -> Iterator[dict[Any, Any]]:
    for group in as_list(control.get("tests"))[:_MAX_GROUPS]:
        for result in as_list(as_mapping(group).get("results"))[:_MAX_RESULTS]:
            if isinstance(result, dict):
                yield result


def _text(record: dict[Any, Any], key: str, most: int) -> str:
    value = record.get(key)
    return value[:most] if isinstance(value, str) else ""
