"""What section `crowdsec` refers to: files with a key, a password and certificates."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from monitor.crowdsec.settings import CrowdsecSettings
from monitor.daemon.selfcheck.unencrypted import is_loopback


def crowdsec_faults(settings: CrowdsecSettings) -> Iterator[tuple[str, str, bool]]:
    """Yield key, text, and whether it is only a warning, for each fault; nothing while nothing is exchanged."""
    if not (settings.pulls or settings.pushes):
        return
    from monitor.crowdsec.errors import LapiError
    from monitor.crowdsec.secrets import make_context, read_secret, why_not_secret

    secrets = {"bouncer_key_file": settings.pulls, "password_file": settings.pushes}
    for key in (key for key, is_used in secrets.items() if is_used and getattr(settings, key)):
        path = getattr(settings, key)
        try:
            read_secret(path)
        except LapiError as error:
            yield f"crowdsec.{key}", str(error), False
        else:
            if text := why_not_secret(path):
                yield f"crowdsec.{key}", text, True
    url = urlsplit(settings.url)
    if url.scheme == "https":
        try:
            make_context(settings.ca_file)
        except LapiError as error:
            yield "crowdsec.ca_file", str(error), False
    elif not is_loopback(url.hostname or ""):
        text = f"{settings.url} is not encrypted: whoever is on the way can read the key and order bans"
        yield "crowdsec.url", text, True


def used_files(settings: CrowdsecSettings) -> list[str]:
    """Return the files that the daemon reads while it runs."""
    used = {
        settings.bouncer_key_file: settings.pulls,
        settings.password_file: settings.pushes,
        settings.ca_file: settings.url.startswith("https:"),
    }
    return [path for path, is_used in used.items() if path and is_used]
