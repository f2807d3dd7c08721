"""What the section refuses, and what the check of the configuration says of it."""

from pathlib import Path
from typing import Any

import pytest

from monitor.crowdsec.settings import MACHINE, ORIGIN_NAME, URL, CrowdsecSettings, is_of_lapi
from monitor.daemon.selfcheck.crowdsec_files import crowdsec_faults, used_files
from monitor.fleet.records import NODE_NAME
from monitor.model.addresses import parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import Ban, ClaimOrigin, Mode

KEYS: dict[str, Any] = {"bouncer_key_file": "/key"}


@pytest.mark.parametrize(
    "url", ["", "http://127.0.0.1:8080", "https://lapi.example.org", "http://[::1]:8080/", "https://h:1/path/"]
)
def test_urls_of_a_lapi(url: str) -> None:
    """With or without port and path."""
    assert URL.read(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "lapi",
        "ftp://h",
        "http://",
        "http://h:99999",
        "http://h:0",
        "http://user:secret@h:8080",
        "http://user@h",
        "http://h/?a=b",
        "http://h/#a",
        "http://h\r\nX: y",
        "http://h h",
        "http://[::1",
        "http://h" + "x" * 2000,
        "http://ö.example",
    ],
)
def test_what_is_no_url_of_a_lapi(url: str) -> None:
    """The message is short, and shows no password."""
    with pytest.raises(ValueError, match=r".") as raised:
        URL.read(url)
    assert "secret" not in str(raised.value)
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a,b", "-x", "x" * 100, "ä"])
def test_names_cannot_reach_into_a_request(name: str) -> None:
    """They are parts of URLs and of scenarios."""
    with pytest.raises(ValueError, match="is not"):
        ORIGIN_NAME.read(name)
    if name:
        with pytest.raises(ValueError, match="is not"):
            MACHINE.read(name)


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, set()),
        ({"push": True}, set()),
        ({"url": "http://h"}, {"bouncer_key_file"}),
        ({"url": "http://h", **KEYS}, set()),
        ({"url": "http://h", **KEYS, "push": True}, {"machine", "password_file"}),
        ({"url": "http://h", "pull": False, "push": True, "machine": "a", "password_file": "/p"}, set()),
    ],
)
def test_what_is_missing(given: dict[str, Any], missing: set[str]) -> None:
    """Only for what is on."""
    assert {one.keys[0] for one in CrowdsecSettings(**given).conflicts()} == missing


def test_the_check_says_who_else_can_read_the_key(tmp_path: Path) -> None:
    """By the file, and by the way to LAPI unless that is this machine; nothing while it is off."""
    key = tmp_path / "key"
    key.write_text("secret")
    key.chmod(0o644)
    found = {
        url: {(path, is_warning) for path, _, is_warning in crowdsec_faults(settings)}
        for url in ("", "http://127.0.0.1:1", "http://localhost:1", "http://192.0.2.1:1", "http://lapi.example")
        if (settings := CrowdsecSettings(url=url, bouncer_key_file=str(key)))
    }
    file, way = ("crowdsec.bouncer_key_file", True), ("crowdsec.url", True)
    assert found == {
        "": set(),
        "http://127.0.0.1:1": {file},
        "http://localhost:1": {file},
        "http://192.0.2.1:1": {file, way},
        "http://lapi.example": {file, way},
    }
    assert used_files(CrowdsecSettings(url="http://h", bouncer_key_file="/key", ca_file="/ca")) == ["/key"]


def test_claims_of_lapi_are_no_others() -> None:
    """A node of the fleet cannot have such a name, nor does what this node claims count."""
    import re

    claim = Ban(
        parse_network("203.0.113.7"), Strength.PROVEN, 0.0, 9.0, "crowdsec/lapi", "", Mode.ENFORCE, ClaimOrigin.PEER
    )
    assert is_of_lapi(claim)
    assert not re.fullmatch(NODE_NAME, "crowdsec/lapi")
    for origin, name in ((ClaimOrigin.PEER, "crowdsec"), (ClaimOrigin.DETECTOR, "crowdsec/lapi")):
        other = Ban(claim.network, claim.strength, 0.0, 9.0, name, "", Mode.ENFORCE, origin)
        assert not is_of_lapi(other)
