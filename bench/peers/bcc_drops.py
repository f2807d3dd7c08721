"""Counts drops as bcc's tools do: loaded in the process, with one record per packet or an LRU hash by source.

As a program, `python -m bench.peers.bcc_drops`, it prints the memory for loading one, in MB (10^6 bytes).
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bench.process import memory_mb
from monitor.ebpf.headers import include_flags, kernel_source
from monitor.ebpf.maps import attach_raw_tracepoint, run_statistics

_HEAD = """
struct record { u64 time_ns; u32 source; u32 reason; u64 location; };
BPF_PERF_OUTPUT(records);
BPF_TABLE("lru_hash", u32, u64, by_source, 65536);

static __always_inline u32 read_source(struct bpf_raw_tracepoint_args *ctx)
{
	void *head = 0;
	u16 network = 0;
	u32 source = 0;
	bpf_probe_read_kernel(&head, sizeof(head), (void *)ctx->args[0] + SKB_HEAD);
	bpf_probe_read_kernel(&network, sizeof(network), (void *)ctx->args[0] + SKB_NETWORK);
	bpf_probe_read_kernel(&source, sizeof(source), head + network + 12);
	return source;
}
"""
_BODIES = {
    "empty": "return 0;",
    "record": """
	struct record record = {bpf_ktime_get_ns(), read_source(ctx), ctx->args[2], ctx->args[1]};
	records.perf_submit(ctx, &record, sizeof(record));
	return 0;""",
    "lru": """
	u32 source = read_source(ctx);
	u64 zero = 0, *count = by_source.lookup_or_try_init(&source, &zero);
	if (count)
		__sync_fetch_and_add(count, 1);
	return 0;""",
}


def _load(name: str) -> tuple[Any, Any]:
    from bcc import BPF

    from monitor.ebpf.btf import KERNEL, Btf

    os.environ["BCC_KERNEL_SOURCE"] = str(kernel_source())
    btf = Btf(KERNEL.read_bytes())
    offsets = {
        "SKB_HEAD": btf.offset_bytes("sk_buff", "head"),
        "SKB_NETWORK": btf.offset_bytes("sk_buff", "network_header"),
    }
    text = f"{_HEAD}\nint count(struct bpf_raw_tracepoint_args *ctx)\n{{{_BODIES[name]}}}\n"
    program = BPF(text=text, cflags=[*include_flags(), *(f"-D{key}={value}" for key, value in offsets.items())])
    return program, program.load_func("count", BPF.RAW_TRACEPOINT)


@contextmanager
def attached(name: str) -> Iterator[Callable[[], tuple[int, int]]]:
    """Attach a program; yield a function that reads nanoseconds and runs. Reading the records would cost more still."""
    program, function = _load(name)
    if name == "record":
        program["records"].open_perf_buffer(lambda *_: None)
    attachment = attach_raw_tracepoint(function.fd, "kfree_skb")
    try:
        yield lambda: run_statistics(function.fd)
    finally:
        os.close(attachment)
        program.cleanup()


if __name__ == "__main__":
    before_mb = memory_mb(os.getpid(), "VmRSS")
    kept = _load("lru")
    print(memory_mb(os.getpid(), "VmRSS") - before_mb)
