"""Replaces `<tag>` in finished values by other options of the filter, as fail2ban does, also nested ones."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping

from monitor.filters.definition import FilterError
from monitor.filters.fail2ban.interpolation import MAX_VALUE_CHARS, Work

_TAG = re.compile(r"<([^ <>]+)>")
_MAX_SAME = 25
"""How often one tag may be replaced in one value; more often means a cycle."""
_MAX_PASSES = 50


def substitute(
    values: Mapping[str, str], ignored: Collection[str], look_up: Callable[[str], str | None], work: Work, file: str
) -> dict[str, str]:
    """Return the values with each tag replaced by the value of that name, or by what `look_up` returns for it.

    Unknown tags such as `<HOST>` stay. Values of `ignored` names stay unchanged, and their tags are not replaced. One
    pass turns `<a-<b>>` into `<a-x>`, so passes repeat until nothing changes. FilterError names `file` on a cycle.
    """
    tags = dict(values)
    replacer = _Replacer(tags, ignored, look_up, work, file)
    for _ in range(_MAX_PASSES):
        again = False
        for name, before in tags.items():
            if name in ignored or "<" not in before:
                continue
            after = replacer.replace(name, before)
            if after != before:
                tags[name] = after
                again = again or _TAG.search(after) is not None
        if not again:
            return tags
    raise FilterError(f"{file}: tags are nested too deeply, or form a cycle")


class _Replacer:
    def __init__(
        self,
        tags: Mapping[str, str],
        ignored: Collection[str],
        look_up: Callable[[str], str | None],
        work: Work,
        file: str,
    ) -> None:
        self._file = file
        self._tags = tags
        self._ignored = ignored
        self._look_up = look_up
        self._work = work
        self._counts: dict[str, Counter[str]] = {}

    def replace(self, name: str, value: str) -> str:
        """Replace tags from left to right; tags inside a replacement are replaced too."""
        counts = self._counts.setdefault(name, Counter())
        self._work.spend(len(value))
        match = _TAG.search(value)
        while match:
            tag = match[1]
            replacement = None if tag in self._ignored else self._replacement(name, tag, counts)
            if replacement is None:
                match = _TAG.search(value, match.end())
                continue
            self._work.spend(len(value) + len(replacement))
            times = value.count(match[0])
            if len(value) + times * len(replacement) > MAX_VALUE_CHARS * 2:
                raise FilterError(f"{self._file}: {name} becomes too long when its tags are replaced")
            value = value.replace(match[0], replacement)
            counts[tag] += 1
            match = _TAG.search(value, match.start())
        if len(value) > MAX_VALUE_CHARS:
            raise FilterError(f"{self._file}: {name} becomes longer than {MAX_VALUE_CHARS} characters by its tags")
        return value

    def _replacement(self, name: str, tag: str, counts: Counter[str]) -> str | None:
        if tag == name or counts[tag] > _MAX_SAME:
            raise FilterError(f"{self._file}: the tag <{tag[:80]}> in {name} forms a cycle")
        found = self._tags.get(tag)
        return self._look_up(tag) if found is None else found
