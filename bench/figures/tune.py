"""Tuning: how many offenders the proposed thresholds find, and how many known-good sources they hit."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.registry import BenchmarkError, Figure, benchmark, progress
from monitor.daemon.sources.log_filters import LogFilters
from monitor.daemon.tuning.history import sweep_history
from monitor.daemon.tuning.labels import Label, Labels, Opinion
from monitor.model.addresses import host
from monitor.model.bans import Mode
from monitor.recording.reader import Recording
from monitor.settings.schema import Settings
from tests.support.fortnight import fortnight
from tests.support.tuning_history import inputs, record

_DAYS = 14


@benchmark("tune_offenders_found_percent", "tune_known_good_hit")
def labelled_fortnight() -> Iterator[Figure]:
    """Propose thresholds for sshd by a recorded fortnight: 20 offenders, 5,000 clients that mistype, 12 probes.

    Offenders are known by their making, clients by the connections that are recorded, and probes by a label. What is
    proposed is checked against these, and not against what the sweep took for offenders. No peer.
    """
    labelled = fortnight(days=_DAYS)
    settings = Settings(mode=Mode.OBSERVE)
    labels = Labels(Label(host(one), Opinion.GOOD, "monitoring", 0.0) for one in labelled.monitors)
    with tempfile.TemporaryDirectory(prefix="nw-bench-") as directory:
        recording = Recording(record(Path(directory), inputs(labelled, settings, _DAYS)))
        started_s = time.process_time()
        swept = sweep_history(
            lambda kinds: recording.inputs(wanted=kinds), "sshd", settings, LogFilters(settings), labels
        )
        spent_s = time.process_time() - started_s
    proposal = swept.tuning.proposal
    if proposal is None:
        raise BenchmarkError(f"nothing is proposed: {'; '.join(swept.tuning.reasons)}")
    found = swept.found(proposal.point)
    text = f"{swept.events:,} events at {len(swept.tuning.scores)} points in {spent_s:.1f} s of CPU time"
    progress(f"{text}: {swept.written(proposal.point)}, confidence {swept.tuning.confidence}")
    share = len(found & labelled.offenders) / len(labelled.offenders)
    yield Figure("tune_offenders_found_percent", 100.0 * share, "%")
    yield Figure("tune_known_good_hit", len(found & (labelled.clients | labelled.monitors)), "sources")
