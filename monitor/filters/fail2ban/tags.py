"""`<tag>` in finished values: replaced by other options of the filter, as fail2ban does, nested ones too."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping

from monitor.filters.definition import FilterError
from monitor.filters.fail2ban.interpolation import MAX_VALUE_CHARS, Work

_TAG = re.compile(r"<([^ <>]+)>")
_MAX_SAME = 25
"""How often one tag may be replaced in one value: beyond that it leads in a circle."""
_MAX_PASSES = 50


def substitute(
    values: Mapping[str, str], ignored: Collection[str], look_up: Callable[[str], str | None], work: Work, file: str
) -> dict[str, str]:
    """Return the values with each tag replaced by the value of that name, or by what `look_up` returns for it.

    Tags that neither knows stay, such as `<HOST>`. `ignored` names are neither replaced nor looked into. A pass leaves
    `<a-<b>>` as `<a-x>`, so passes go on until nothing changes. FilterError names `file` and tells of circles.
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
    raise FilterError(f"{file}: tags nest too deep, or lead in a circle")


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
        """Replace what can be replaced from left to right; what a replacement brings is looked at too."""
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
            raise FilterError(f"{self._file}: the tag <{tag[:80]}> in {name} leads in a circle")
        found = self._tags.get(tag)
        return self._look_up(tag) if found is None else found
