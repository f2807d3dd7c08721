"""How long commands work before the loop does its other work: sources, other commands, the tick."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from monitor.daemon.control.listing import Page, step

_TURNS = 8


async def in_slices(slices: Iterable[Callable[[], list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    """Carry an order out, with the loop's other work between its slices."""
    answers = []
    for part in slices:
        answers += part()
        await let_others_work()
    return answers


async def in_steps(page: Page) -> dict[str, Any]:
    """Do the work of a page, with the loop's other work between its steps."""
    while (result := step(page)) is None:
        await let_others_work()
    return result


async def let_others_work() -> None:
    """Leave the loop to others for as many turns as a command takes from its connection to its reply."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)
