"""The tap: hands all that the pipeline is told to a recorder. A fault of the recorder costs no ban."""

import logging
from typing import Protocol

from monitor.daemon.pipeline.outside import Outside
from monitor.recording.inputs import Drew, Input, Refused

_log = logging.getLogger(__name__)


class Recorder(Protocol):
    """Takes inputs, in order. Called on the loop's thread: it must return at once, and work elsewhere."""

    def take(self, one: Input) -> None:
        """Keep an input. Its events are the pipeline's own and must not be changed."""


class Tap:
    """Between pipeline and recorder; without a recorder nothing is noted."""

    def __init__(self, outside: Outside) -> None:
        """`outside` notes what decisions depend on beside the inputs."""
        self._outside = outside
        self._recorder: Recorder | None = None
        self.errors = 0
        """How often the recorder failed; those inputs are not recorded."""

    @property
    def is_open(self) -> bool:
        """Whether there is a recorder."""
        return self._recorder is not None

    def open(self, recorder: Recorder | None) -> None:
        """Hand everything to this recorder from now on; None: to nobody."""
        self._recorder = recorder
        self._outside.is_noting = recorder is not None
        self._outside.take()

    def told(self, one: Input) -> None:
        """Hand an input on that was carried out, after what it met: the kernel's refusals, and random numbers."""
        refusals, numbers = self._outside.take()
        if refusals:
            self.hand(Refused(one.time_s, refusals))
        if numbers:
            self.hand(Drew(one.time_s, numbers))
        self.hand(one)

    def hand(self, one: Input) -> None:
        """Hand an input on."""
        if self._recorder is None:
            return
        try:
            self._recorder.take(one)
        except Exception:  # noqa: BLE001 - a recorder must never cost a ban
            if not self.errors:
                _log.exception("the recorder failed; bans are not affected, the recording lacks something")
            self.errors += 1
