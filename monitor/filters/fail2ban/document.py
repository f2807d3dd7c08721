"""Merges ini files: later files win option by option, and replaced values stay available as `known/OPTION`."""

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
    """Sections with the raw text of their options."""

    def __init__(self, work: Work, *files: IniFile) -> None:
        """Merge files in this order; expanding their values counts as `work`."""
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
        """Return the names of all sections except `[DEFAULT]`, in order."""
        return tuple(name for name in self._sections if not name.startswith(_KNOWN))

    def own(self, section: str) -> Mapping[str, Option]:
        """Return the options of a section itself, without those of `[DEFAULT]`."""
        return self._sections.get(section, {})

    def add_known(self, section: str, values: Mapping[str, str]) -> None:
        """Make these finished values available in this section as `%(known/NAME)s`."""
        texts = {name: text.replace("%", "%%") for name, text in values.items() if not name.startswith("known/")}
        self._sections[section].update({f"known/{name}": Option(text) for name, text in texts.items()})

    def find(self, section: str, option: str, variables: Mapping[str, str] = NOTHING) -> str | None:
        """Return the expanded value of an option, also from `[DEFAULT]`; None if there is no such section or option.

        `variables` win over options of the same name. FilterError gives file and line of what cannot be expanded.
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
            raise FilterError(f"{found.location}: {option} of [{section[:80]}]: {error}") from None

    def _elsewhere(self, section: str, name: str) -> Option | None:
        """Return the option that `SECTION/OPTION`, `known/OPTION` or `default/OPTION` refers to."""
        scope, slash, option = name.partition("/")
        if not slash:
            return None
        if scope == "known":
            return self._sections.get(_KNOWN + section, {}).get(option) or self.defaults.get(option)
        if scope == "default":
            return self.defaults.get(option)
        named = self._sections.get(scope)
        return None if named is None else named.get(option) or self.defaults.get(option)

    def find_tag(self, section: str, tag: str, variables: Mapping[str, str]) -> str | None:
        """Return the value of the tag `<x>` or `<section/x>` in a section; None for a tag of expressions."""
        scope, slash, option = tag.partition("/")
        if slash and scope and option:
            sections = {"known": (_KNOWN + section, section), "default": ("DEFAULT",)}
            for name in sections.get(scope.lower(), (scope,)):
                value = self.find(name, option)
                if value is not None:
                    return value
        return self.find(section, tag, variables)
