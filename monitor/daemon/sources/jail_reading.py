"""What fail2ban's configuration says apart from single detectors: which jails there are, and what they ignore."""

from collections.abc import Sequence
from pathlib import Path

from monitor.daemon.sources.jail_sections import jail_network
from monitor.filters.fail2ban.jails import Jail, read_jails
from monitor.model.bans import AllowEntry
from monitor.settings.detectors import DETECTOR_NAMES


class JailReading:
    """One reading of a directory such as /etc/fail2ban; FilterError if there is no configuration of fail2ban."""

    def __init__(self, directory: Path) -> None:
        """Read it."""
        configuration = read_jails(directory)
        self.files = configuration.files
        self.fault = "; ".join(configuration.faults)
        """What is wrong with it as a whole."""
        self.notes: list[str] = [f"fail2ban: {note}" for note in configuration.notes]
        self.allowlist: list[AllowEntry] = []
        """What jails ignore."""
        self.misnamed: dict[str, str] = {}
        """Jails whose names no detector may have, with what is wrong."""
        self._allow("fail2ban", configuration.ignoreip)
        for jail in configuration.jails:
            self._allow(f"jail {jail.name}", [text for text in jail.ignoreip if text not in configuration.ignoreip])
        self.jails: tuple[Jail, ...] = tuple(jail for jail in configuration.jails if self._is_named_well(jail.name))
        """Those that may have a detector."""

    def _allow(self, whose: str, ignoreip: Sequence[str]) -> None:
        """Protect what fail2ban ignores; names are never resolved."""
        known = {entry.network for entry in self.allowlist}
        for text in ignoreip:
            try:
                network = jail_network(text)
            except ValueError:
                self.notes.append(f"{whose}: ignoreip {text!r} is no address: put its addresses into bans.allowlist")
                continue
            if network not in known:
                known.add(network)
                self.allowlist.append(AllowEntry(network, f"ignoreip of {whose}"))

    def _is_named_well(self, name: str) -> bool:
        wrong = DETECTOR_NAMES.check(name)
        if name == "recidive":
            self.notes.append("jail recidive is passed over: bans.recidive does what it does")
        elif wrong:
            self.misnamed[name] = f"the jail's name cannot be a detector's: {wrong}"
        return not wrong
