"""The measured rows of the README's comparison, from the figures of one run."""

import os
import time
from collections.abc import Sequence

from bench.peers import packages
from bench.registry import Figure, number

_PEERS = {"fail2ban": "fail2ban", "crowdsec": "CrowdSec", "sshguard": "sshguard", "psad": "psad"}
_NONE = "-"
_MEASURED = "Measured on "
_ROWS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("brute force in an sshd log, parser alone, lines per CPU second", ("log_attack_lines_per_s",), ""),
    ("the same log by the running daemon, lines per CPU second", ("log_daemon_lines_per_s",), ""),
    ("log without failures, lines per CPU second", ("log_benign_lines_per_s",), ""),
    ("line in a log to ban in the kernel, median / p99", ("log_to_set_p50_ms", "log_to_set_p99_ms"), " ms"),
    ("20 logs with 1,000 lines/s, of a core", ("logs_20_cpu_percent",), " %"),
    ("scans in the kernel log, lines per CPU second", ("kmsg_scan_lines_per_s",), ""),
    ("100,000 bans in force after a reboot", ("restore_100k_s",), " s"),
    ("idle, of a core", ("idle_cpu_percent",), " %"),
    ("idle, memory", ("idle_rss_mb",), " MB"),
)
NAMES = tuple(name for _, names, _ in _ROWS for name in names)
"""The figures that the table needs."""


def table(figures: Sequence[Figure]) -> str:
    """Return a Markdown table: a row for each work, a column for each peer, values that are ahead of ours in bold.

    What a run did not measure says so, and what a peer does not do is a dash.
    """
    heads = [f"{title} {packages.version(name)}".strip() for name, title in _PEERS.items()]
    lines = [f"| | nodewarden | {' | '.join(heads)} |", "| --- " * (len(heads) + 2) + "|"]
    return "\n".join([*lines, *_rows(figures).values(), "", _measured_on()])


def renewed(document: str, figures: Sequence[Figure]) -> str:
    """Return a document with the rows of this table, and the line that says where it was measured, renewed.

    Rows are known by their first cell. Those of which the run measured nothing stay as they are.
    """
    rows = {
        f"| {title} |": row
        for title, row in _rows(figures).items()
        if not row.startswith(f"| {title} | not measured |")
    }
    lines = []
    for line in document.splitlines():
        head = line[: line.find("|", 1) + 1]
        lines.append(_measured_on() if line.startswith(_MEASURED) else rows.get(head, line))
    return "\n".join(lines) + "\n"


def _rows(figures: Sequence[Figure]) -> dict[str, str]:
    """Return the rows by title."""
    known = {figure.name: figure for figure in figures}
    rows = {}
    for title, names, unit in _ROWS:
        found = [known[name] for name in names if name in known]
        ours = " / ".join(number(_rounded(figure.value)) for figure in found)
        cells = [f"{ours}{unit}" if ours else "not measured"]
        cells += [_cell(name, found, unit) for name in _PEERS]
        rows[title] = f"| {title} | {' | '.join(cells)} |"
    return rows


def _measured_on() -> str:
    kernel = ".".join(os.uname().release.split(".")[:2])
    return f"{_MEASURED}{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, Linux {kernel}."


def _cell(peer: str, figures: Sequence[Figure], unit: str) -> str:
    """Return what the table has for a peer in a row."""
    parts = []
    for figure in figures:
        peers = figure.peers or {"fail2ban": figure.peer}
        if peer not in peers:
            return _NONE
        if (value := peers[peer]) is None:
            return "not measured"
        text = number(_rounded(value))
        parts.append(f"**{text}**" if peer in figure.ahead else text)
    return f"{' / '.join(parts)}{unit}" if parts else _NONE


def _rounded(value: float) -> float:
    """Return a value with two significant digits, and three from 100 on: more are noise."""
    return float(f"{value:.3g}" if abs(value) >= 100 else f"{value:.2g}")
