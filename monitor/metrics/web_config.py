"""Reads a web configuration file as the Prometheus exporter toolkit defines it: TLS, and who may scrape.

Source: https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md. Cipher suites, curves,
HTTP/2 and further headers are not supported: a file that sets them is refused, so that nobody relies on them.
"""

import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec
import yaml

from monitor.model.errors import ConfigError

_MAX_FILE_BYTES = 1 << 20
_MAX_USERS = 256
_MAX_COST = 14
"""Of a password's hash, as the power of two: 14 takes about a second."""
_VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
Version = Literal["TLS10", "TLS11", "TLS12", "TLS13"]


class TlsServer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The section `tls_server_config`; relative paths start at the directory of the file."""

    cert_file: str
    key_file: str
    client_auth_type: Literal["NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"] = "NoClientCert"
    client_ca_file: str = ""
    min_version: Version = "TLS12"
    max_version: Version = "TLS13"


class WebConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file; `basic_auth_users` are names with bcrypt hashes of their passwords."""

    tls_server_config: TlsServer | None = None
    basic_auth_users: dict[str, str] = {}

    def files(self, directory: Path) -> list[Path]:
        """Return the files that it refers to."""
        tls = self.tls_server_config
        names = [tls.cert_file, tls.key_file, tls.client_ca_file] if tls else []
        return [directory / name for name in names if name]


def read_web_config(path: Path) -> WebConfig:
    """Read and check the file; ConfigError names the file and what to do."""
    _refuse_pipes([path], path)
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > _MAX_FILE_BYTES:
        raise ConfigError(f"{path} is larger than {_MAX_FILE_BYTES} bytes")
    try:
        config = msgspec.convert(yaml.safe_load(data) or {}, WebConfig)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError, LookupError, AttributeError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())[:300]}") from error
    _check(path, config)
    return config


def _check(path: Path, config: WebConfig) -> None:
    if len(config.basic_auth_users) > _MAX_USERS:
        raise ConfigError(f"{path}: more than {_MAX_USERS} users")
    for name, hashed in config.basic_auth_users.items():
        parts = hashed.split("$")
        if len(hashed) != 60 or len(parts) != 4 or parts[1] not in ("2a", "2b", "2y") or not parts[2].isdecimal():
            raise ConfigError(f"{path}: the password of {name!r} is no bcrypt hash; make one with `htpasswd -nB NAME`")
        if not 4 <= int(parts[2]) <= _MAX_COST:
            raise ConfigError(f"{path}: the cost of the hash of {name!r} is {parts[2]}, expected 4 to {_MAX_COST}")
    tls = config.tls_server_config
    if tls and (tls.client_auth_type != "NoClientCert") != bool(tls.client_ca_file):
        raise ConfigError(f"{path}: client_auth_type and client_ca_file belong together")


def make_context(path: Path, tls: TlsServer) -> ssl.SSLContext:
    """Return the TLS settings; ConfigError if certificate, key or authority cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    directory = path.parent
    _refuse_pipes(WebConfig(tls).files(directory), path)
    try:
        context.minimum_version, context.maximum_version = _VERSIONS[tls.min_version], _VERSIONS[tls.max_version]
        context.load_cert_chain(directory / tls.cert_file, directory / tls.key_file, password=_no_password)
        if tls.client_ca_file:
            context.load_verify_locations(directory / tls.client_ca_file)
            is_required = tls.client_auth_type == "RequireAndVerifyClientCert"
            context.verify_mode = ssl.CERT_REQUIRED if is_required else ssl.CERT_OPTIONAL
    except (OSError, ValueError) as error:
        files = ", ".join(name for name in (tls.cert_file, tls.key_file, tls.client_ca_file) if name)
        raise ConfigError(f"{path}: cannot use {files}: {error}") from error
    return context


def _refuse_pipes(files: Iterable[Path], path: Path) -> None:
    """Refuse what would be read without an end: Python and OpenSSL wait for the writer of a FIFO."""
    for file in files:
        if file.exists() and not file.is_file() and not file.is_dir():
            raise ConfigError(f"{path}: {file} is not a regular file")


def _no_password() -> str:
    """Refuse keys that are encrypted: OpenSSL would ask a terminal."""
    raise ValueError("the key is encrypted; use one without a password that only the daemon can read")
