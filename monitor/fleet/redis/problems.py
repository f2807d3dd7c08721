"""Everything that is wrong while the server answers, as the one text that the inbox takes."""

from monitor.fleet.engine import Inbox

_SHOWN = 5
_KEPT = 64


class Problems:
    """Texts by subject; the inbox hears of changes only."""

    def __init__(self, inbox: Inbox) -> None:
        """Nothing is wrong."""
        self._inbox = inbox
        self._texts: dict[str, str] = {}
        self._told = ""

    def set(self, subject: str, text: str) -> None:
        """Say what is wrong with a subject; empty: nothing any more."""
        if text and (subject in self._texts or len(self._texts) < _KEPT):
            self._texts[subject] = text
        elif not text:
            self._texts.pop(subject, None)
        self.tell()

    def tell(self, *, again: bool = False) -> None:
        """Hand on the texts if they changed; `again`: in any case."""
        texts = list(self._texts.values())
        more = f" (and {len(texts) - _SHOWN} more)" if len(texts) > _SHOWN else ""
        text = "; ".join(texts[:_SHOWN]) + more
        if again or text != self._told:
            self._told = text
            self._inbox.problem(text)
