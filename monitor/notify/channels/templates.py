"""Templates: what is posted to a service that expects a form of its own.

A template is the operator's and may be trusted; what it is filled with may not. So an expression in a template never
writes more than a value: in a `.json.j2` it is escaped for the inside of a JSON string, in a `.html.j2` for HTML, and
in a `.txt.j2` it is one line without control characters. `|tojson` writes a JSON value with its quotes. What comes out
of a `.json.j2` has to be JSON, which is checked when the template is loaded, with texts that try to break out, and
again for each message.

The environment is sandboxed and rendering is bounded in time and size, so that a mistake (a loop in a loop) costs a
message and not the notifier.
"""

import functools
import json
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from pathlib import Path
from types import FrameType
from typing import Any

import jinja2
import markupsafe
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment

from monitor.files.regular import read_regular
from monitor.model.errors import explain
from monitor.model.printable import printable
from monitor.notify.channel import Refused
from monitor.notify.channels import wording
from monitor.notify.message import Item, Kind, Message, Urgency

MAX_BYTES = 256 << 10
"""The most that a template may make of a message."""
_MAX_TEMPLATE_BYTES = 64 << 10
_MAX_S = 2.0
_MAX_RANGE = 1000
_MAX_REPEATED = 10_000
_TYPES = {"json": "application/json", "txt": "text/plain; charset=utf-8", "html": "text/html; charset=utf-8"}
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|~>])")
_ZERO_WIDTH = "\u200b"

_PROBE = Message(
    host='"}] \\ host', kind=Kind.BAN, urgency=Urgency.WARNING, group='",{', title='"\\\n</title>{{ 7*7 }}', count=3,
    items=(Item(time_s=1.0, text='"}]\\', network="192.0.2.1", reason='", "x": "', detector="sshd", set="ban",
                strength="proven", until_s=2.0, why='nodewarden why "192.0.2.1"'),),
    since_s=1.0, time_s=2.0, is_digest=True,
)  # fmt: skip


class _Json(str):
    """Text that is JSON already."""

    __slots__ = ()


class Template:
    """One template, ready to be filled."""

    def __init__(self, source: str, form: str, variables: Mapping[str, str]) -> None:
        """`form` is `json`, `txt` or `html`. ValueError says what is wrong with the template."""
        if len(source) > _MAX_TEMPLATE_BYTES:
            raise ValueError(f"it is larger than {_MAX_TEMPLATE_BYTES >> 10} KiB")
        self._is_json = form == "json"
        self._variables = dict(variables)
        self.content_type = _TYPES[form]
        try:
            self._template = _environment(form).from_string(source)
            self.render(_PROBE)
        except (jinja2.TemplateError, Refused, RecursionError, MemoryError) as error:
            raise ValueError(_explain(error)) from None

    def render(self, message: Message) -> bytes:
        """Return the content for a message; Refused if the template fails."""
        view = wording.shown(message)
        values = {"message": view, "variables": self._variables, "more": list(wording.remainder(view))}
        try:
            with _time_limit(_MAX_S):
                text = _joined(self._template.generate(values))
        except Refused:
            raise
        except Exception as error:  # noqa: BLE001 - what code of a template may raise is not known
            raise Refused(f"the template fails: {_explain(error)}") from None
        if self._is_json:
            try:
                json.loads(text)
            except (ValueError, RecursionError):
                raise Refused("what the template makes is no JSON: each value belongs inside of a string, "
                              "or needs the filter tojson") from None  # fmt: skip
        return text.encode("utf-8", "replace")


def load(name: str, variables: Mapping[str, str]) -> Template:
    """Return a template by the name of a built-in one, or by path; ValueError says why there is none."""
    try:
        if name.startswith("/"):
            content = read_regular(Path(name), _MAX_TEMPLATE_BYTES)
            form = name.removesuffix(".j2").rpartition(".")[2]
        else:
            content = (resources.files(__package__) / "templates" / f"{name}.json.j2").read_bytes()
            form = "json"
        return Template(content[: _MAX_TEMPLATE_BYTES + 1].decode(), form, variables)
    except UnicodeDecodeError:
        raise ValueError(f"template {name}: it is not UTF-8") from None
    except OSError as error:
        raise ValueError(f"template {name}: {explain(error)}") from None
    except ValueError as error:
        raise ValueError(f"template {name}: {error}") from None


def _joined(parts: Iterable[str]) -> str:
    """Join the parts of a rendering; Refused if they are too much."""
    found = []
    size = 0
    for part in parts:
        size += len(part)
        if size > MAX_BYTES:
            raise Refused(f"the template makes more than {MAX_BYTES >> 10} KiB of a message")
        found.append(part)
    return "".join(found)


class _Environment(ImmutableSandboxedEnvironment):
    """A sandbox in which a sequence is not repeated without a bound either."""

    intercepted_binops = frozenset(["*", "**", "%"])

    def call_binop(self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any) -> Any:
        """Compute `left operator right`."""
        if not all(isinstance(one, int | float) and abs(one) < _MAX_REPEATED for one in (left, right)):
            raise jinja2.exceptions.SecurityError(f"{operator} takes numbers below {_MAX_REPEATED} only")
        return SandboxedEnvironment.call_binop(self, context, operator, left, right)


@functools.cache
def _environment(form: str) -> _Environment:
    environment = _Environment(
        autoescape=form == "html", finalize=_FINALIZE[form], undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=False, cache_size=0,
    )  # fmt: skip
    environment.globals = {"range": _range}
    environment.filters.update(
        tojson=lambda value: _Json(json.dumps(value)),
        cut=wording.cut,
        utc=wording.utc,
        slack=_slack,
        markdown=_markdown,
        code=_code,
        more=lambda message, shown: list(wording.remainder(message, shown)),
        quiet=_quiet,
    )
    return environment


def _range(*limits: int) -> range:
    numbers = range(*limits)
    if len(numbers) > _MAX_RANGE:
        raise OverflowError(f"a range of more than {_MAX_RANGE} numbers")
    return numbers


def _finalize_json(value: Any) -> Any:
    """Write a value for the inside of a JSON string; a number stays one outside of it."""
    if isinstance(value, _Json | jinja2.Undefined):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(str(value))[1:-1]


def _finalize_text(value: Any) -> Any:
    return value if isinstance(value, jinja2.Undefined) else printable(str(value))


def _finalize_html(value: Any) -> Any:
    return value if isinstance(value, jinja2.Undefined | markupsafe.Markup) else printable(str(value))


_FINALIZE: dict[str, Callable[[Any], Any]] = {"json": _finalize_json, "txt": _finalize_text, "html": _finalize_html}


def _slack(text: object) -> str:
    """Escape for Slack's mrkdwn: without `<` there is no mention, no channel and no link that shows another text."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _markdown(text: object) -> str:
    """Escape for Markdown."""
    return _MARKDOWN.sub(r"\\\1", str(text))


def _code(text: object) -> str:
    """Keep a text inside of a code block of Markdown: no backtick ends it."""
    return str(text).replace("`", "\u02cb")


def _quiet(text: object) -> str:
    """Break mentions and links, with a character that nobody sees: `@name`, `<!channel>`, `https://…`."""
    return re.sub("(@|<|:(?=//))", rf"\1{_ZERO_WIDTH}", str(text))


class _time_limit:  # noqa: N801 - used as a function
    """Ends the rendering of this thread after some time: the interpreter calls it for each line of a template."""

    def __init__(self, limit_s: float) -> None:
        self._until_s = time.monotonic() + limit_s
        self._thread = threading.get_ident()
        self._before: Any = None

    def __enter__(self) -> None:
        self._before = sys.gettrace()
        sys.settrace(self._trace)

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _trace(self, _frame: FrameType, _event: str, _argument: object) -> Any:
        if time.monotonic() > self._until_s:
            raise Refused(f"the template takes longer than {_MAX_S:g} s")
        return self._trace


def _explain(error: BaseException) -> str:
    line = f"line {error.lineno}: " if isinstance(error, jinja2.TemplateSyntaxError) else ""
    text = " ".join(printable(str(error) or type(error).__name__).split())
    return wording.cut(f"{line}{text}", 200)
