/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Finds frequent sources among any number of forged ones that occur once; shared by drops.c and xdp_ban.c.
 *
 * A count-min sketch (Cormode and Muthukrishnan 2005) that increments only the smallest cells (conservative update,
 * Estan and Varghese 2002). A lost race costs one count.
 *
 * -D flags from monitor/ebpf/frequent.py: SKETCH_LINES; COUNT_BITS of a cell, the other bits are the epoch;
 * FREQUENT_PACKETS, STEP_PACKETS. SEED is a late constant.
 */

#include <linux/errno.h>

#include "late.h"

/* IPv4 as ::ffff:0:0/96 */
struct source {
	u64 high;
	u64 low;
};

/* The current window: a cell with another epoch counts as empty, so clearing all cells takes one write. */
struct sketch_window {
	u64 total;
	u64 epoch;
};

/* All cells of a source are in one cache line, because each forged source costs a cache miss. */
struct sketch_line {
	u32 cells[16];
};

static __always_inline void set_ipv4(struct source *source, u32 address)
{
	source->high = 0;
	source->low = (u64)address << 32 | bpf_htonl(0xffff);
}

static __always_inline u64 mix(struct source *source)
{
	u64 hash = (source->high ^ SEED) * 0x9e3779b97f4a7c15ull;

	hash = (hash ^ source->low ^ hash >> 29) * 0xbf58476d1ce4e5b9ull;
	hash = (hash ^ hash >> 32) * 0x94d049bb133111ebull;
	return hash ^ hash >> 31;
}

/* Counts a source, by its hash, in its line; returns an estimate of its packets in this window. */
static __always_inline u32 estimate(struct sketch_line *line, u64 hash, u32 epoch)
{
	const u32 count_mask = (1u << COUNT_BITS) - 1;
	u32 a, b, c, d, least;
	u32 *in_a = &line->cells[hash >> 32 & 3], *in_b = &line->cells[4 + (hash >> 34 & 3)];
	u32 *in_c = &line->cells[8 + (hash >> 36 & 3)], *in_d = &line->cells[12 + (hash >> 38 & 3)];

	epoch <<= COUNT_BITS;
	a = (*in_a & ~count_mask) == epoch ? *in_a : epoch;
	b = (*in_b & ~count_mask) == epoch ? *in_b : epoch;
	c = (*in_c & ~count_mask) == epoch ? *in_c : epoch;
	d = (*in_d & ~count_mask) == epoch ? *in_d : epoch;
	least = a < b ? a : b;
	least = c < least ? c : least;
	least = d < least ? d : least;
	if ((least & count_mask) == count_mask)
		return count_mask;
	least += 1;
	if (a < least)
		*in_a = least;
	if (b < least)
		*in_b = least;
	if (c < least)
		*in_c = least;
	if (d < least)
		*in_d = least;
	return least & count_mask;
}

/* Counts a packet of a source; returns an estimate of the source's packets in this window. */
static __always_inline u32 sight(struct sketch_window *window, struct sketch_line *line, u64 hash)
{
	window->total += 1;
	return estimate(line, hash, window->epoch);
}

/* Whether a source with this estimate is frequent, so that it should be counted exactly. */
static __always_inline int is_frequent(struct sketch_window *window, u32 packets)
{
	/* collisions grow with the total count */
	return packets >= FREQUENT_PACKETS + window->total / STEP_PACKETS;
}
