"""Late modules: empty when imported, whole at the first use."""

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.cli.late import LateModule, late

NAME = "late_module_of_a_test"
SLOW = f"import time, {NAME}; first = 1; time.sleep(0.2); second = [first]; runs = time.monotonic()"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module that can be imported, with the file of its code."""
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / f"{NAME}.py"
    sys.modules.pop(NAME, None)


def imported(**given: object) -> LateModule:
    with late({NAME: given}):
        found = __import__(NAME)
    assert isinstance(found, LateModule)
    return found


def test_the_code_runs_at_the_first_use(module: Path) -> None:
    """What was given is there before, and replaced by the module's own."""
    module.write_text("ready = 'real'")
    found = imported(ready="given")
    assert found.ready == "given"
    with pytest.raises(AttributeError, match=f"module '{NAME}' has no attribute 'absent'"):
        _ = found.absent
    assert found.ready == "real"
    assert found.__file__ == str(module)


def test_importing_names_loads_it(module: Path) -> None:
    module.write_text("ready = 1")
    with late({NAME: {}}):
        assert __import__(NAME, fromlist=["ready"]).ready == 1
    assert not any(type(one).__module__ == "monitor.cli.late" for one in sys.meta_path)


def test_threads_see_a_whole_module(module: Path) -> None:
    """The second one waits for the first; the module itself may ask for what is not there yet."""
    module.write_text(f"{SLOW}; early = getattr({NAME}, 'absent', 'none')")
    found = imported()
    seen: list[object] = []
    threads = [threading.Thread(target=lambda: seen.append((found.second, found.runs, found.early))) for _ in range(3)]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    for thread in threads:
        thread.join()
    assert seen == [([1], found.runs, "none")] * 3


def test_what_cannot_be_loaded_is_tried_again(module: Path) -> None:
    module.write_text("raise OSError(24, 'no descriptors')")
    found = imported()
    with pytest.raises(OSError, match="no descriptors"):
        _ = found.ready
    module.write_text("ready = 'now it can be loaded'")
    assert found.ready == "now it can be loaded"


def test_what_failed_halfway_leaves_no_names(module: Path) -> None:
    """A function of a half-loaded module would miss what follows it."""
    module.write_text("def ready(): return rest\nraise OSError(24, 'no descriptors')\nrest = 1")
    found = imported(given="given")
    for _ in range(2):
        with pytest.raises(OSError, match="no descriptors"):
            _ = found.ready
    assert found.given == "given"
    assert found.__file__ == str(module)
    module.write_text("def ready(): return rest\nrest = 'the whole module'")
    assert found.ready() == "the whole module"


def test_a_package_is_never_late(tmp_path: Path, module: Path) -> None:
    """Its submodule may be imported first, and use it."""
    package = tmp_path / NAME
    package.mkdir()
    (package / "__init__.py").write_text("from .part import one\ntwo = one + 1")
    (package / "part.py").write_text(f"from {NAME} import __name__ as parent; import {NAME}; one = 1")
    with late({NAME: {}}):
        found = __import__(f"{NAME}.part")
    assert not isinstance(found, LateModule)
    assert found.two == 2
    sys.modules.pop(f"{NAME}.part")
