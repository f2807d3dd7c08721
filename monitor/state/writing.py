"""What the thread of the saver does: open the store and write."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from monitor.model.errors import TemporaryError
from monitor.state.changes import StateChanges
from monitor.state.store import Store


class Outcome(NamedTuple):
    """The result of the worker: the open store, None if it could not be opened or written."""

    store: Store | None
    opened: bool = False
    error: TemporaryError | None = None


def open_outcome(open_store: Callable[[Path], Store], path: Path) -> Outcome:
    """Open the store; an error is part of the outcome."""
    try:
        return Outcome(open_store(path), opened=True)
    except TemporaryError as error:
        return Outcome(None, error=error)


def save(
    open_store: Callable[[Path], Store],
    path: Path,
    store: Store | None,
    changes: StateChanges,
    purge: tuple[float, int] | None,
    durable: bool,  # noqa: FBT001 - passed on by the executor
) -> Outcome:
    """Write from the worker's thread; a store that fails is closed, so that the next attempt checks it again."""
    outcome = Outcome(store) if store else open_outcome(open_store, path)
    if outcome.store is None:
        return outcome
    try:
        if purge:  # first: deleting again is harmless if writing fails
            outcome.store.purge(*purge)
        outcome.store.write(changes, durable=durable)
    except TemporaryError as error:
        outcome.store.close()
        return Outcome(None, error=error)
    return outcome
