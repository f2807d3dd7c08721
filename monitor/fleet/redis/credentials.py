"""Reads the files that prove who we are: the password and the certificates."""

import os
import ssl
import stat
from pathlib import Path

from monitor.fleet.redis import loop_tls
from monitor.fleet.settings import FleetSettings

_MAX_PASSWORD_BYTES = 1024
_MAX_PEM_BYTES = 4 << 20
_OTHERS = stat.S_IROTH | stat.S_IWOTH


class CredentialError(Exception):
    """A file cannot be used; the text names it and says why."""


def read_password(path: str) -> str:
    """Return the first line of a file; CredentialError if there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise CredentialError(f"{path} is not a regular file")
            data = file.read(_MAX_PASSWORD_BYTES + 1)
    except OSError as error:
        raise CredentialError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > _MAX_PASSWORD_BYTES:
        raise CredentialError(f"{path} is larger than {_MAX_PASSWORD_BYTES} bytes: the password is its first line")
    try:
        password = data.decode().split("\n", 1)[0].rstrip("\r")
    except UnicodeDecodeError:
        raise CredentialError(f"{path} is not UTF-8") from None
    if not password:
        raise CredentialError(f"{path} is empty: the password is its first line")
    return password


def readable_by_others(path: str) -> str:
    """Return what is wrong with the permissions of a secret file; empty: nothing."""
    try:
        mode = Path(path).stat().st_mode
    except OSError:
        return ""
    return f"{path} can be read or written by every user of this machine: chmod 640 {path}" if mode & _OTHERS else ""


def make_tls(settings: FleetSettings) -> ssl.SSLContext:
    """Return the TLS settings, for asyncio; CredentialError names the file that cannot be used."""
    loop_tls.enable()
    for name in (settings.ca_file, settings.cert_file, settings.key_file):
        if name:
            _check_file(name)
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
    except (OSError, ValueError) as error:
        raise CredentialError(f"{settings.ca_file} cannot be used: {_reason(error)}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.cert_file:
        try:
            context.load_cert_chain(settings.cert_file, settings.key_file or None, password=_no_password)
        except (OSError, ValueError) as error:
            name = settings.key_file if _holds_certificate(settings.cert_file) else settings.cert_file
            raise CredentialError(f"{name or settings.cert_file} cannot be used: {_reason(error)}") from error
    return context


def _check_file(name: str) -> None:
    """Refuse what OpenSSL would not name, or read without an end."""
    try:
        status = Path(name).stat()
        if not stat.S_ISREG(status.st_mode):
            raise CredentialError(f"{name} is not a regular file")
        if status.st_size > _MAX_PEM_BYTES:
            raise CredentialError(f"{name} is larger than {_MAX_PEM_BYTES} bytes")
        Path(name).open("rb").close()
    except OSError as error:
        raise CredentialError(f"{name} cannot be read: {error.strerror}") from error


def _holds_certificate(name: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(name)
    except (OSError, ValueError):
        return False
    return True


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason.replace("_", " ").lower() if error.reason else "it is no certificate"
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _no_password() -> str:
    """Refuse keys that are encrypted: OpenSSL would ask a terminal."""
    raise ValueError("the key is encrypted; use one without a password that only the daemon can read")
