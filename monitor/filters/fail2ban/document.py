"""Several ini files as one: later ones win option by option, and what they replaced is still `known`."""

import re
from collections import ChainMap
from collections.abc import Mapping

from monitor.filters.definition import FilterError
from monitor.filters.fail2ban.ini import IniFile, Option, Section
from monitor.filters.fail2ban.interpolation import Work, interpolate

NOTHING: Mapping[str, str] = {}
_CONDITIONAL = re.compile(r"(\w+)(\?.+)")
_KNOWN = "KNOWN/"


class Document:
    """Sections of options, with the raw text of each."""

    def __init__(self, work: Work, *files: IniFile) -> None:
        """Merge files in this order; expanding their values is counted as `work`."""
        self.work = work
        self.defaults: Section = {}
        self._sections: dict[str, Section] = {}
        for file in files:
            self._merge(file)

    def _merge(self, file: IniFile) -> None:
        self.defaults.update(file.defaults)
        for name, section in file.sections.items():
            condition = _CONDITIONAL.fullmatch(name)
            if condition:
                self._update(condition[1], {option + condition[2]: value for option, value in section.items()})
            else:
                self._update(name, section)

    def _update(self, name: str, section: Section) -> None:
        present = self._sections.get(name)
        if present is None:
            self._sections[name] = dict(section)
            return
        replaced = {option: value for option, value in present.items() if option in section}
        self._sections.setdefault(_KNOWN + name, {}).update(replaced)
        present.update(section)

    def sections(self) -> tuple[str, ...]:
        """Return the names of all sections but `[DEFAULT]`, in order."""
        return tuple(name for name in self._sections if not name.startswith(_KNOWN))

    def own(self, section: str) -> Mapping[str, Option]:
        """Return the options that a section itself holds, without those of `[DEFAULT]`."""
        return self._sections.get(section, {})

    def add_known(self, section: str, values: Mapping[str, str]) -> None:
        """Let `%(known/x)s` in this section stand for these finished values."""
        texts = {name: text.replace("%", "%%") for name, text in values.items() if not name.startswith("known/")}
        self._sections[section].update({f"known/{name}": Option(text) for name, text in texts.items()})

    def find(self, section: str, option: str, variables: Mapping[str, str] = NOTHING) -> str | None:
        """Return the expanded value of an option, also out of `[DEFAULT]`; None if there is no such section or option.

        `variables` win over options of the same name. FilterError names the place of what cannot be expanded.
        """
        own = {} if section == "DEFAULT" else self._sections.get(section)
        if own is None:
            return None
        self.work.spend(len(variables) * 8)
        given = {name.lower(): Option(text) for name, text in variables.items()}
        scope = ChainMap(given, own, self.defaults)
        found = scope.get(option.lower())
        if found is None:
            return None

        def look_up(name: str) -> str | None:
            if name == "__name__":
                return section
            value = scope.get(name) or self._elsewhere(section, name)
            return None if value is None else value.text

        try:
            return interpolate(found.text, look_up, self.work)
        except FilterError as error:
            raise FilterError(f"{found.place}: {option} of [{section[:80]}]: {error}") from None

    def _elsewhere(self, section: str, name: str) -> Option | None:
        """Return what `SECTION/OPTION`, `known/OPTION` or `default/OPTION` stands for."""
        place, slash, option = name.partition("/")
        if not slash:
            return None
        if place == "known":
            return self._sections.get(_KNOWN + section, {}).get(option) or self.defaults.get(option)
        if place == "default":
            return self.defaults.get(option)
        named = self._sections.get(place)
        return None if named is None else named.get(option) or self.defaults.get(option)

    def find_tag(self, section: str, tag: str, variables: Mapping[str, str]) -> str | None:
        """Return what the tag `<x>` or `<section/x>` stands for, seen from a section; None for a tag of expressions."""
        place, slash, option = tag.partition("/")
        if slash and place and option:
            places = {"known": (_KNOWN + section, section), "default": ("DEFAULT",)}
            for name in places.get(place.lower(), (place,)):
                value = self.find(name, option)
                if value is not None:
                    return value
        return self.find(section, tag, variables)
