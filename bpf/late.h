/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Numbers that differ from one start to the next: seeds, the network namespace, addresses of kernel functions.
 *
 * A compiled program is kept for later starts, so these are not compiled in. LATE is 64 bits that the compiler knows
 * nothing about; monitor/ebpf/program.py, which LATE_MARK comes from, replaces them when it loads the program.
 */

#define LATE(number)                                                                                                   \
	({                                                                                                             \
		u64 _late;                                                                                             \
		asm("%0 = %1 ll" : "=r"(_late) : "i"(LATE_MARK + (number)));                                           \
		_late;                                                                                                 \
	})
