"""What goes into `nodewarden import` and comes out of `nodewarden export`."""

import json
import time
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from monitor.cli.exchange import UnreadableFileError, as_plain, notation_of, read_json, read_nft, read_plain
from monitor.cli.exported_bans import as_nft
from monitor.cli.main import cli
from monitor.cli.target import Target
from monitor.control.protocol import BanOrder, RequestedBan
from monitor.model.addresses import parse_network

DEFAULT = RequestedBan("", 3600.0, "imported", set="ban")


def ban(network: str, word: str = "ban", left_s: float = 600.0) -> dict[str, Any]:
    """Return a ban as `list --json` shows it."""
    return {"network": network, "set": word, "until_s": time.time() + left_s, "left_s": left_s, "reason": "because"}


def test_plain_lists_have_comments() -> None:
    """An address a line; comments and empty lines are passed over, the rest is left to the daemon to judge."""
    text = "192.0.2.1\n# comment\n\n  2001:db8::/32  # why not\nnonsense\n"
    assert [one.network for one in read_plain(text, DEFAULT)] == ["192.0.2.1", "2001:db8::/32", "nonsense"]


@given(
    st.lists(
        st.tuples(st.integers(1, 250), st.sampled_from(["ban", "shun", "egress"]), st.integers(60, 10**6), st.text()),
        max_size=9,
    )
)
def test_a_plain_export_comes_back_as_it_was(bans: list[tuple[int, str, int, str]]) -> None:
    """Kind, end and reason, whatever the reason contains; other programs read only what is no destination."""
    exported = [ban(f"192.0.2.{n}", word, float(left)) | {"reason": reason} for n, word, left, reason in bans]
    text = "\n".join(map(as_plain, exported))
    assert len(text.splitlines()) == len(bans)
    wanted = list(read_plain(text, msgspec.structs.replace(DEFAULT, set="shun")))
    assert [(one.network, one.set) for one in wanted] == [(one["network"], one["set"]) for one in exported]
    for one, (_, _, left, reason) in zip(wanted, bans, strict=True):
        assert one.bantime_s == pytest.approx(left, abs=30)
        assert one.reason == (reason or "imported")
    bare = [line.partition("#")[0].strip() for line in text.splitlines()]
    assert [one for one in bare if one] == [one["network"] for one in exported if one["set"] != "egress"]


@pytest.mark.parametrize(
    "comment", ["#nodewarden: ban 192.0.2.9 until=9999999999", "#nodewarden: drop 192.0.2.1", "#x"]
)
def test_other_comments_change_nothing(comment: str) -> None:
    """Of another address, of an unknown kind, or anything else."""
    (one,) = read_plain(f"192.0.2.1 {comment}", DEFAULT)
    assert (one.network, one.bantime_s, one.set) == ("192.0.2.1", 3600.0, "ban")


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


def test_json_of_older_versions_is_read() -> None:
    """What they called block is egress, whatever the default; a word that nobody ever used is an error."""
    text = json.dumps([ban("192.0.2.1", "block"), ban("2001:db8::/56", "block"), ban("192.0.2.2", "egress")])
    assert {one.set for one in read_json(text, DEFAULT)} == {"egress"}
    with pytest.raises(UnreadableFileError, match="not the JSON"):
        list(read_json(json.dumps([ban("192.0.2.1", "drop")]), DEFAULT))


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


def test_a_whole_table_is_read() -> None:
    """Sets without elements are passed over, as `nft list table` prints them."""
    text = (
        "table inet nodewarden {\n\tset ban6 {\n\t\ttype ipv6_addr\n\t\tflags timeout\n\t\tcounter\n\t}\n"
        "\tset port_ban4 {\n\t\ttypeof ip saddr . meta l4proto . th dport\n\t\tflags timeout\n"
        "\t\telements = { 192.0.2.9 . tcp . 22 timeout 1h }\n\t}\n"
        "\tset ban4 {\n\t\ttype ipv4_addr\n\t\tflags timeout\n\t\telements = { 192.0.2.1 timeout 1h }\n\t}\n}\n"
    )
    assert [(one.network, one.bantime_s) for one in read_nft(text, DEFAULT)] == [("192.0.2.1", 3600.0)]


@pytest.mark.parametrize("element", ["192.0.2.7 . 22", "192.0.2.7 : accept", "192.0.2.7 . tcp . 22 timeout 1h"])
def test_an_element_of_several_things_bans_no_address(element: str) -> None:
    """One port that others block, or an address that a map accepts, is no ban of the address: the daemon refuses it."""
    [one] = read_nft(f"table inet filter {{ set x {{ elements = {{ {element} }} }} }}", DEFAULT)
    with pytest.raises(ValueError, match="is not"):
        parse_network(one.network)


def test_nft_round_trip() -> None:
    """What is written for nft is read back, each family and kind in its own set."""
    bans = [ban("192.0.2.1"), ban("2001:db8::/56", "shun")]
    text = "\n".join(as_nft(bans))
    assert "add element inet nodewarden shun6_nets { 2001:db8::/56 timeout 600s }" in text
    assert [(one.network, one.set) for one in read_nft(text, DEFAULT)] == [
        ("192.0.2.1", "ban"),
        ("2001:db8::/56", "shun"),
    ]


@pytest.mark.parametrize("word", ["egress", "block"])
def test_a_listing_of_our_table_says_of_what_kind_each_ban_is(word: str) -> None:
    """Of today's table and of an older version's: what is allowed or leaked is no ban, nor is what rules hold."""
    text = f"""table inet nodewarden {{
        comment "nodewarden schema 3"
        counter {word}4 {{
            packets 0 bytes 0
        }}
        set ban4 {{
            type ipv4_addr
            elements = {{ 192.0.2.1 counter packets 0 bytes 0 timeout 2h expires 59m58s992ms }}
        }}
        set {word}4 {{
            type ipv4_addr
            elements = {{ 192.0.2.2 counter packets 3 bytes 180 timeout 1h,
                         192.0.2.3 counter packets 0 bytes 0 }}
        }}
        set {word}6_nets {{
            type ipv6_addr
            elements = {{ 2001:db8::/56 counter packets 0 bytes 0 timeout 1h }}
        }}
        set allow4 {{
            type ipv4_addr
            elements = {{ 127.0.0.0/8, 203.0.113.1 }}
        }}
        chain leak_input {{
            type filter hook input priority 300; policy accept;
            ip saddr @ban4 counter name "leak_input" update @leaks4_input {{ ip saddr }}
        }}
    }}"""
    assert [(one.network, one.set) for one in read_nft(text, msgspec.structs.replace(DEFAULT, set="shun"))] == [
        ("192.0.2.1", "ban"),
        ("192.0.2.2", "egress"),
        ("192.0.2.3", "egress"),
        ("2001:db8::/56", "egress"),
    ]


def test_an_older_export_for_nft_is_read() -> None:
    """A line a set; the sets of another table say nothing, whatever they are called."""
    text = """add element inet nodewarden block4 { 192.0.2.1 timeout 600s, 192.0.2.2 timeout 60s }
    add element inet nodewarden shun6_nets { 2001:db8::/56 timeout 600s }
    add element inet filter block4 { 192.0.2.3 timeout 600s }"""
    assert [(one.network, one.set, one.bantime_s) for one in read_nft(text, DEFAULT)] == [
        ("192.0.2.1", "egress", 600.0),
        ("192.0.2.2", "egress", 60.0),
        ("2001:db8::/56", "shun", 600.0),
        ("192.0.2.3", "ban", 600.0),
    ]


@pytest.mark.parametrize("arguments", [["ban", "--block", "192.0.2.1"], ["import", "--block", "-"]])
def test_the_former_option_says_what_it_is_called_now(arguments: list[str]) -> None:
    """It orders nothing, is not in the help text, and the error names the new option."""
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 2
    assert "No such option '--block': it is called --egress now." in done.output
    assert "--block" not in CliRunner().invoke(cli, [arguments[0], "--help"]).output


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """Hostile files raise nothing but the one error."""
    list(read_plain(text, DEFAULT))
    for read in (read_json, read_nft):
        try:
            list(read(text, DEFAULT))
        except UnreadableFileError:
            continue


@pytest.mark.parametrize(
    ("text", "notation"),
    [
        ("", "plain"),
        ("192.0.2.1\n", "plain"),
        ("# list\n\n2001:db8::/32 # [\n", "plain"),
        ("nonsense {\n", "plain"),
        ("tables 192.0.2.1\n", "plain"),
        ("[]", "json"),
        ('\n  [\n {"network": "::1"}]', "json"),
        ('{"network": "::1"}', "json"),
        ("table inet nodewarden {\n\tset ban4 {\n", "nft"),
        ("#!/usr/sbin/nft -f\nflush ruleset\n", "nft"),
        ("add element inet nodewarden ban4 { 192.0.2.1 timeout 60s }\n", "nft"),
        ("\tset bad {\n", "nft"),
        ("elements = { 192.0.2.1 }", "nft"),
    ],
)
def test_the_format_of_a_file_is_recognised(text: str, notation: str) -> None:
    """By how its first line starts; a line of a plain list never starts like one of the others."""
    assert notation_of(text) == notation


@pytest.mark.parametrize("notation", [None, "plain", "json", "nft"])
def test_each_export_is_imported_without_naming_its_format(notation: str | None) -> None:
    """And `--format` still decides where it is given."""
    exported = {
        "plain": as_plain(ban("192.0.2.1", "shun")),
        "json": json.dumps([ban("192.0.2.1", "shun")]),
        "nft": "\n".join(as_nft([ban("192.0.2.1", "shun")])),
    }
    for kind, text in exported.items():
        asked: list[BanOrder] = []

        def ask(_: Target, order: BanOrder, asked: list[BanOrder] = asked) -> list[dict[str, Any]]:
            asked.append(order)
            return [{"network": one.network, "done": True, "text": "shunned"} for one in order.bans]

        peer = type("Peer", (Target,), {"ask": ask})(None)
        given = ["--format", notation] if notation else []
        done = CliRunner().invoke(cli.commands["import"], ["-", *given], obj=peer, input=text)
        if notation in (None, kind):
            assert (done.exit_code, done.output) == (0, "1 banned, 0 refused\n")
            assert [(one.network, one.set) for order in asked for one in order.bans] == [("192.0.2.1", "shun")]
        else:
            assert [(one.network, one.set) for order in asked for one in order.bans] != [("192.0.2.1", "shun")]
