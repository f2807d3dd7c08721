"""Records the corpus anew: plays scenarios, keeps the kernel's lines. `python -m tests.record_corpus [NAME ...]`."""

import os
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.support.corpus.attacks import ATTACKS
from tests.support.corpus.everyday import EVERYDAY
from tests.support.corpus.formats import FORMATS, play_format
from tests.support.corpus.scenario import CORPUS, Follower, RawLog, Scenario, play
from tests.support.corpus.verdict import alerts_of, decode, is_enough, material_of

_MAX_LINES = 400


def main(names: list[str]) -> None:
    """Record the scenarios of these names, all if none is given."""
    for scenario in (*ATTACKS, *EVERYDAY):
        if not names or scenario.name in names:
            _record_scenario(scenario)
    for form in FORMATS:
        if not names or form.name in names:
            lines = _record(re.compile(re.escape(form.prefix).encode()), partial(play_format, form))
            _write(CORPUS / "formats" / f"{form.name}.kmsg", lines)
            print(f"{'formats':9}{form.name:24}{len(lines):4} lines")


def _record_scenario(scenario: Scenario) -> None:
    prefix = f"corpus-{os.getpid()}-{scenario.name} "
    lines = _record(re.compile(prefix.encode()), lambda: play(scenario, prefix))[:_MAX_LINES]
    events = [decode(line) for line in lines]
    found = material_of(events)
    if not is_enough(found, scenario.material):
        raise SystemExit(f"{scenario.name}: {found} is not enough, {scenario.material} is wanted: nothing was written")
    _write(CORPUS / scenario.folder / f"{scenario.name}.kmsg", lines)
    alerts = ", ".join(f"{detector} by {address}" for detector, address in sorted(alerts_of(events)))
    print(
        f"{scenario.folder:9}{scenario.name:24}{found.lines:4} lines {found.ports:4} ports {found.hosts:3} hosts"
        f"  {alerts or 'nothing'}{'' if alerts_of(events) == scenario.alerts else '  NOT AS EXPECTED'}"
    )


def _record(owns: re.Pattern[bytes], traffic: Callable[[], None]) -> list[bytes]:
    log = RawLog(owns)
    try:
        with Follower(log) as follower:
            traffic()
        return follower.taken
    finally:
        log.close()


def _write(path: Path, lines: list[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(line + b"\n" for line in lines))


if __name__ == "__main__":
    main(sys.argv[1:])
