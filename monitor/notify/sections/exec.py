"""The settings of commands that deliver messages."""

import os
from collections.abc import Iterable, Iterator
from typing import Annotated

from msgspec import Meta, field

from monitor.config.kinds import duration, text
from monitor.config.shapes import Conflict
from monitor.notify.registration import Registration
from monitor.notify.sections.base import ChannelSettings

_MAX_ARGUMENTS = 64


class ExecSettings(ChannelSettings, frozen=True, kw_only=True):
    """Messages given to a command."""

    command: Annotated[
        tuple[Annotated[str, text(4096)], ...],
        Meta(
            description="The program and its arguments, a list: no shell reads it, and nothing of a message becomes an "
            "argument. It gets the message as JSON on its standard input. It ends with 0 if it delivered it, 75 if it "
            "is to be tried again; anything else means refused."
        ),
    ] = ()
    timeout_s: Annotated[
        float,
        duration("1s", "60s"),
        Meta(description="How long it may run; then it is killed, with all that it started."),
    ] = field(default=15.0, name="timeout")

    def conflicts(self) -> Iterable[Conflict]:
        """Refuse a command that is none."""
        if not self.command or not self.command[0].startswith("/"):
            yield Conflict(("command",), "the first entry is the absolute path of a program")
        if len(self.command) > _MAX_ARGUMENTS:
            yield Conflict(("command",), f"at most {_MAX_ARGUMENTS} arguments")


def _findings(section: ExecSettings) -> Iterator[tuple[str, str]]:
    if section.command and not os.access(section.command[0], os.X_OK):
        yield "command", f"{section.command[0]} is no program that can be run"


CHANNEL = Registration(
    kind="exec",
    settings=ExecSettings,
    summary="Gives messages to commands of yours, as JSON on standard input.",
    implementation="monitor.notify.channels.exec:ExecChannel",
    order=50,
    findings=_findings,
)
