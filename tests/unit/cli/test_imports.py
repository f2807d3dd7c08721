"""What is imported before it is known what is to be done: only what every command, or every daemon, needs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.cli import slim
from monitor.cli.entry import plain_run
from monitor.settings.places import DEFAULT_PATH

_HEAVY = ("monitor.bans", "monitor.daemon", "monitor.detectors", "monitor.filters", "monitor.state", "sqlite3", "yaml")
_ON_DEMAND = (
    "_hashlib",
    "ast",
    "asyncio.sslproto",
    "asyncio.staggered",
    "base64",
    "bcc",
    "bcrypt",
    "calendar",
    "dataclasses",
    "decimal",
    "click",
    "importlib.resources",
    "inspect",
    "locale",
    "monitor.cli.main",
    "monitor.crowdsec.client",
    "monitor.daemon.fleet.fleet",
    "monitor.daemon.replay",
    "monitor.filters.fail2ban.filters",
    "monitor.fleet.comparison",
    "monitor.fleet.engine",
    "monitor.fleet.pardons",
    "monitor.fleet.presentation",
    "monitor.fleet.redis.engine",
    "monitor.lists.fetch",
    "monitor.lists.reading",
    "monitor.lists.state",
    "monitor.metrics.web_gate",
    "monitor.notify.channels",
    "msgspec.inspect",
    "pkgutil",
    "redis",
    "rich",
    "ssl",
    "sysconfig",
    "typing_extensions",
    "zoneinfo",
)
"""What a daemon loads only where its configuration asks for it."""


def loaded(code: str) -> list[str]:
    """Return the modules that a fresh Python has after some code; not those that are late and were not used."""
    code += (
        "; import sys; from monitor.cli import late; "
        "print('\\n'.join(name for name, module in sys.modules.items() if not late.is_late(module)))"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_the_command_line_starts_light() -> None:
    names = loaded("import monitor.cli.main")
    assert "monitor.cli.main" in names
    assert [name for name in names if name.startswith(_HEAVY)] == []


def test_the_daemon_loads_what_its_configuration_asks_for(tmp_path: Path) -> None:
    """A default configuration was loaded and tried out, as before a start."""
    config = tmp_path / "nodewarden.yaml"
    config.write_text("")
    names = loaded(
        "from monitor.cli import slim; slim.load(); from monitor.daemon.life import service; "
        f"from pathlib import Path; service.resume(Path({str(config)!r}))"
    )
    assert "monitor.daemon.life.assembly" in names
    assert [
        name for name in names if name in _ON_DEMAND or name.startswith(tuple(f"{one}." for one in _ON_DEMAND))
    ] == []


def test_tls_is_there_when_it_is_asked_for() -> None:
    """What was left out of asyncio and hashlib can be imported later, and digests are the same."""
    code = (
        "from monitor.cli import slim; slim.load(); import asyncio.base_events, hashlib, hmac; "
        "assert asyncio.base_events.ssl is None; import ssl; ssl.create_default_context(); "
        "assert hashlib.sha256(b'a').hexdigest().startswith('ca978112ca1b'); hashlib.blake2b(b'', key=b'k'); "
        "import _hashlib; assert hmac.digest(b'k', b'm', 'sha256') == _hashlib.hmac_digest(b'k', b'm', 'sha256')"
    )
    assert "ssl" in loaded(code)


def test_what_starts_the_daemon_has_python_keep_no_columns() -> None:
    root = Path(__file__).parents[3]
    assert "Environment=PYTHONNODEBUGRANGES=1\n" in (root / "systemd/nodewarden.service").read_text()
    assert "ENV PYTHONNODEBUGRANGES=1\n" in (root / "deploy/Containerfile").read_text()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("run", (DEFAULT_PATH, False)),
        ("run --config /a", (Path("/a"), False)),
        ("run --config /a --watch", (Path("/a"), True)),
        ("run --watch", None),
        ("run --config", None),
        ("run --config --watch", None),
        ("run --help", None),
        ("run --config=/a", None),
        ("--socket /s run", None),
        ("status", None),
        ("", None),
    ],
)
def test_what_units_pass_needs_no_command_line_library(line: str, expected: object) -> None:
    assert plain_run(line.split()) == expected


def test_decimals_are_real_where_they_are_asked_for() -> None:
    """msgspec got a type of that name, and nobody else does."""
    code = "from monitor.cli import slim; slim.load(); from decimal import Decimal; assert Decimal('0.1') * 3 < 1"
    assert "_decimal" in loaded(code)


def test_the_signal_handlers_need_no_inspect() -> None:
    """asyncio asks whether the handler of a signal is a coroutine function; one that is remains refused."""
    code = (
        "from monitor.cli import slim; slim.load(); import asyncio; loop = asyncio.new_event_loop(); "
        "loop.add_signal_handler(10, print); loop.add_signal_handler(10, loop.stop); "
        "answer = asyncio.iscoroutinefunction(loop.shutdown_asyncgens), asyncio.iscoroutinefunction(loop.stop); "
        "assert answer == (True, False)"
    )
    assert "inspect" not in loaded(code)


def test_classes_keep_their_annotations_and_functions_do_not() -> None:
    """msgspec reads those of classes whenever it meets a new one; nobody reads those of functions."""
    code = (
        "from monitor.cli import slim; slim.load(); import sys; from monitor.settings.schema import Settings; "
        "from monitor.settings import load; assert Settings.__annotations__; "
        "assert sys.version_info >= (3, 14) or not load.load.__annotations__"
    )
    assert "monitor.settings.schema" in loaded(code)


@pytest.mark.parametrize("name", slim._LATE)
def test_a_late_module_is_in_no_cycle(name: str) -> None:
    """What its first use imports does not import it: two threads, one loading it, one importing that, would wait."""
    code = f"""
from monitor.cli import slim; slim.load()
import sys
from monitor.cli import late
assert late.is_late(sys.modules[{name!r}])
before = set(sys.modules)
getattr(sys.modules[{name!r}], "absent", None)
assert not late.is_late(sys.modules[{name!r}])
for one in set(sys.modules) - before:
    print(getattr(sys.modules[one], "__file__", None) or "built-in")
"""
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    sources = [Path(line) for line in printed.splitlines() if line.endswith(".py")]
    assert [str(source) for source in sources if imports(source.read_text(), name)] == []


def imports(source: str, name: str) -> bool:
    """Return whether importing a module imports another one, so not within a function."""
    package, _, last = name.rpartition(".")
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import) and name in {alias.name for alias in node.names}:
            return True
        if isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            is_near = node.level > 0 and bool(package) and package.endswith(origin)
            if origin == name or (node.level and origin == last):
                return True
            if (origin == package or is_near) and last in {alias.name for alias in node.names}:
                return True
    return False


@pytest.mark.parametrize(
    ("source", "name", "expected"),
    [
        ("if 1:\n    try:\n        import decimal\n    finally: pass", "decimal", True),
        ("class A:\n    import decimal", "decimal", True),
        ("def f():\n    import decimal", "decimal", False),
        ("from decimal import Decimal", "decimal", True),
        ("from . import state", "monitor.lists.state", True),
        ("from .state import a", "monitor.lists.state", True),
        ("from monitor.lists import state as b", "monitor.lists.state", True),
        ("import monitor.lists.state as b", "monitor.lists.state", True),
        ("import locales; from locale2 import locale", "locale", False),
        ("from monitor.lists import stated", "monitor.lists.state", False),
    ],
)
def test_imports_are_found_in_any_form(source: str, name: str, expected: bool) -> None:
    assert imports(source, name) is expected


def test_submodules_of_the_standard_library_can_be_imported_first() -> None:
    """As where somebody names an exception."""
    code = "from monitor.cli import slim; slim.load(); from json.decoder import JSONDecodeError; import json"
    assert "json.decoder" in loaded(code)


def test_given_functions_do_as_the_real_ones() -> None:
    """Others than asyncio call them as well; none loads the module."""
    code = """
from monitor.cli import slim; slim.load()
import functools, inspect, sys
from monitor.cli import late
@functools.wraps(print)
def one(): pass
@functools.wraps(one)
def two(): pass
def loop(): pass
loop.__wrapped__ = loop
def results():
    yield inspect.unwrap(two) is print
    yield inspect.unwrap(two, stop=lambda f: f is one) is one
    try: yield inspect.unwrap(loop)
    except ValueError as error: yield str(error).startswith("wrapper loop")
    yield inspect.isfunction(two), inspect.isfunction(print), inspect.iscoroutinefunction(two)
early = list(results())
assert late.is_late(inspect)
inspect.signature
assert early == list(results()) == [True, True, True, (True, False, False)], early
"""
    subprocess.run([sys.executable, "-c", code], check=True)
