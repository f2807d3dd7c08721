"""The built-in filters, for people (docs/filters.md)."""

import sys
from collections.abc import Iterator

from monitor.filters.library import BUILT_IN, FilterEvidence, FilterFile, built_in_names, read_filter_file

_INTRO = """\
# Built-in filters

<!-- Generated from monitor/filters/builtin by `.venv/bin/python -m monitor.filters.reference`: change it there. -->

A detector in `detectors.failures` names its filter: `filter: nginx-scan`, or `filter: postfix[mode=normal]` for a mode
other than the first. Where the log is not given, the files below are read if one of them exists, otherwise the journal.
`nodewarden filter test NAME LOG` shows what a filter finds in a log. Each file in `monitor/filters/builtin` says which
versions of the application it was checked against, and who writes what in a line.

Where the last column says *proven*, lines of the application itself lead to a ban; otherwise failures only shun
([what log text proves](decisions/0014-what-log-text-proves.md)).
"""


def reference() -> str:
    """Return the page, in Markdown."""
    head = ("| filter | finds | modes | reads | evidence |", "| --- | --- | --- | --- | --- |")
    return "\n".join((_INTRO, *head, *_rows(), ""))


def _rows() -> Iterator[str]:
    for name in built_in_names():
        content = read_filter_file(BUILT_IN / f"{name}.yaml")
        modes = ", ".join(f"`{mode}`" for mode in content.modes) or "-"
        finds = content.description.rstrip(".")
        yield f"| `{name}` | {finds} | {modes} | {_logs(content)} | {_evidence(content)} |"


def _logs(content: FilterFile) -> str:
    """Return where the application writes its log."""
    files = "<br>".join(f"`{path}`" for path in content.files)
    return f"{files}<br>journal" if content.journalmatch else files


def _evidence(content: FilterFile) -> str:
    return "*proven*" if content.evidence is FilterEvidence.PROVEN else content.doubt


def main() -> None:
    """Write the page to standard output."""
    sys.stdout.write(reference())


if __name__ == "__main__":
    main()
