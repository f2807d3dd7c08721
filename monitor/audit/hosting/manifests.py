"""Finds programs of the control plane in the static pods that a kubelet starts."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from monitor.audit.host import ProgramKind
from monitor.audit.hosting.flags import recognise
from monitor.audit.hosting.reader import Reader, Unreadable
from monitor.node.documents import as_list, as_mapping

_MAX_CONTAINERS = 16


class Manifest(NamedTuple):
    """A container of a static pod that runs a program that is judged."""

    kind: ProgramKind
    path: str
    arguments: Sequence[str]


def read_manifests(reader: Reader, directory: str) -> list[Manifest]:
    """Return what the manifests in a directory start; one that cannot be read starts nothing that is known of."""
    found: list[Manifest] = []
    try:
        paths = reader.names(directory, (".yaml", ".yml", ".json", ".manifest"))
    except Unreadable:
        return found
    for path in paths:
        if path.rpartition("/")[2].startswith("."):
            continue  # as the kubelet does
        try:
            document = reader.document(path)
        except Unreadable:
            continue
        found += [Manifest(kind, path, arguments) for kind, arguments in _programs(document)]
    return found


def _programs(document: dict[Any, Any]) -> Iterator[tuple[ProgramKind, Sequence[str]]]:
    containers = as_list(as_mapping(document.get("spec")).get("containers"))
    for container in containers[:_MAX_CONTAINERS]:
        parts = as_list(as_mapping(container).get("command")) + as_list(as_mapping(container).get("args"))
        recognised = recognise([part for part in parts if isinstance(part, str)])
        if recognised:
            yield recognised
