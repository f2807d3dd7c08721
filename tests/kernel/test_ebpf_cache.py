"""Programs that an earlier start compiled: the kernel gets the same ones, and a bad one is compiled again."""

import contextlib
from pathlib import Path

import pytest

from monitor.ebpf import xdp
from monitor.ebpf.compiled_cache import VARIABLE, CompiledCache
from monitor.ebpf.loader import LoadedProgram, load
from monitor.ebpf.messages import LoadRequest
from monitor.ebpf.program import CompiledProgram
from monitor.sources.drops import reader as drops
from monitor.sources.drops.settings import DropCounting, DropsSettings
from tests.support.bpf import tag_of

pytestmark = pytest.mark.kernel

REQUESTS = (
    drops.program_request(1, DropCounting(DropsSettings(pods=20))),
    xdp.program_request(max_bans=9, max_prefixes=9),
)


def _what_was_loaded(loaded: LoadedProgram) -> object:
    tags = {name: tag_of(descriptor) for name, descriptor in loaded.functions.items()}
    shapes = {name: shape for name, (_, shape) in loaded.maps.items()}
    return tags, shapes, loaded.reasons, loaded.attach_mode, loaded.fallback_reason


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.source)
def test_a_later_start_loads_what_an_earlier_one_compiled(
    request_: LoadRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instruction for instruction the program that was compiled; where the kernel refuses it, it is compiled again."""
    directory = tmp_path / "cache"
    directory.mkdir(mode=0o700)
    monkeypatch.setenv(VARIABLE, str(directory))
    with contextlib.closing(load(request_)) as loaded:
        compiled = _what_was_loaded(loaded)
    before = {path: path.stat().st_ino for path in directory.iterdir()}
    assert before
    with contextlib.closing(load(request_)) as loaded:
        assert _what_was_loaded(loaded) == compiled
    assert {path: path.stat().st_ino for path in directory.iterdir()} == before  # nothing was compiled

    cache, keys = CompiledCache(str(directory)), [path.stem for path in directory.iterdir()]
    (key,) = [key for key in keys if cache.get(key, CompiledProgram)]
    good = cache.get(key, CompiledProgram)
    assert good is not None
    cache.put(key, CompiledProgram(good.maps, dict.fromkeys(good.functions, bytes(8))))
    with contextlib.closing(load(request_)) as loaded:
        assert _what_was_loaded(loaded) == compiled
    assert cache.get(key, CompiledProgram) == good


def test_other_seeds_are_other_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers of a start are not kept: two starts count with seeds of their own."""
    directory = tmp_path / "cache"
    directory.mkdir(mode=0o700)
    monkeypatch.setenv(VARIABLE, str(directory))
    tags = set()
    for _ in range(2):
        with contextlib.closing(load(xdp.program_request(max_bans=9, max_prefixes=9))) as loaded:
            tags.add(tag_of(loaded.functions[xdp.PROGRAM]))
    assert len(tags) == 2
    assert len(list(directory.iterdir())) == 1
