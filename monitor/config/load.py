"""Loads sections from files: the main file, then `conf.d/*.yaml` in its directory in the order of their names."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar, cast

from monitor.config.build import build, merge
from monitor.config.document import UnreadableError, advise, parse, read_bytes
from monitor.config.faults import Fault, InvalidConfigError, Origin
from monitor.config.reader import Branch, Reader
from monitor.config.shapes import Group, Section, group_of

S = TypeVar("S", bound=Section)


_NONE: Mapping[Path, bytes] = MappingProxyType({})


def load_as(
    struct: type[S], path: Path, standing: Mapping[Path, bytes] = _NONE
) -> tuple[S, dict[str, Origin], tuple[Path, ...]]:
    """Read `path` and `conf.d/*.yaml` in its directory as one section; a later file wins key by key.

    The contents in `standing` take the place of the files of these paths, which need not exist.
    Returns the section, the origin of each value (by field path), and the files in the order of reading. Raises
    InvalidConfigError (a ConfigError) with every fault of every file, TemporaryError if a file cannot be read now.
    """
    extra, faults = _drop_ins(path.parent / "conf.d")
    more = {file for file in standing if file != path}
    files = (path, *sorted({*extra, *more}))
    shape = group_of(struct)
    merged = Branch(Origin(path, 1, 1))
    for file in files:
        branch = _read(file, standing.get(file), shape, faults)
        merged = merge(merged, branch) if branch else merged
    section, origins, conflicts = build(shape, merged, frozenset(fault.path.partition("[")[0] for fault in faults))
    faults += conflicts
    if faults:
        raise InvalidConfigError(faults, files)
    return cast("S", section), origins, files


def _read(file: Path, content: bytes | None, shape: Group, faults: list[Fault]) -> Branch | None:
    """Read one file, or the content that stands for it; its faults are added to `faults`."""
    try:
        node = parse(file, read_bytes(file) if content is None else content)
    except UnreadableError as error:
        faults += error.faults
        return None
    if node is None:
        return None
    reader = Reader(file)
    tree = reader.read(node, shape)
    faults += reader.faults
    return tree if isinstance(tree, Branch) else None


def _drop_ins(directory: Path) -> tuple[list[Path], list[Fault]]:
    """Return the files of `conf.d`, sorted by name; none if it is missing; hidden files are skipped."""
    try:
        if not directory.parent.is_dir():
            return [], []  # reading the main file reports the fault
        entries = sorted(entry for entry in directory.iterdir() if not entry.name.startswith("."))
    except FileNotFoundError:
        return [], []
    except NotADirectoryError:
        return [], [Fault(directory, 0, 0, "", "not a directory; expected a directory of YAML files")]
    except OSError as error:
        return [], [advise(directory, error)]
    # A file that is expected to be read but is not would silently leave a setting at its default.
    faults = [
        Fault(entry, 0, 0, "", f"only *.yaml is read; rename it to {entry.stem}.yaml or move it elsewhere")
        for entry in entries
        if entry.suffix == ".yml"
    ]
    return [entry for entry in entries if entry.suffix == ".yaml"], faults
