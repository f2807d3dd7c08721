"""The native extension, built from native/."""

INTERFACE: int

class GaveUp(Exception):  # noqa: N818 - what happened
    """A match took too many steps, or too many places to go back to."""

class Program:
    """A program of the matcher (`monitor.filters.program.compile_program`), which never changes."""

    def __new__(cls, words: bytes) -> Program:
        """Verify and take the words; ValueError if they are no program."""

    def match(self, text: bytes, start: int = 0, max_steps: int = 20_000) -> tuple[int, ...] | None:
        """Match at `start` as `re.Pattern.match(text, start)` does; return start and end of each group, -1: none.

        `text` is ASCII and not empty (ValueError). None: no match. GaveUp: Python must decide.
        """
