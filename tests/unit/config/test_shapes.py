"""The walker over sections of any kind: named things, required keys, sizes, and schemas that say too little."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta, field

from monitor.config.faults import DEFAULT, InvalidConfigError, Origin, fault_at
from monitor.config.kinds import size, text
from monitor.config.load import load_as
from monitor.config.shapes import Section, group_of, leaves, plain
from monitor.settings.reference import json_schema, reference_markdown
from monitor.settings.schema import Settings
from tests.unit.config.support import write


class Filter(Section, frozen=True, kw_only=True):
    """A named thing with a required key."""

    pattern: Annotated[str, text(100), Meta(description="What to look for.")]
    limit_bytes: Annotated[int, size("1B", "1MiB"), Meta(description="How much to read.")] = field(
        default=65_536, name="limit"
    )


class Root(Section, frozen=True, kw_only=True):
    """A root with named things."""

    filters: Annotated[dict[str, Filter], Meta(description="Filters by name.")] = {}
    labels: Annotated[dict[str, Annotated[str, text(10)]], Meta(description="Words by name.")] = field(
        default_factory=lambda: {"one": "eins"}
    )


class Presets(Section, frozen=True, kw_only=True):
    """Defaults that differ from those of the struct they are made of."""

    one: Annotated[Filter, Meta(description="A filter.")] = Filter(pattern="one", limit_bytes=1024)
    filters: Annotated[dict[str, Filter], Meta(description="Filters by name.")] = field(
        default_factory=lambda: {"sshd": Filter(pattern="ssh"), "web": Filter(pattern="web", limit_bytes=2048)}
    )


def faults_of(path: Path) -> list[str]:
    """Load what must be faulty as Root."""
    with pytest.raises(InvalidConfigError) as caught:
        load_as(Root, path)
    return [str(fault).removeprefix(f"{path.parent}/") for fault in caught.value.faults]


def test_named_things_merge_by_name(tmp_path: Path) -> None:
    """Files add names and change keys of the same name; a named default stays unless it is overridden."""
    path = write(tmp_path, "filters:\n  sshd: {pattern: a, limit: 1KiB}\n  web: {pattern: b}\nlabels: {two: zwei}\n")
    write(tmp_path, "filters:\n  sshd: {pattern: c}\n", "conf.d/1.yaml")
    root, origins, _ = load_as(Root, path)
    assert root.filters == {"sshd": Filter(pattern="c", limit_bytes=1024), "web": Filter(pattern="b")}
    assert root.labels == {"one": "eins", "two": "zwei"}
    assert origins["labels.one"] == DEFAULT
    assert str(origins["filters.sshd.pattern"]).endswith("1.yaml:2")
    assert set(origins) == {place for place, _ in leaves(group_of(Root), root)}
    assert plain(group_of(Root), root)["filters"]["sshd"] == {"pattern": "c", "limit": "1KiB"}


def test_gaps_are_filled_by_the_nearest_default(tmp_path: Path) -> None:
    """Where a section's default differs from its struct's, changing one key leaves the others as they were."""
    path = write(tmp_path, "one: {pattern: x}\nfilters: {web: {pattern: y}, new: {pattern: z}, sshd: }\n")
    presets, origins, _ = load_as(Presets, path)
    assert presets.one == Filter(pattern="x", limit_bytes=1024)
    assert presets.filters == {
        "sshd": Filter(pattern="ssh"),
        "web": Filter(pattern="y", limit_bytes=2048),
        "new": Filter(pattern="z"),
    }
    assert origins["filters.web.limit"] == DEFAULT
    assert set(origins) == {place for place, _ in leaves(group_of(Presets), presets)}


def test_no_names_are_no_fault(tmp_path: Path) -> None:
    """A table of names that is empty in the file has an origin all the same."""
    root, origins, _ = load_as(Root, write(tmp_path, "filters: {}\n"))
    assert root.filters == {}
    assert str(origins["filters"]).endswith(":1")
    assert str(load_as(Root, write(tmp_path, ""))[1]["filters"]) == "default"


def test_required_keys_and_names_are_checked(tmp_path: Path) -> None:
    """A missing required key is a fault where its section starts; a faulty one is not reported as missing too."""
    text = "filters:\n  sshd: {limit: 1KiB}\n  alone:\n  bad: {pattern: ''}\n  'a b': {pattern: x}\n"
    assert faults_of(write(tmp_path, text)) == [
        "nodewarden.yaml:2:9: filters.sshd.pattern: required, but missing",
        "nodewarden.yaml:3:3: filters.alone.pattern: required, but missing",
        "nodewarden.yaml:4:18: filters.bad.pattern: expected a text of 1 to 100 characters, found ''",
        "nodewarden.yaml:5:3: filters.'a b': expected a name of letters, digits, _ and - that starts with a letter",
    ]


def test_named_things_are_described() -> None:
    """The reference has a table for the things of a name, and the JSON Schema allows any name of the right shape."""
    text = reference_markdown(Root)
    assert "\n## filters.NAME\n" in text
    assert "| `pattern` | text | required | What to look for. |" in text
    assert "| `limit` | size, 1B to 1MiB | `64KiB` | How much to read. |" in text
    assert "| `labels` | names, each with: text | `{one: eins}` | Words by name. |" in text
    filters = json_schema(Root)["properties"]["filters"]
    assert filters["additionalProperties"]["properties"]["limit"]["default"] == "64KiB"
    assert json_schema(Presets)["properties"]["one"]["properties"]["limit"]["default"] == "1KiB"


def test_every_field_of_the_settings_is_described() -> None:
    """The shape of the settings can be made: every field has a description and a kind, and all have defaults."""
    assert plain(group_of(Settings), Settings())["detectors"]["port_scan"]["findtime"] == "10m"


class Silent(Section, frozen=True, kw_only=True):
    """A field without a description."""

    word: Annotated[str, text(5)] = "a"


class Vague(Section, frozen=True, kw_only=True):
    """A number without a range."""

    number: Annotated[int, Meta(description="A number.")] = 1


class ListOfSections(Section, frozen=True, kw_only=True):
    """A list whose items could not be merged."""

    filters: Annotated[tuple[Filter, ...], Meta(description="Filters.")] = ()


@pytest.mark.parametrize(
    ("struct", "reason"), [(Silent, "no description"), (Vague, "Kind"), (ListOfSections, "merged")]
)
def test_a_schema_that_says_too_little_is_refused(struct: type[Section], reason: str) -> None:
    """A field without description, range or a mergeable shape is the developer's fault, at the first use."""
    with pytest.raises(TypeError, match=reason):
        group_of(struct)


def test_settings_cannot_be_changed() -> None:
    """Settings are frozen: what was checked is what stays in force."""
    settings: Any = Settings()
    with pytest.raises(AttributeError):
        settings.log = None
    with pytest.raises(AttributeError):
        settings.detectors.port_scan.maxretry = 1
    assert msgspec.structs.replace(settings.detectors.port_scan, maxretry=3).maxretry == 3


def test_a_default_has_no_place() -> None:
    """A fault needs a place in a file."""
    with pytest.raises(ValueError, match="default value is invalid"):
        fault_at(DEFAULT, "a.b", "wrong")
    assert str(fault_at(Origin(Path("/x.yaml"), 3, 4), "a.b", "wrong")) == "/x.yaml:3:4: a.b: wrong"
