"""The groups of an expression: which of them matter, and their values in a match."""

import re

from monitor.filters.joints import Joints, joints

FIELDS = ("mlfid", "nofail", "mlfforget", "mlfgained", "user", "ip4", "ip6", "dns", "fid", "cidr")
_ALTERNATIVE = re.compile(r"alt_(.+?)(?:_\d+)?")
CUT = ""
"""The value of an address that is only a part of a longer word: the line does not contain that address."""

Values = dict[str, str | None]
"""The text of the groups of a match: those of `FIELDS` that the expression has."""


class Groups:
    """The groups of one expression that have a meaning."""

    __slots__ = ("_addresses", "_alternatives", "_fields", "_numbers", "_single")

    def __init__(self, pattern: re.Pattern[str]) -> None:
        """Find the groups by their names."""
        groups = pattern.groupindex
        self._fields = tuple(name for name in FIELDS if name in groups)
        self._numbers = tuple(groups[name] for name in self._fields)
        self._addresses = tuple(
            (name, groups[name], joints(pattern, groups[name])) for name in ("ip4", "ip6") if name in groups
        )
        self._single = len(self._fields) == 1
        self._alternatives = sorted(
            (name, number, found[1]) for name, number in groups.items() if (found := _ALTERNATIVE.fullmatch(name))
        )

    def number(self, name: str) -> int:
        """Return the number of the group of this field; 0 if the expression has none."""
        return self._numbers[self._fields.index(name)] if name in self._fields else 0

    @property
    def alternatives(self) -> list[tuple[str, int]]:
        """The fields that other groups fill if they are empty, and the numbers of these groups, in their order."""
        return [(name, number) for _, number, name in self._alternatives]

    def sides(self, name: str) -> Joints:
        """Return what the expression names next to the group of this field, `ip4` or `ip6`."""
        return next((sides for field, _, sides in self._addresses if field == name), Joints())

    def values(self, match: re.Match[str]) -> Values:
        """Return the values of a match; `alt_` groups replace empty groups, and `CUT` stands for no address."""
        numbers = self._numbers
        if not numbers:
            values: Values = {}
        elif self._single:
            values = {self._fields[0]: match[numbers[0]]}
        else:
            values = dict(zip(self._fields, match.group(*numbers), strict=True))
        for name, number, sides in self._addresses:
            if values[name] and _is_cut(match, number, sides):
                values[name] = CUT
        for _, number, name in self._alternatives:
            if not values.get(name) and match[number]:
                values[name] = match[number]
        return values


def _is_cut(match: re.Match[str], number: int, sides: Joints) -> bool:
    """Whether the text around a group continues it, so that its address is only a part of another one or of a name.

    It does not where the expression itself names the character next to it.
    """
    text = match.string
    start, end = match.span(number)
    if text[start - 1 : start] == " " == text[end : end + 1]:  # as in most lines
        return False
    if start and ((before := text[start - 1]).isalnum() or before in "._") and not sides.before.expects(before):
        return True
    after = text[end : end + 2]
    if sides.after.expects(after[:1]) or sides.after.expects_port(text, end):
        return False
    if after[:1].isalnum() or after[:1] == "_":
        return True
    # A port may follow an IPv6 address if the expression allows it.
    joint = after[:1] == "." or (after[:1] == ":" and ":" in match[number] and match.end() == end)
    return joint and after[1:].isalnum()
