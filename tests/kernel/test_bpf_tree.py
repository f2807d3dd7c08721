"""eBPF programs compile on a machine without kernel headers."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from monitor.ebpf.headers import include_flags, kernel_source, source_directory

PROGRAM = """
import socket, time, sys
from bcc import BPF
program = BPF(text=r'''
BPF_ARRAY(drops, u64, 1);
RAW_TRACEPOINT_PROBE(kfree_skb)
{
    u32 zero = 0;
    u64 *count = drops.lookup(&zero);
    if (count)
        __sync_fetch_and_add(count, 1);
    return 0;
}
''', cflags=sys.argv[1:])
before = program["drops"][0].value
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    for _ in range(50):
        sender.sendto(b"x", ("127.0.0.1", 9))
print(program["drops"][0].value - before)
"""


@pytest.mark.kernel
def test_a_program_compiles_with_our_headers_only() -> None:
    """bcc takes our tree for the kernel's, and the loaded program counts packets dropped on loopback."""
    done = subprocess.run(
        ["/usr/bin/python3", "-c", PROGRAM, *include_flags()],
        env={**os.environ, "BCC_KERNEL_SOURCE": str(kernel_source())},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 1


def test_the_wheel_carries_sources_and_default_configuration(tmp_path: Path) -> None:
    """What an installed package needs beside its modules is inside it."""
    repository = source_directory().parent
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=repository, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    names = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    shipped = {f"monitor/ebpf/bpf/{path.relative_to(source_directory())}" for path in source_directory().rglob("*.h")}
    assert shipped
    assert shipped | {"monitor/settings/nodewarden.yaml", "monitor/py.typed"} <= names
