"""What goes into `nodewarden import` and comes out of `nodewarden export`."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.cli.exchange import UnreadableFileError, as_nft, read_json, read_nft, read_plain
from monitor.control.protocol import RequestedBan

DEFAULT = RequestedBan("", 3600.0, "imported", set="ban")


def ban(network: str, word: str = "ban", left_s: float = 600.0) -> dict[str, Any]:
    """Return a ban as `list --json` shows it."""
    return {"network": network, "set": word, "until_s": time.time() + left_s, "left_s": left_s, "reason": "because"}


def test_plain_lists_have_comments() -> None:
    """An address a line; comments and empty lines are passed over, the rest is left to the daemon to judge."""
    text = "192.0.2.1\n# comment\n\n  2001:db8::/32  # why not\nnonsense\n"
    assert [one.network for one in read_plain(text, DEFAULT)] == ["192.0.2.1", "2001:db8::/32", "nonsense"]


def test_json_keeps_end_strength_and_reason() -> None:
    """What was exported comes back with its own time, set and reason; what has ended does not."""
    text = json.dumps([ban("192.0.2.1"), ban("192.0.2.2", "shun"), ban("192.0.2.3", left_s=-5.0), {"network": "::1"}])
    wanted = list(read_json(text, DEFAULT))
    assert [(one.network, one.set, one.reason) for one in wanted] == [
        ("192.0.2.1", "ban", "because"),
        ("192.0.2.2", "shun", "because"),
        ("::1", "ban", "imported"),
    ]
    assert wanted[0].bantime_s == pytest.approx(600.0, abs=5)
    assert wanted[2].bantime_s == 3600.0


@pytest.mark.parametrize("text", ["", "{", "7", '["x"]', '[{"until_s": 1}]', '[{"network": "x", "until_s": "soon"}]'])
def test_other_json_is_refused(text: str) -> None:
    """What is not such a list is one clear error."""
    with pytest.raises(UnreadableFileError, match="not the JSON"):
        list(read_json(text, DEFAULT))


def test_nft_listings_are_read() -> None:
    """A set as `nft list set` prints it: elements with and without times; definitions are passed over."""
    text = """table inet filter {
        set bad {
            type ipv4_addr
            flags timeout
            elements = { 192.0.2.1 timeout 1h expires 59m30s, 192.0.2.2,
                         192.0.2.3 timeout 2h }
        }
        chain input { type filter hook input priority 0; policy accept; }
    }"""
    assert [(one.network, one.bantime_s) for one in read_nft(text, DEFAULT)] == [
        ("192.0.2.1", 3570.0),
        ("192.0.2.2", 3600.0),
        ("192.0.2.3", 7200.0),
    ]


def test_nft_round_trip() -> None:
    """What is written for nft is read back, each family and kind in its own set."""
    bans = [ban("192.0.2.1"), ban("2001:db8::/56", "shun")]
    text = "\n".join(as_nft(bans))
    assert "add element inet nodewarden shun6_nets { 2001:db8::/56 timeout 600s }" in text
    assert [one.network for one in read_nft(text, DEFAULT)] == ["192.0.2.1", "2001:db8::/56"]


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """Hostile files raise nothing but the one error."""
    list(read_plain(text, DEFAULT))
    for read in (read_json, read_nft):
        try:
            list(read(text, DEFAULT))
        except UnreadableFileError:
            continue
