r"""Takes off what syslog puts in front of a line, and what an application repeats, in one place for all filters.

Filters are written for lines as `DATE HOST PROGRAM[PID]: MESSAGE` (RFC 3164 without its priority) or for lines as the
application itself writes them. `plain` brings the forms of the syslog protocol to the first of these; it reads only the
start of a line, once: a form that is part of a message stays what it is, text that somebody may have chosen. `retold`
offers what is left of a line that no expression matched, without what is said twice.

- `<38>1 2026-11-26T17:33:52Z HOST PROGRAM PID ID DATA MESSAGE` (RFC 5424)
  -> `2026-11-26T17:33:52Z HOST PROGRAM[PID]: MESSAGE`
- `<38>Nov 26 17:33:52 HOST PROGRAM[PID]: MESSAGE` (RFC 3164) -> the same without `<38>`
- `HOST dropbear[825]: [825] Nov 26 17:33:52 MESSAGE` -> `HOST dropbear[825]: MESSAGE`
- `HOST gitea[7]: 2026/11/26 17:33:52 MESSAGE` -> `2026/11/26 17:33:52 MESSAGE`, where `gitea` is the filter's program

Pure.
"""

import re
from collections.abc import Container, Iterator

from monitor.filters.definition import FilterDefinition

_PRIORITY = re.compile(r"<(?:0|[1-9]\d{0,2})>").match
_PROTOCOL = re.compile(
    r"[1-9]\d{0,2} (?P<time>-|\d{4}-\d\d-\d\dT[!-~]{8,24}) (?P<host>[!-~]{1,255}) (?P<program>[!-~]{1,48}) "
    r"(?P<pid>[!-~]{1,128}) [!-~]{1,32} "
    r"(?:-|(?>(?:\[[!-~]{1,32}(?: [!-~]{1,32}=\"(?>(?:[^\"\\\]]|\\.)*)\")*\])+))(?: \ufeff?|(?=\s*$))"
).match
"""RFC 5424, section 6, behind the priority."""
_NOT_PROGRAM = re.compile(r"[\s\[\]:]")
_HEAD = re.compile(
    r"\s*(?:[^\s:\[\]]{1,255} )?(?:\w+\.\w+ )?(?P<program>[\w./@-]{1,64})(?:\[(?P<pid>\d{1,10})\])?: "
).match
_KNOWS_PROCESS = re.compile(r"\\\[[^\]]{0,40}\\d[+{][^\]]{0,12}\\\]").search
"""In an expression that takes what is in front of a message: the process number."""
_OWN_DATE = re.compile(
    r"(?:[A-Z][a-z]{2} )?[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,9})?(?: \d{4})?:? "
    r"|\d{4}([-/.])\d\d\1\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z| ?[+-]\d\d:?\d\d)?:? "
).match


def plain(line: str) -> str:
    """Return a line of the syslog protocol, with its priority, as syslog daemons write it to files; others as is."""
    if not line.startswith("<") or (priority := _PRIORITY(line)) is None:
        return line
    line = line[priority.end() :]
    fields = _PROTOCOL(line)
    if fields is None:
        return line
    # `-` stays: without host or program, the start of the message could pass for one
    program = _NOT_PROGRAM.sub("?", fields["program"])
    pid = fields["pid"]
    process = f"{program}[{pid}]" if pid.isdecimal() else program
    date = f"{fields['time']} " if fields["time"] != "-" else ""
    return f"{date}{fields['host']} {process}: {line[fields.end() :]}"


def retold(line: str, programs: Container[str], *, is_ours: bool) -> Iterator[str]:
    """Yield what a line is without what the application repeats, and as the application itself wrote it.

    The line has lost its date. Its own form is only for `programs`, those that the filter is for, unless the whole log
    `is_ours`: else one program could speak in the name of another.
    """
    head = _HEAD(line)
    if head is None:
        return
    begin = end = head.end()
    if head["pid"] and line.startswith(own := f"[{head['pid']}] ", end):
        end += len(own)
    if (date := _OWN_DATE(line, end)) is not None:
        end = date.end()
    if end > begin:
        yield line[:begin] + line[end:]
    if is_ours or head["program"] in programs:
        if end > begin:
            yield line[end:]
        yield line[begin:]


def programs(definition: FilterDefinition) -> frozenset[str]:
    """Return the names in front of lines that a filter is for; none where its expressions know what is in front.

    None either where lines of the journal prove: there nothing but the usual form counts.
    """
    is_proof = definition.evidence.writers is not None and bool(definition.evidence.writers.units)
    if is_proof or any(map(_KNOWS_PROCESS, (definition.prefregex, *definition.failregex))):
        return frozenset()
    units = {
        term.partition("=")[2].partition(".")[0].partition("@")[0] for line in definition.journalmatch for term in line
    }
    return frozenset((definition.name, *units)) - {""}
