"""Properties of the loader: whatever a file holds, the answer is settings or a ConfigError."""

import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.config import document
from monitor.config.shapes import group_of, leaves
from monitor.model.errors import ConfigError
from monitor.settings.load import load
from monitor.settings.reference import notation
from monitor.settings.schema import Settings

KEYS = [part for path, _ in leaves(group_of(Settings), Settings()) for part in path.split(".")]
SCALARS = st.one_of(
    st.text(max_size=12),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.sampled_from(["10m", "enforce", "10.0.0.0/8"]),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)),
)
YAML_TEXT = st.text(" \n\t:-[]{}&*!|>'\"\\%@`#,?~abcxuU019.<=\u2028\x85\ufeff", max_size=60)
PRINTABLE = st.one_of(st.just(" "), st.characters(exclude_categories=("C", "Z")))
NESTED = st.lists(st.sampled_from(["[", "{a: ", "- ", "? ", "\n ", "'"]), max_size=60).map("".join)


def load_bytes(data: bytes) -> Settings | None:
    """Load a file of these bytes; None when it is refused with a ConfigError."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "nodewarden.yaml"
        path.write_bytes(data)
        try:
            loaded = load(path)
        except ConfigError as error:
            assert all(line.startswith(str(path)) for line in str(error).splitlines())
            return None
    assert set(loaded.origins) == {place for place, _ in leaves(group_of(Settings), loaded.settings)}
    return loaded.settings


@given(st.one_of(st.binary(), YAML_TEXT.map(str.encode), NESTED.map(str.encode)))
@example(b'"\\ud800": 1')
@example(b"%YAML 1." + b"9" * 5000 + b"\n---\n")
@example(b"[" * 100_000)
@example(b"- " * 100_000)
@example(b"? " * 1000)
@example(b"!<%ff%fe> a")
@settings(deadline=None)
def test_arbitrary_bytes_are_settings_or_a_config_error(data: bytes) -> None:
    """No file makes the loader raise anything else, recurse without end, or write a fault over several lines."""
    load_bytes(data)


@given(st.one_of(st.binary(), YAML_TEXT.map(str.encode), NESTED.map(str.encode)))
@example(b'"\\UFFFFFFFF": 1')
@example(b'"\\U00110000": 1')
@example(b"%YAML 1." + b"9" * 5000 + b"\n---\n")
@example(b"!<%ff%fe> a")
@settings(deadline=None)
def test_the_loader_without_libyaml_is_as_robust(data: bytes) -> None:
    """PyYAML in pure Python has other errors: they end as ConfigError too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document, "_Loader", document._PlainLoader)
        load_bytes(data)


@given(TREES)
@settings(deadline=None)
def test_arbitrary_trees_are_settings_or_a_config_error(tree: object) -> None:
    """Known keys with values of any type and depth are read or refused."""
    load_bytes(yaml.safe_dump(tree, allow_unicode=True).encode())


@given(st.lists(st.text(PRINTABLE, min_size=1, max_size=127), max_size=4))
@example(["[UFW BLOCK] ", "DROP: ", "~", "null", "0123", "a,b", "#x", "'", '"', "\\"])
@settings(deadline=None)
def test_what_show_prints_can_be_read_again(prefixes: list[str]) -> None:
    """A list of texts written by `notation` is YAML for the same list."""
    text = f"sources: {{kernel_log: {{prefixes: {notation(prefixes)}}}}}"
    loaded = load_bytes(text.encode())
    assert loaded is not None
    assert loaded.sources.kernel_log.prefixes == tuple(prefixes)
