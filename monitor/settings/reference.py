"""What can be configured, for people (docs/configuration.md) and for editors (JSON Schema)."""

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import msgspec

from monitor.config.shapes import Field, Group, Leaf, NamedMap, Section, Sequence, Shape, group_of, join, plain
from monitor.settings.schema import Settings

_BARE = re.compile(r"[A-Za-z0-9/.](?:[A-Za-z0-9_/.:-]*[A-Za-z0-9_/.-])?")  # needs no quotes in YAML's flow style

_INTRO = """\
# Configuration

<!-- Generated from monitor/settings/schema.py by `.venv/bin/python -m monitor.settings.reference`: change it there. -->

nodewarden reads `/etc/nodewarden/nodewarden.yaml` at start, then every `conf.d/*.yaml` in the same directory, sorted by
name. All files have the same keys. Later files take precedence key by key. Lists of what is protected, watched or read
in addition, such as `bans.allowlist`, add up over all files; all other lists are replaced as a whole. Its description
says which. To drop the entries of earlier files, write `!replace` before a list: `allowlist: !replace [192.0.2.10]`.
Keep your own settings in a file such as `/etc/nodewarden/conf.d/50-local.yaml`, which package updates never change:

```yaml
bans:
  allowlist: [192.0.2.10, 2001:db8:17::/48]
detectors:
  port_scan:
    mode: observe
```

- `nodewarden config check` validates the files and reports every error with file, line and column.
- `nodewarden config show` prints the settings in force, each with its file and line, and so each entry of such a list.
- `nodewarden config schema` prints a JSON Schema (draft 2020-12) for editors.

With any error, including unknown and duplicate keys, the daemon does not start. An empty section has its defaults.
Anchors, aliases, other tags and files over 1 MiB are refused.

## Notations

| value | written as | meaning |
| --- | --- | --- |
| duration | `90s`, `10m`, `1h30m`, `4w`, `500ms` | units `w d h m s ms`, largest first; a bare number means seconds |
| size | `64KiB`, `1MiB`, `10MB` | `KiB` is 1024 bytes, `KB` is 1000; a bare number means bytes |
| network | `192.0.2.1`, `10.0.0.0/8`, `2001:db8::/32` | a single address, or a prefix without host bits |
| port range | `32768-60999` | both ends included |
| address and port | `127.0.0.1:9843`, `[::1]:9843` | IPv6 in brackets; no host names |
| boolean | `true`, `false` | or `yes`, `no`, `on`, `off`, in any case |
| filter | `sshd`, `sshd[mode=aggressive]`, `/etc/fail2ban/filter.d/sshd.conf` | a built-in filter, or a file |
| time zone | `Europe/Berlin`, `UTC+02:00`, `""` | a tzdata name, an offset from UTC, or empty for the system's |
| mode | `enforce`, `observe` | `enforce` bans; `observe` records what would have been banned |

Values are read as the type of the key: `no` is a string where a string is expected.
"""


def json_schema(root: type[Section] = Settings) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of one file of the configuration.

    What is required is left to the loader: a file need not hold what another one does.
    """
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "nodewarden configuration"}
    return head | _schema(group_of(root), msgspec.NODEFAULT)


def reference_markdown(root: type[Section] = Settings) -> str:
    """Return the text of docs/configuration.md."""
    sections = [_INTRO]
    for path, description, group, default in _groups(group_of(root), msgspec.NODEFAULT, "", ""):
        rows = [_row(field, default) for field in group.fields.values() if not _has_section(field, default)]
        if rows:
            title = path or "top level"
            table = "\n".join(["| key | type | default | meaning |", "| --- | --- | --- | --- |", *rows])
            sections.append(f"## {title}\n\n{description}\n\n{table}\n")
    return "\n".join(sections)


def _schema(shape: Shape, default: Any) -> dict[str, Any]:
    """Return the schema of one shape (`default` is NODEFAULT where it has none); an empty section is YAML's null."""
    match shape:
        case Leaf(kind):
            return dict(kind.schema)
        case Sequence(item):
            return {"type": "array", "items": _schema(item, msgspec.NODEFAULT)}
        case NamedMap(value, names):
            inner = _schema(value, msgspec.NODEFAULT)
            return {"type": ["object", "null"], "propertyNames": dict(names.schema), "additionalProperties": inner}
        case Group(_, fields):
            properties = {key: _property(field, field.default_in(default)) for key, field in fields.items()}
            return {"type": ["object", "null"], "additionalProperties": False, "properties": properties}


def _property(field: Field, default: Any) -> dict[str, Any]:
    """Return the schema of one key with its description and default."""
    schema = {"description": field.description.replace("`", "")} | _schema(field.shape, default)
    if default is not msgspec.NODEFAULT and not isinstance(field.shape, Group):
        schema["default"] = plain(field.shape, default)
    return schema


def _groups(
    group: Group, default: Any, path: str, description: str, named: set[type[Section]] | None = None
) -> Iterator[tuple[str, str, Group, Any]]:
    """Yield every section with its path, description and default, outer before inner; of alike named ones the first."""
    named = set() if named is None else named
    yield path, description, group, default
    for field in group.fields.values():
        match field.shape:
            case Group() as inner:
                yield from _groups(inner, field.default_in(default), join(path, field.key), field.description, named)
            case NamedMap(Group() as inner) if inner.struct not in named:
                named.add(inner.struct)
                place = join(path, f"{field.key}.NAME")
                yield from _groups(inner, msgspec.NODEFAULT, place, field.description, named)


def _has_section(field: Field, section: Any) -> bool:
    """Whether the keys below have a table of their own, and the key itself needs no line."""
    if isinstance(field.shape, NamedMap):
        return isinstance(field.shape.value, Group) and bool(field.default_in(section))
    return isinstance(field.shape, Group)


def _row(field: Field, section: Any) -> str:
    """Return one line of a section's table."""
    cells = (f"`{field.key}`", _noun(field.shape), _default(field.shape, field.default_in(section)), field.description)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _noun(shape: Shape) -> str:
    """Name a shape for people."""
    match shape:
        case Leaf(kind):
            return kind.noun
        case Sequence(item):
            return f"list of: {item.kind.noun}"
        case NamedMap(value):
            return f"names, each with: {_noun(value)}"
        case Group():
            return "section"


def _default(shape: Shape, default: Any) -> str:
    """Write a default as YAML has it."""
    return "required" if default is msgspec.NODEFAULT else f"`{notation(plain(shape, default))}`"


def notation(value: Any) -> str:
    """Write what `plain` returns on one line, as YAML's flow style has it."""
    match value:
        case bool():
            return "true" if value else "false"
        case list():
            return f"[{', '.join(map(notation, value))}]"
        case dict():
            return f"{{{', '.join(f'{key}: {notation(inner)}' for key, inner in value.items())}}}"
        case str() if not _BARE.fullmatch(value) or value.lower() == "null":
            return json.dumps(value, ensure_ascii=False)
        case _:
            return str(value)


if __name__ == "__main__":
    sys.stdout.write(reference_markdown())
