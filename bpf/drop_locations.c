/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Counts dropped packets by the location in the kernel that dropped them, for a few seconds while a command asks.
 *
 * -D flags from monitor/ebpf/drop_locations.py: MAX_LOCATIONS, EVENT_LOST_LOCATIONS, EVENTS. From the kernel's types:
 * NOT_DROPPED and CONSUMED, reasons that mean that no packet was dropped; and what skb.h needs.
 */

#include "skb.h"

struct location {
	u64 address;
	u64 reason;
	u32 netns;
	u32 has_no_protocol;
};

BPF_TABLE("hash", struct location, u64, drop_locations, MAX_LOCATIONS);
BPF_PERCPU_ARRAY(drop_location_events, u64, EVENTS);

int kfree_skb(u64 *ctx)
{
	struct location location = {.address = ctx[1], .reason = (u32)ctx[2]};
	u64 zero = 0;

	if (location.reason == NOT_DROPPED || location.reason == CONSUMED)
		return 0;
	u8 skb[SKB_BYTES];
	if (bpf_probe_read_kernel(skb, sizeof(skb), (void *)ctx[0]))
		return 0;
	location.netns = read_netns(skb);
	location.has_no_protocol = has_no_protocol(skb);
	u64 *count = drop_locations.lookup_or_try_init(&location, &zero);
	if (count) {
		__sync_fetch_and_add(count, 1);
		return 0;
	}
	u32 event = EVENT_LOST_LOCATIONS;
	count = drop_location_events.lookup(&event);
	if (count)
		*count += 1;
	return 0;
}
