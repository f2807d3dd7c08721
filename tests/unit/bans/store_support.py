"""What tests of the store share."""

import sqlite3
from pathlib import Path

import msgspec

from monitor.model.addresses import Network, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import Ban, Mode, Offence
from monitor.state.changes import Allowed, StateChanges
from monitor.state.store import Store
from monitor.state.tables import teach

NETWORK = parse_network("198.51.100.7")
BAN = Ban(NETWORK, Strength.SPOOFABLE, 1000.0, 4600.0, "port_scan", "15 distinct ports within 10.0 s")
OFFENCE = Offence(1000.0, NETWORK, "port_scan", Strength.SPOOFABLE, Mode.ENFORCE, 3600.0, 0, "15 ports", b"{}")


def changes(*items: Ban | Offence | Allowed) -> StateChanges:
    """Return changes that put all these."""
    result = StateChanges()
    for item in items:
        match item:
            case Ban():
                result.put_ban(item)
            case Offence():
                result.offences.append(item)
            case Allowed():
                result.allowed[item.network] = item
    return result


def fill(path: Path, count: int = 2000) -> None:
    """Make a store with so many bans, closed again."""
    store = Store.open(path)
    numbered = (Network(number.to_bytes(4), 32) for number in range(count))
    store.write(changes(*(msgspec.structs.replace(BAN, network=network) for network in numbered)))
    store.close()


def by_hand(path: Path, *statements: str) -> None:
    """Edit the file as somebody with a database shell would."""
    connection = sqlite3.connect(path)
    teach(connection)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def set_aside(path: Path, word: str) -> list[Path]:
    """Return the files that were renamed for this reason, without the logs beside them."""
    found = sorted(path.parent.glob(f"{path.name}.{word}-*"))
    return [file for file in found if not file.name.endswith(("-wal", "-shm"))]
