/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Counts dropped packets at the tracepoint skb:kfree_skb, only by reason and family.
 *
 * For kernels without BTF: the offsets of the tracepoint's fields come from its format file, as -D flags REASON_AT and
 * PROTOCOL_AT (bytes), and so do REASONS (slots; the last one is for reasons without a name),
 * FAMILY_{IPV4,IPV6,OTHER,NO_PROTOCOL} and what drop_index.h needs: monitor/sources/drops/classic.py.
 */

#include <linux/if_ether.h>

#include "drop_index.h"

BPF_PERCPU_ARRAY(drops, u64, DROP_COUNTERS);

int kfree_skb(void *ctx)
{
	u32 reason = *(u32 *)(ctx + REASON_AT), family = FAMILY_OTHER;
	u16 protocol = *(u16 *)(ctx + PROTOCOL_AT);

	if (reason >= REASONS)
		reason = REASONS - 1;
	/* in host byte order: the tracepoint has converted it */
	if (protocol == ETH_P_IP)
		family = FAMILY_IPV4;
	else if (protocol == ETH_P_IPV6)
		family = FAMILY_IPV6;
	else if (!protocol)
		family = FAMILY_NO_PROTOCOL;
	u32 index = drop_index(reason, family, 0, 0, 0);
	u64 *count = drops.lookup(&index);
	if (count)
		*count += 1;
	return 0;
}
