"""Writes docs/metrics.md from the catalogue."""

import sys

from monitor.daemon.catalogue import SECTIONS

_HEAD = """# Metrics

Generated from `monitor/daemon/catalogue`: `make docs`.

Served at `http://127.0.0.1:9843/metrics` (`metrics.listen`). Label values come from closed sets;
addresses are never labels: ask `nodewarden why ADDRESS` for those.
The usual `process_*` metrics are exported as well.
"""


def reference_markdown() -> str:
    """Return docs/metrics.md."""
    lines = [_HEAD]
    for title, metrics in SECTIONS.items():
        lines += [f"## {title.rstrip('.')}", "", "| metric | type | labels | meaning |", "| --- | --- | --- | --- |"]
        for metric in metrics:
            labels = ", ".join(f"`{label}`" for label in metric.labels)
            lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(reference_markdown())
