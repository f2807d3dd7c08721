"""Which of several places have a message already, so that a repetition reaches only the others."""

from monitor.notify.message import Message


class Reached:
    """What of the current message has arrived. A channel sends one message at a time, so one is remembered."""

    def __init__(self) -> None:
        self._message: Message | None = None
        self._places: set[str] = set()

    def left(self, message: Message, places: tuple[str, ...]) -> tuple[str, ...]:
        """Return the places that do not have this message yet."""
        if self._message != message:
            self._message = message
            self._places = set()
        return tuple(place for place in places if place not in self._places)

    def add(self, place: str) -> None:
        """Note that a place has the current message, or will never take it."""
        self._places.add(place)
