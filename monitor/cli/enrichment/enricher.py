"""What the options `--asn` and `--rdns` add to output: to JSON, to tables, and to text."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from monitor.cli.enrichment.registries import Registration, Registries, find
from monitor.cli.enrichment.reverse_dns import MOST, TIME_S, Claim, ReverseNames, Server, servers_of
from monitor.model.addresses import Address, Network, format_address, parse_address, parse_network
from monitor.model.parts import in_parts

_PART = 512
"""Items that are asked about together, and printed before the next ones are read."""
KEY = "enrichment"
"""What is added to each item of JSON."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


def options(*, rdns: bool = True) -> Callable[[_Command], _Command]:
    """Add the options that say what to look up; the command takes them as `**enrichment`."""

    def add(command: _Command) -> _Command:
        resolver = click.option(
            "--resolver",
            type=_SERVER,
            metavar="ADDRESS[#PORT]",
            help="With --rdns: ask this DNS server instead of those of /etc/resolv.conf.",
        )
        names = click.option(
            "--rdns",
            is_flag=True,
            help=f"Ask DNS what the addresses claim to be called: at most {MOST}, and for {TIME_S:g} s.",
        )
        files = click.option(
            "--mmdb",
            type=click.Path(path_type=Path),
            multiple=True,
            envvar="NODEWARDEN_MMDB",
            help="With --asn: a database of AS numbers or countries (.mmdb); may be repeated. "
            "Default: those in /usr/share/GeoIP and /var/lib/GeoIP.",
        )
        registered = click.option(
            "--asn", is_flag=True, help="Show the autonomous system and country that addresses are registered to."
        )
        if rdns:
            command = names(resolver(command))
        return registered(files(command))

    return add


class _Server(click.ParamType):  # type: ignore[type-arg]
    name = "server"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Server:
        """Read `192.0.2.1` or `192.0.2.1#5353`."""
        if isinstance(value, tuple):
            return value
        address, _, port = value.partition("#")
        try:
            if port and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 1 << 16):
                raise ValueError(f"{port!r} is not a port")  # noqa: TRY301
            return format_address(parse_address(address)), int(port or 53)
        except (OSError, ValueError) as error:
            self.fail(str(error), param, ctx)


_SERVER = _Server()


class Enricher:
    """Looks up what a command was asked to show; used as a context, whose end says what was not found out."""

    def __init__(
        self,
        *,
        asn: bool = False,
        mmdb: tuple[Path, ...] = (),
        rdns: bool = False,
        resolver: Server | None = None,
    ) -> None:
        """Take the options; UsageError for some that need others."""
        if mmdb and not asn and click.get_current_context().get_parameter_source("mmdb") is _GIVEN:
            raise click.UsageError("--mmdb is for --asn")
        if resolver and not rdns:
            raise click.UsageError("--resolver is for --rdns")
        self._registries: Registries | None = None
        self._missing: list[str] = []
        if asn:
            paths = list(mmdb) or find()
            self._registries = Registries(paths, is_chosen=bool(mmdb)) if paths else None
            if not paths:  # then nothing is looked up, and nothing says that an address is in no database
                self._missing.append(
                    "no database of AS numbers: install one (geoipupdate; DB-IP or IPinfo lite) or give --mmdb FILE"
                )
        self._names = ReverseNames([resolver] if resolver else servers_of()) if rdns else None

    @property
    def is_asked(self) -> bool:
        """Whether anything is to be looked up."""
        return bool(self.columns or self._missing)

    @property
    def columns(self) -> tuple[str, ...]:
        """The heads of the columns that a table has more."""
        return (("REGISTERED TO",) if self._registries else ()) + (("CLAIMS TO BE",) if self._names else ())

    def cells(self, item: dict[str, Any]) -> tuple[str, ...]:
        """Return the cells of these columns."""
        if not self.columns:
            return ()
        found = item[KEY]
        registered = (registered_text(found),) if self._registries else ()
        return registered + ((claim_text(found),) if self._names else ())

    def enrich(self, items: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
        """Yield each item with what is known of its `network`; the items themselves if nothing was asked for."""
        return self._enriched(items) if self.columns else items

    def _enriched(self, items: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for part in in_parts(items, _PART):
            networks = [_network(item["network"]) for item in part]
            claims = self._claims(networks)
            for item, network in zip(part, networks, strict=True):
                yield item | {KEY: self._found(network, claims)}

    def _claims(self, networks: Iterable[Network | None]) -> dict[Address, Claim]:
        if self._names is None:
            return {}
        return self._names.claims(one.address for one in networks if one and one.is_host)

    def _found(self, network: Network | None, claims: dict[Address, Claim]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self._registries:
            known = self._registries.look_up(network) if network else Registration()
            found |= {"asn": known.asn or None, "as_name": known.as_name, "country": known.country}
            found |= {"is_first_address": True} if known.is_partial else {}
        if self._names:
            claim = claims.get(network.address, Claim()) if network and network.is_host else Claim()
            found |= {"claimed_name": claim.name, "is_claim_confirmed": claim.is_confirmed}
        return found

    def faults(self) -> list[str]:
        """Close the databases; return what could not be used, so that what was asked for is not shown."""
        if self._registries is None:
            return self._missing
        self._registries.close()
        return self._missing + self._registries.faults

    def notes(self) -> list[str]:
        """Return what was not found out for lack of time or of an answer."""
        if self._names is None:
            return []
        late, silent = self._names.not_asked, self._names.unanswered
        return [
            *([f"addresses whose name DNS did not answer: {silent}"] if silent else []),
            *([f"{late} addresses were not asked for: at most {MOST}, and for {TIME_S:g} s"] if late else []),
        ]


_GIVEN = click.core.ParameterSource.COMMANDLINE


def _network(text: str) -> Network | None:
    """Return a network; None for what is none, such as a range of addresses."""
    try:
        return parse_network(text)
    except ValueError:
        return None


def registered_text(found: dict[str, Any]) -> str:
    """Write number, name and country; `not known` if nothing is."""
    return str(
        Registration(
            asn=found["asn"] or 0,
            as_name=found["as_name"],
            country=found["country"],
            is_partial=found.get("is_first_address", False),
        )
    )


def claim_text(found: dict[str, Any]) -> str:
    """Write the name, and what its own addresses say of that."""
    name = found["claimed_name"]
    if not name:
        return "" if name is None else "no name"
    confirmed = found["is_claim_confirmed"]
    return f"{name} ({'not checked' if confirmed is None else 'confirmed' if confirmed else 'not confirmed'})"
