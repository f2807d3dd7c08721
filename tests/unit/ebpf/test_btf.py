"""The reader of BTF: what the kernel says of its types, and whatever else comes in its place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.ebpf.btf import Btf
from monitor.model.errors import MalformedRecord
from tests.support.btf import BtfMaker


def sample() -> bytes:
    """Make structures in structures, with and without names, behind aliases and with a bit field."""
    make = BtfMaker()
    word = make.integer("int", 4)
    inner = make.composite("inner", 8, [("first", word, 0), ("second", word, 32)])
    renamed = make.alias("inner_t", inner)
    nameless = make.composite("", 8, [("left", word, 0), ("right", renamed, 0)], is_union=True)
    make.composite("outer", 24, [("head", make.pointer(word), 0), ("", nameless, 64), ("tail", renamed, 128)])
    make.composite("packed", 4, [("low", word, 3 << 24), ("high", word, 5 << 24 | 8)], has_bits=True)
    make.composite("packed_too", 4, [("odd", word, 3 << 24 | 3)], has_bits=True)
    make.enumeration("colour", {"RED": 0, "GREEN": 7, "MASK": -65536})
    make.enumeration("outer", {"SAME_NAME": 1})
    return make.bytes()


@pytest.mark.parametrize(("struct_name", "path", "offset"), [
    ("outer", "head", 0), ("outer", "left", 8), ("outer", "right.second", 12), ("outer", "tail.first", 16),
    ("packed", "high", 1), ("outer", "nobody", None), ("outer", "head.first", None), ("nobody", "head", None),
])  # fmt: skip
def test_members_are_found_through_others(struct_name: str, path: str, offset: int | None) -> None:
    """Through members without a name, aliases and unions; what is not there is None."""
    assert Btf(sample()).offset_bytes(struct_name, path) == offset


def test_a_bit_field_has_no_offset_in_bytes() -> None:
    """Reading it as a number would be wrong."""
    with pytest.raises(MalformedRecord, match="bit field"):
        Btf(sample()).offset_bytes("packed_too", "odd")


def test_enumerations_and_aliases() -> None:
    """Values with their sign, by name; one name may stand for a structure and for an enumeration."""
    btf = Btf(sample())
    assert btf.enumerators("colour") == {"RED": 0, "GREEN": 7, "MASK": -65536}
    assert (btf.enumerators("outer"), btf.enumerators("inner")) == ({"SAME_NAME": 1}, {})
    assert btf.enum_names("our") == ["colour"]
    assert btf.typedef_id("inner_t") is not None
    assert btf.typedef_id("inner") is None


@pytest.mark.parametrize("data", [b"", b"\x9f\xeb", bytes(24), sample()[:-1], sample()[:60]])
def test_what_is_no_btf_is_refused(data: bytes) -> None:
    """Too short, another magic, cut off."""
    with pytest.raises(MalformedRecord):
        Btf(data)


@given(st.lists(st.tuples(st.integers(24, len(sample()) - 1), st.integers(0, 255)), max_size=6))
def test_hostile_bytes_end_in_an_answer_or_are_refused(changes: list[tuple[int, int]]) -> None:
    """Whatever stands in the sections: no other exception, no endless walk."""
    data = bytearray(sample())
    for at, value in changes:
        data[at] = value
    try:
        btf = Btf(bytes(data))
        for struct_name in ("outer", "packed", "inner"):
            btf.offset_bytes(struct_name, "right.second")
        btf.enumerators("colour")
        btf.enum_names("r")
    except MalformedRecord:
        pass


def test_a_type_that_holds_itself_ends() -> None:
    """Aliases in a circle, and a structure without a name inside itself."""
    make = BtfMaker()
    make.composite("loop", 8, [("", 1, 0)])
    make.alias("circle", 3)
    btf = Btf(make.bytes())
    assert btf.offset_bytes("loop", "x") is None
