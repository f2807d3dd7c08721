"""The frame that a segment starts with: what is in force, and what the run knows if there is room for it."""

from collections.abc import Sequence

import msgspec

from monitor.recording.inputs import Gap, Input, Restored, Started
from monitor.recording.segments import FrameEncoder
from monitor.recording.wire import encode


def key_frame(encoder: FrameEncoder, in_force: Sequence[Input], time_s: float, most_bytes: int) -> tuple[bytes, bool]:
    """Return the frame, and whether it says all that the run knows; a state beyond `most_bytes` is left out."""
    has_state = isinstance(in_force[0], Started) and in_force[0].has_state
    data = _encoded(encoder, in_force, time_s, has_state=has_state)
    if not has_state or len(data) <= most_bytes:
        return data, has_state
    return _encoded(encoder, _without_state(in_force), time_s, has_state=False), False


def _encoded(encoder: FrameEncoder, inputs: Sequence[Input], time_s: float, *, has_state: bool) -> bytes:
    rows = [encode(one) for one in inputs]
    return encoder.encode(rows, first_s=time_s, last_s=time_s, is_key=True, has_state=has_state)


def _without_state(in_force: Sequence[Input]) -> list[Input]:
    kept: list[Input] = []
    for one in in_force:
        match one:
            case Started():
                kept.append(msgspec.structs.replace(one, has_state=False))
            case Restored(allowed=allowed):
                kept += [Restored(one.time_s, allowed=allowed)] if allowed else []
            case Gap():
                continue
            case _:
                kept.append(one)
    return kept
