"""The definition of a filter before it is compiled: expressions in fail2ban's notation and their settings."""

import hashlib

import msgspec

from monitor.filters.evidence import EvidenceRule
from monitor.model.errors import NodewardenError


class FilterError(NodewardenError):
    """A filter cannot be used; the text gives file and line (if known) and the reason. Other filters keep working."""


class FilterDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """A filter with its parameters applied; the expressions still contain tags such as `<HOST>` and `<F-USER>`."""

    name: str
    failregex: tuple[str, ...]
    """Expressions for failures; the first one that matches counts."""
    ignoreregex: tuple[str, ...] = ()
    prefregex: str = ""
    """Must match first; the failregex are then matched against its `<F-CONTENT>`."""
    maxlines: int = 1
    """Maximum number of lines that an expression may span."""
    datepattern: str = ""
    """Position and format of the date; empty: the default templates are tried."""
    journalmatch: tuple[tuple[str, ...], ...] = ()
    """Matches as in journalctl(1), one per item: terms `FIELD=value`, and `+` for "or"."""
    files: tuple[str, ...] = ()
    """Where distributions keep this log; may contain patterns of glob(7)."""
    evidence: EvidenceRule = EvidenceRule()
    """Which lines prove who failed; by default none."""
    notes: tuple[str, ...] = ()
    """What could not be imported, one sentence each."""
    origin: str = ""
    """The file that the filter was read from."""

    @property
    def digest(self) -> str:
        """What tells whether it finds other lines than another filter."""
        finds = (self.failregex, self.ignoreregex, self.prefregex, self.maxlines, self.datepattern)
        return hashlib.sha256(msgspec.json.encode(finds)).hexdigest()[:16]
