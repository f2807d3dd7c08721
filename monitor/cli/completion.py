"""What the shell offers for arguments: what the daemon knows, or nothing at all, and never an error."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import click
from click.shell_completion import CompletionItem

from monitor.cli.target import Target
from monitor.control.protocol import AllowList, ListBans, Request, Status
from monitor.model.bans import NOT_DETECTORS
from monitor.model.errors import NodewardenError
from monitor.model.printable import printable

_MOST = 500
"""Candidates: the shell shows all of them, so more are no help."""

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def detectors(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
    """Offer the names of detectors, and those of bans that no detector set."""
    known = [one["name"] for one in (_ask(context, Status()) or {}).get("detectors", ())]
    return _matching((*known, *NOT_DETECTORS), typed)


def banned(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
    """Offer networks that are banned or observed, newest first."""
    found = _ask(context, ListBans(observed=True, foreign=True)) or {}
    return _matching((one["network"] for one in found.get("bans", ())), typed)


def allowed(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
    """Offer networks that were allowed by command."""
    found = _ask(context, AllowList()) or []
    return _matching((one["network"] for one in found if one["reason"].startswith("allowed by command")), typed)


def filters(_context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
    """Offer the built-in filters; a path is completed by the shell."""
    from monitor.filters.library import built_in_names

    if typed.startswith(("/", ".")):
        return [CompletionItem(typed, type="file")]
    return _matching(built_in_names(), typed)


def _ask(context: click.Context, request: Request) -> Any:
    """Ask the daemon; None if it does not answer."""
    root = context.find_root()
    target = root.obj if isinstance(root.obj, Target) else Target(root.params.get("socket_path"))
    with suppress(NodewardenError, OSError):
        return target.ask(request)
    return None


def _matching(known: Iterable[str], typed: str) -> list[CompletionItem]:
    """Return what starts as typed; text that attackers chose, or that the shell would split, is left out."""
    fitting = (one for one in known if one.startswith(typed) and one == printable(one) and not set(one) & set(" ,\n"))
    return [CompletionItem(one) for one, _ in zip(dict.fromkeys(fitting), range(_MOST), strict=False)]
