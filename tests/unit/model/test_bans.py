"""Keys of bans, and what their kinds are called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.model.addresses import Network, network_of, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import STRENGTHS, WORDS, Ban, ban_key, read_ban_key

networks = st.builds(
    lambda address, length: network_of(address, min(length, len(address) * 8)),
    st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16)),
    st.integers(0, 128),
)


@given(networks, st.sampled_from(Strength))
def test_a_key_gives_back_what_it_was_made_of(network: Network, strength: Strength) -> None:
    """Network and kind come back from two bytes more than the address."""
    key = ban_key(network, strength)
    assert read_ban_key(key) == (network, strength)
    assert len(key) == len(network.address) + 2


@given(networks)
def test_each_kind_has_a_key_of_its_own(network: Network) -> None:
    """The bans of one network do not take each other's place."""
    assert len({ban_key(network, strength) for strength in Strength}) == len(Strength) == 3


@pytest.mark.parametrize(("last", "strength"), [(0, Strength.SPOOFABLE), (1, Strength.PROVEN)])
def test_keys_of_two_kinds_mean_the_same_with_three(last: int, strength: Strength) -> None:
    """What the last byte said when it told only whether a ban was proven still holds."""
    key = bytes((192, 0, 2, 1, 32, last))
    assert read_ban_key(key) == (parse_network("192.0.2.1"), strength)
    assert ban_key(parse_network("192.0.2.1"), strength) == key


def test_each_kind_has_its_number_and_its_word() -> None:
    """Numbers lead back to their kind, and each kind has the word that people and the kernel's sets use."""
    assert [strength.number for strength in STRENGTHS] == [0, 1, 2]
    words = {Strength.PROVEN: "ban", Strength.SPOOFABLE: "shun", Strength.DESTINATION: "egress"}
    assert words == WORDS
    for strength, word in words.items():
        assert Ban(parse_network("192.0.2.1"), strength, 0.0, 1.0, "test", "test").word == word
