"""The files that section `fleet` refers to: password and certificates."""

from collections.abc import Iterator
from pathlib import Path

from monitor.daemon.selfcheck.references import Finding, why_not_for_service
from monitor.daemon.selfcheck.unencrypted import is_loopback
from monitor.fleet.redis.address import read_address
from monitor.fleet.redis.credentials import CredentialError, make_tls, read_password, readable_by_others
from monitor.fleet.settings import FleetSettings

_TLS_FILES = ("ca_file", "cert_file", "key_file")
_SECRETS = ("password_file", "key_file")


def fleet_findings(settings: FleetSettings, root: Path) -> Iterator[Finding]:
    """Yield what keeps the daemon from proving to the server who it is; there is a URL."""
    named = {name: path for name in ("password_file", *_TLS_FILES) if (path := getattr(settings, name))}
    for name, path in named.items():
        if why := why_not_for_service(root / path.lstrip("/")):
            yield Finding(f"fleet.{name}", f"{path}: {why}", is_warning=True)
        if name in _SECRETS and (text := readable_by_others(path)):
            yield Finding(f"fleet.{name}", text, is_warning=True)
    if settings.password_file:
        yield from _password(settings.password_file)
    yield from _tls(settings, [name for name in _TLS_FILES if name in named])
    address = read_address(settings.url)
    if not address.is_tls and any(not one.path and not is_loopback(one.host) for one in address.seeds):
        text = "is not encrypted: everybody on the way can read the password and the bans; use rediss:// or a tunnel"
        yield Finding("fleet.url", text, is_warning=True)


def _password(path: str) -> Iterator[Finding]:
    try:
        read_password(path)
    except CredentialError as error:
        yield Finding("fleet.password_file", str(error))


def _tls(settings: FleetSettings, named: list[str]) -> Iterator[Finding]:
    if bool(settings.cert_file) != bool(settings.key_file):
        has, lacks = ("cert_file", "key_file") if settings.cert_file else ("key_file", "cert_file")
        yield Finding(f"fleet.{has}", f"needs fleet.{lacks} as well: a certificate and its key belong together")
        return
    if named and not read_address(settings.url).is_tls:
        yield Finding(f"fleet.{named[0]}", "is not used, since fleet.url has no TLS: write rediss://")
        return
    if named:
        try:
            make_tls(settings)
        except CredentialError as error:
            broken = next((name for name in named if getattr(settings, name) in str(error)), named[0])
            yield Finding(f"fleet.{broken}", str(error))
