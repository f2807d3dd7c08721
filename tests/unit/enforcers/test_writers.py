"""What the user data of foreign tables and sets says about the nft that wrote it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.cli.nft_program import crash_warning, versions
from monitor.enforcers.nftables.writers import has_plain_type, table_version

TABLE_OF_1_1_7 = bytes.fromhex("00036869000104010107000208000000006ac73dd6")
SET_OF_1_1_3 = bytes.fromhex("00040200000003080004040000000100")
SET_OF_1_0_6 = bytes.fromhex("000402000000")
PAIR_OF_1_1_3 = bytes.fromhex(
    "000400000000033400040d000000012c0014000407000000010c00040c00000001040c0000000114000407000000010c000408000000010402000000"
)


def test_a_table_names_the_version_that_made_it() -> None:
    """nft 1.1.7 leaves its version; older ones only a comment, if any."""
    assert table_version(TABLE_OF_1_1_7) == (1, 1, 7)
    assert table_version(TABLE_OF_1_1_7[:5]) == ()
    assert table_version(b"") == ()


def test_only_a_plain_type_in_user_data_is_dangerous() -> None:
    """As recorded from nft 1.1.3 and 1.0.6: the former's sets of plain types end the latter."""
    assert has_plain_type(SET_OF_1_1_3)
    assert not has_plain_type(SET_OF_1_0_6)
    assert not has_plain_type(PAIR_OF_1_1_3)


@given(st.binary(max_size=255), st.sampled_from([TABLE_OF_1_1_7, SET_OF_1_1_3, PAIR_OF_1_1_3]), st.integers(0, 80))
def test_whatever_user_data_holds_is_only_not_understood(noise: bytes, real: bytes, cut: int) -> None:
    """Others write it: random, cut off and spoilt data raises nothing, and a version has three small numbers."""
    for userdata in (noise, real[:cut] + noise, noise + real):
        assert len(table_version(userdata)) in (0, 3)
        assert has_plain_type(userdata) in (False, True)


@pytest.mark.parametrize(
    ("installed", "crashing", "is_warned"),
    [
        ("1.0.6", "set other a", True),
        ("0.9.8", "set other a", True),
        ("1.1.0", "set other a", False),
        ("1.1", "set other a", False),
        ("2.0.1", "set other a", False),
        ("1.0.6", "", False),
        ("", "set other a", False),
    ],
)
def test_an_nft_that_may_crash_is_warned_of(installed: str, crashing: str, is_warned: bool) -> None:
    """Only where an older one is installed and such a set exists."""
    assert bool(crash_warning(installed, crashing)) == is_warned


def test_both_versions_are_named() -> None:
    """What is installed, and what wrote, as far as known."""
    assert versions("1.0.6", "1.1.7") == "nft 1.0.6 is installed; the tables of this node were made by nft 1.1.7"
    assert versions("1.0.6", "") == "nft 1.0.6 is installed"
    assert versions("", "") == "nft is not installed (the daemon does not need it)"
