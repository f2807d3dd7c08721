"""The timeline of a demo."""

import time


class Story:
    """Prints the timeline and collects failed expectations."""

    def __init__(self) -> None:
        """Start now."""
        self._start_s = time.time()
        self.failures: list[str] = []

    def report(self, text: str, at_s: float | None = None) -> None:
        """Print one line of the timeline, at a moment of wall time or now."""
        offset_s = (time.time() if at_s is None else at_s) - self._start_s
        print(f"{offset_s:8.3f} s  {text}", flush=True)

    def expect(self, holds: bool, text: str) -> None:  # noqa: FBT001
        """Print an expectation and whether it was met."""
        self.report(f"{'OK   ' if holds else 'FAIL '} {text}")
        if not holds:
            self.failures.append(text)
