"""Addresses of the kernel's functions."""

from hypothesis import given
from hypothesis import strategies as some

from monitor.ebpf.kallsyms import name_locations, read_functions

TEXT = """\
ffffffff81000000 T _text
ffffffff81000100 t ip_forward\t[ipv4]
ffffffff81000180 D some_data
ffffffff81000200 T nft_do_chain
0000000000000000 T hidden
"""


def test_functions_by_name() -> None:
    """Those asked for, modules' too; hidden ones are missing."""
    assert read_functions(TEXT, frozenset(("ip_forward", "hidden", "other"))) == {"ip_forward": 0xFFFFFFFF81000100}


def test_places_have_the_function_before_them() -> None:
    """The nearest function at or before the address, data left out; nothing before the first."""
    first = 0xFFFFFFFF81000000
    names = name_locations(TEXT.splitlines(), [first + 0x190, first + 0x200, first - 1])
    assert names == {first + 0x190: "ip_forward+0x90", first + 0x200: "nft_do_chain+0x0"}


def test_a_kernel_that_hides_addresses_names_none() -> None:
    """All symbols at 0 (kernel.kptr_restrict)."""
    assert name_locations(["0000000000000000 T nft_do_chain"], [0xFFFFFFFF81000000]) == {}


@given(
    some.dictionaries(some.integers(1, 1 << 64), some.from_regex(r"[a-z_]{1,9}", fullmatch=True), min_size=1),
    some.data(),
)
def test_every_place_is_within_its_function(functions: dict[int, str], data: some.DataObject) -> None:
    """Function and offset together are the address again."""
    address = data.draw(some.integers(min(functions), 1 << 64))
    lines = (f"{at:x} t {name}" for at, name in functions.items())
    name, _, offset = name_locations(lines, [address])[address].partition("+")
    assert functions[address - int(offset, 16)] == name
    assert not any(address - int(offset, 16) < at <= address for at in functions)
