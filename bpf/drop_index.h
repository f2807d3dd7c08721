/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which element of the array `drops` counts a packet; monitor/sources/drops/counter_index.py turns it back.
 *
 * The element's number has a digit for each thing that is told apart. -D flags say how many values each has: REASONS
 * (slots), FAMILIES, DIRECTIONS, TUNNELLED and FOREIGN (2, or 1 where the program cannot tell).
 */

#define DROP_COUNTERS (REASONS * FAMILIES * DIRECTIONS * TUNNELLED * FOREIGN)

static __always_inline u32 drop_index(u32 slot, u32 family, u32 direction, u32 is_tunnelled, u32 is_foreign)
{
	u32 index = slot * FAMILIES + family;

	index = index * DIRECTIONS + direction;
	index = index * TUNNELLED + is_tunnelled;
	return index * FOREIGN + is_foreign;
}
