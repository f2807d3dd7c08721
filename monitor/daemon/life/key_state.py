"""What a pipeline in the middle of a run knows: a recording repeats it where it starts.

Without it a replay from there would lack the bans in force, past offences and what detectors have counted. Windows are
those that a restart keeps, so what is not kept then (handshakes that prove a source, lines that wait to be judged, what
the kernel refused) is not known here either; it is learned anew within a minute or two.
"""

from collections.abc import Iterator
from itertools import islice

from monitor.daemon.life.saved_windows import counted_parts, encoded, policy_parts
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.recording.inputs import KnownService, Restored, SavedWindowOf
from monitor.recording.key_inputs import KeyState

_MAX_CLAIMS = 8192
_MAX_OF_WINDOW = 4096
_MAX_ROWS = 16_384
"""Of all windows together: taking them took the loop 9 ms, 50 ms the first time."""


def key_state(pipeline: Pipeline, now_s: float) -> KeyState:
    """Return what is in force and counted; too many bans are left out, and their number is given."""
    claims = list(islice(pipeline.ledger.all_claims(), _MAX_CLAIMS))
    services = [KnownService(*one) for one in pipeline.evidence.services.remembered()]
    windows = dict(_windows(pipeline, now_s))
    restored = Restored(now_s, claims, allowed=list(pipeline.added), windows=windows, services=services)
    return KeyState(now_s, restored, max(0, len(pipeline.ledger) - len(claims)))


def _windows(pipeline: Pipeline, now_s: float) -> Iterator[tuple[str, SavedWindowOf]]:
    left = _MAX_ROWS
    for name, kind, windows, _ in (*policy_parts(pipeline), *counted_parts(pipeline)):
        rows = [list(window.export(min(_MAX_OF_WINDOW, left))) for window in windows]
        if any(rows):
            left = max(0, left - sum(map(len, rows)))
            yield name, SavedWindowOf(now_s, encoded(kind, rows))
