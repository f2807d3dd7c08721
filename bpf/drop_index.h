/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The index in the array `drops` of the counter for a packet; monitor/sources/drops/counter_index.py decodes it.
 *
 * The index has one digit per attribute. -D flags are the number of values of each: REASONS (slots), FAMILIES,
 * DIRECTIONS, TUNNELLED and FOREIGN (2, or 1 if the program cannot determine it).
 */

#define DROP_COUNTERS (REASONS * FAMILIES * DIRECTIONS * TUNNELLED * FOREIGN)

static __always_inline u32 drop_index(u32 slot, u32 family, u32 direction, u32 is_tunnelled, u32 is_foreign)
{
	u32 index = slot * FAMILIES + family;

	index = index * DIRECTIONS + direction;
	index = index * TUNNELLED + is_tunnelled;
	return index * FOREIGN + is_foreign;
}
