"""The reference and the shipped configuration say what the schema says."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.config.shapes import group_of, leaves
from monitor.model.errors import ConfigError
from monitor.settings.load import load
from monitor.settings.reference import json_schema, notation, reference_markdown
from monitor.settings.schema import Settings

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "systemd" / "nodewarden.yaml"
# Imported by name: the type checker need not have the stubs that the distribution leaves out.
jsonschema: Any = importlib.import_module("jsonschema")


def faults(text: str) -> list[str]:
    """Validate a file's text against the JSON Schema as an editor would."""
    validator = jsonschema.Draft202012Validator(json_schema())
    return [error.message for error in validator.iter_errors(yaml.safe_load(text))]


def test_the_reference_is_up_to_date() -> None:
    """docs/configuration.md is what the schema generates."""
    written = (ROOT / "docs" / "configuration.md").read_text()
    hint = "run `.venv/bin/python -m monitor.settings.reference > docs/configuration.md`"
    assert written == reference_markdown(), hint


def test_the_reference_names_every_key() -> None:
    """Each setting has a line in the table of its section."""
    text = reference_markdown()
    for place, _ in leaves(group_of(Settings), Settings()):
        section, _, key = re.sub(r"\.(failures|services)\.[a-z-]+\.", r".\1.NAME.", place).rpartition(".")
        table = text.split(f"\n## {section or 'top level'}\n")[1].split("\n## ")[0]
        assert f"| `{key}` |" in table


def test_the_shipped_file_is_the_schemas_defaults() -> None:
    """systemd/nodewarden.yaml names every key, with its default."""
    loaded = load(SHIPPED)
    assert loaded.settings == Settings()
    assert [place for place, origin in loaded.origins.items() if str(origin) == "default"] == []


def test_the_shipped_file_fits_the_json_schema() -> None:
    """An editor has nothing to say against the shipped file, nor against an empty one."""
    assert faults(SHIPPED.read_text()) == []
    assert faults("") == []
    assert faults("detectors:\n") == []


def test_the_shipped_file_teaches() -> None:
    """Every section is explained by a comment, and nothing is left indented with tabs or beyond the line."""
    lines = SHIPPED.read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match("[a-z]", line):
            assert lines[number - 1].startswith("# "), line
        assert len(line) <= 120
        assert "\t" not in line


def test_the_json_schema_is_one() -> None:
    """It is valid draft 2020-12, and its defaults fit their own schemas."""
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    port_scan = schema["properties"]["detectors"]["properties"]["port_scan"]
    assert port_scan["additionalProperties"] is False
    shadow = port_scan["properties"].pop("shadow")["properties"]
    for key in (*port_scan["properties"].values(), *shadow.values()):
        assert key["description"]
        jsonschema.validate(key["default"], key)


@pytest.mark.parametrize(
    "text",
    [
        "detectors: {port_scan: {maxrety: 5}}",
        "detectors: {port_scan: {maxretry: 1}}",
        "detectors: {port_scan: {findtime: 10x}}",
        "detectors: {port_scan: {findtime: 1h30}}",
        "detectors: {port_scan: {findtime: ''}}",
        "detectors: {port_scan: {bantime: 0}}",
        "detectors: {port_scan: {mode: ban}}",
        "metrics: {listen: '::1:9843'}",
        "metrics: {enabled: maybe}",
        "sources: {kernel_log: {prefixes: ['']}}",
        "control: {socket: relative}",
        "bans: {allowlist: 10.0.0.0/8}",
        "detectors: {failures: {prefix: {filter: sshd}}}",
        "detectors: {failures: {'a b': {filter: sshd}}}",
        "detectors: {failures: {sshd: {filter: a/b}}}",
        "detectors: {failures: {sshd: {files: [log]}}}",
        "detectors: {from_fail2ban: etc}",
        "detectors: {ephemeral_ports: automatic}",
    ],
)
def test_the_json_schema_refuses_what_the_loader_refuses(text: str, tmp_path: Path) -> None:
    """An editor marks what the loader would refuse."""
    assert faults(text)
    path = tmp_path / "nodewarden.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"nodewarden\.yaml:1:"):
        load(path)


@pytest.mark.parametrize(
    "text",
    [
        "detectors: {port_scan: {findtime: 90, bantime: 1h30m}}",
        "metrics: {enabled: 'yes', listen: '[::1]:9843'}",
        "detectors: {ephemeral_ports: 53}",
        "detectors: {ephemeral_ports: auto}",
        "bans: {allowlist: ['2001:db8::/32']}",
        "detectors: {failures: {sshd: {filter: 'sshd[mode=ddos]', timezone: UTC}, 3x: {filter: /a/b.conf}}}",
        "detectors: {from_fail2ban: '', failures: {a: {filter: a, journalmatch: ['A=b + C=d']}}}",
    ],
)
def test_the_json_schema_allows_what_the_loader_allows(text: str, tmp_path: Path) -> None:
    """An editor marks nothing that the loader reads."""
    assert faults(text) == []
    path = tmp_path / "nodewarden.yaml"
    path.write_text(text)
    load(path)


def test_values_are_written_as_yaml() -> None:
    """Booleans, lists and mappings are in flow style; text that YAML would misread is quoted."""
    assert notation([True, 5, "a b", "x"]) == '[true, 5, "a b", x]'
    assert notation({"a": {}, "b": "::"}) == '{a: {}, b: "::"}'
