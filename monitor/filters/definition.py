"""What a filter is, before anything is compiled: expressions in fail2ban's notation and what belongs to them."""

import msgspec

from monitor.model.errors import NodewardenError


class FilterError(NodewardenError):
    """A filter cannot be used; the text says where (file and line, where known) and why. The others go on."""


class FilterDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """A filter with all its parameters applied; the expressions still hold tags such as `<HOST>` and `<F-USER>`."""

    name: str
    failregex: tuple[str, ...]
    """What a failure looks like; the first expression that matches counts."""
    ignoreregex: tuple[str, ...] = ()
    prefregex: str = ""
    """Must match first; its `<F-CONTENT>` is what the failregex are held against."""
    maxlines: int = 1
    """How many lines an expression may span."""
    datepattern: str = ""
    """Where the date stands; empty: the default templates are tried."""
    journalmatch: tuple[tuple[str, ...], ...] = ()
    """Matches of journalctl(1), one a line: terms `FIELD=value`, and `+` for "or"."""
    files: tuple[str, ...] = ()
    """Where distributions keep this log; patterns of glob(7) are possible."""
    is_spoofable: bool = False
    """Whether others can cause such a line in the name of any address (UDP): then it proves nothing."""
    notes: tuple[str, ...] = ()
    """What could not be taken over, a sentence each."""
    origin: str = ""
    """The file it comes from."""
