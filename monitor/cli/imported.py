"""Commands of a group, each imported when it is asked for: some need much of the daemon."""

import importlib
from collections import UserDict
from collections.abc import Mapping

import click


class Imported(UserDict[str, click.Command]):
    """Commands by name; they are in modules of this package."""

    def __init__(self, places: Mapping[str, tuple[str, str]]) -> None:
        """Take by command its module and its name there."""
        super().__init__()
        self._places = places
        self.data |= dict.fromkeys(places)  # type: ignore[arg-type]  # None: not imported yet

    def __getitem__(self, name: str) -> click.Command:
        """Return a command."""
        if self.data[name] is None:
            module, attribute = self._places[name]
            self.data[name] = getattr(importlib.import_module(f"monitor.cli.{module}"), attribute)
        return self.data[name]
