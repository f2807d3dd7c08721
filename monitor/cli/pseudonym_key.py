"""The key of pseudonyms: read from a file, or made."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from monitor.cli import show
from monitor.model.errors import ConfigError, NodewardenError, explain

_KEY_BYTES = 32
_MAX_KEY_BYTES = 4096


class KeyFileError(NodewardenError):
    """The file of a key can be neither read nor made; the message is for the operator."""


def under_pseudonyms(key_path: Path, node: str) -> tuple[Callable[[Any], Any], str]:
    """Return what maps inputs by the key in a file, and the node's name under it.

    ConfigError if the file holds no key; KeyFileError if it can be neither read nor made.
    """
    from monitor.model.addresses import parse_network
    from monitor.node.addresses import OWN_ADDRESS
    from monitor.node.kubernetes import POD_NETWORK
    from monitor.recording.anonymous import Anonymous
    from monitor.recording.pseudonyms import Pseudonyms
    from monitor.settings.presets import presets

    public = [parse_network(network) for preset in presets().values() for network in preset.networks]
    key = _key(key_path)
    if len(key) > _MAX_KEY_BYTES:
        raise ConfigError(f"{key_path} has more than {_MAX_KEY_BYTES} bytes: is it a key?")
    try:
        pseudonyms = Pseudonyms(key, public)
    except ValueError as error:
        raise ConfigError(f"{key_path}: {error}") from None
    return Anonymous(pseudonyms, (OWN_ADDRESS, POD_NETWORK)).input, pseudonyms.word("node", node)


def _key(path: Path) -> bytes:
    """Return the key in a file; make one where there is no file."""
    try:
        with path.open("rb") as file:
            return file.read(_MAX_KEY_BYTES + 1)
    except FileNotFoundError:
        key = secrets.token_bytes(_KEY_BYTES)
    except OSError as error:
        raise KeyFileError(f"{path}: {explain(error)}") from None
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
    except OSError as error:
        raise KeyFileError(f"{path}: {explain(error)}") from None
    show.say(f"made a new key: {path}", err=True)
    return key
