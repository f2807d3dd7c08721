/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Counts dropped packets at the tracepoint skb:kfree_skb by reason and family, and knows no more than that.
 *
 * For kernels without BTF: where the tracepoint's fields are comes from its format file, as -D flags REASON_AT and
 * PROTOCOL_AT (bytes), and so does REASONS (slots, of which the last is for reasons without a name).
 */

#define FAMILIES 4

/* in the order of drops.c */
enum family { IPV4, IPV6, OTHER_FAMILY };

BPF_PERCPU_ARRAY(drops, u64, REASONS *FAMILIES);

int kfree_skb(void *ctx)
{
	u32 reason = *(u32 *)(ctx + REASON_AT), family = OTHER_FAMILY;
	u16 protocol = *(u16 *)(ctx + PROTOCOL_AT);

	if (reason >= REASONS)
		reason = REASONS - 1;
	/* in the order of the processor: the tracepoint has turned it */
	if (protocol == 0x0800)
		family = IPV4;
	else if (protocol == 0x86dd)
		family = IPV6;
	u32 index = reason * FAMILIES + family;
	u64 *count = drops.lookup(&index);
	if (count)
		*count += 1;
	return 0;
}
