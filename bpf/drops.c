/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Counts dropped packets at the raw tracepoint kfree_skb: all by reason, and those of frequent sources by source.
 *
 * Compiled through bcc. Offsets of kernel structures come as -D flags from the running kernel's BTF:
 * SKB_{LEN,DEV,SK,IIF,DST,PROTOCOL,NETWORK,HEAD} and SKB_BYTES (how much of an sk_buff to read), DEV_NET, SOCK_NET,
 * NET_INUM, DST_INPUT; type IDs: TYPE_{IPHDR,IPV6HDR,UDPHDR,DST_ENTRY}. So do REASONS, UNKNOWN_REASON,
 * CORE_REASONS (slots), SUBSYSTEM_REASONS (how many), NOT_DROPPED, CONSUMED, and the kernel's functions IP_FORWARD and
 * IP6_FORWARD (0 where they are not known).
 *
 * From monitor/sources/drops/reader.py: OWN_NETNS, ALL_NETNS, FAMILY_*, DIRECTION_*, EVENT_*, EVENTS, PROTOCOL_*;
 * CLASSES, a power of two, so that a mask bounds the index for the verifier; MAX_OFFENDERS, MAX_UNKNOWN_REASONS, and
 * what the headers included here need.
 */

#include <linux/if_ether.h>

#include "drop_index.h"
#include "sketch.h"

struct drop_count {
	u64 packets;
	u64 bytes;
};

struct offender {
	u64 packets[CLASSES];
	struct source outer;
};

struct packet {
	u32 length;
	u32 family;
	u32 direction;
	u32 is_tunnelled;
	u32 is_foreign;
	struct source source;
	struct source outer;
};

BPF_PERCPU_ARRAY(drops, struct drop_count, DROP_COUNTERS);
BPF_PERCPU_ARRAY(drop_events, u64, EVENTS);
BPF_ARRAY(reason_classes, u32, REASONS);
BPF_ARRAY(drop_sketch, struct sketch_line, SKETCH_LINES);
BPF_ARRAY(drop_sketch_window, struct sketch_window, 1);
BPF_TABLE("hash", struct source, struct offender, drop_offenders, MAX_OFFENDERS);
BPF_TABLE("hash", u32, u32, reason_slots, SUBSYSTEM_REASONS);
BPF_TABLE("hash", u32, u64, unknown_reasons, MAX_UNKNOWN_REASONS);

#define FIELD(type, bytes, offset) (*(type *)((bytes) + (offset)))

/*
 * Ways to read kernel memory, cheapest first; each call of bpf_probe_read_kernel costs 25 to 50 ns.
 *
 * With TRACING the verifier knows the types of the tracepoint's arguments and lets the program follow pointers to
 * structures. With CASTS (since 6.2) it accepts casts of other pointers: the loader replaces calls of CAST_CALL by
 * calls of the kernel's bpf_rdonly_cast, which cost nothing. Failed reads return zeros.
 */
#ifdef TRACING
#define READ(to, base, offset) ((to) = *(typeof(to) *)((void *)(base) + (offset)))
#define SKB(type, skb, offset) (*(type *)((void *)(skb) + (offset)))
#else
#define READ(to, base, offset) bpf_probe_read_kernel(&(to), sizeof(to), (void *)(base) + (offset))
#define SKB(type, skb, offset) FIELD(type, skb, offset)
#endif
#ifdef CASTS
static u8 *(*cast)(const void *at, u32 type) = (void *)CAST_CALL;
#define LOAD(name, size, at, type) u8 *name = cast(at, type)
#define RECAST(name, at, type) name = cast(at, type)
#else
#define LOAD(name, size, at, type)                                                                                     \
	u8 name[size] = {};                                                                                            \
	bpf_probe_read_kernel(name, size, at)
#define RECAST(name, at, type)
#endif

static __always_inline void note(u32 event)
{
	u64 *count = drop_events.lookup(&event);
	if (count)
		*count += 1;
}

static __always_inline u32 slot_of(u32 reason)
{
	if (reason < CORE_REASONS)
		return reason;
	u32 *slot = reason_slots.lookup(&reason);
	if (slot)
		return *slot;
	u64 zero = 0, *count = unknown_reasons.lookup_or_try_init(&reason, &zero);
	if (count)
		__sync_fetch_and_add(count, 1);
	return UNKNOWN_REASON;
}

/* The payload of an IP header: its protocol (-1: no readable header), and its address. */
struct inside {
	void *at;
	int protocol;
};

/* Reads one IP header. */
static __always_inline void read_ip(void *at, u32 *family, struct source *source, struct inside *inside)
{
	inside->protocol = -1;
	LOAD(header, 40, at, TYPE_IPHDR);
	if (header[0] >> 4 == 4) {
		*family = FAMILY_IPV4;
		set_ipv4(source, FIELD(u32, header, 12));
		inside->at = at + (header[0] & 15) * 4;
		if (FIELD(u16, header, 6) & bpf_htons(0x1fff)) /* a later fragment */
			return;
		inside->protocol = header[9];
	} else if (header[0] >> 4 == 6) {
		RECAST(header, at, TYPE_IPV6HDR);
		*family = FAMILY_IPV6;
		source->high = FIELD(u64, header, 8);
		source->low = FIELD(u64, header, 16);
		inside->at = at + 40;
		inside->protocol = header[6];
	}
}

/* Moves `inside` past the headers of a tunnel, to the inner packet; returns whether there is one. */
static __always_inline int enter_tunnel(struct inside *inside)
{
	if (inside->protocol == PROTOCOL_IPIP || inside->protocol == PROTOCOL_IPV6)
		return 1;
	if (inside->protocol != PROTOCOL_UDP && inside->protocol != PROTOCOL_GRE)
		return 0;
	LOAD(words, 4, inside->at, TYPE_UDPHDR);
	u16 first = FIELD(u16, words, 0), second = FIELD(u16, words, 2);
	if (inside->protocol == PROTOCOL_UDP) {
		/* RFC 7348, and the port that Linux used before it; an Ethernet header follows */
		inside->at += 8 + 8 + 14;
		return second == bpf_htons(4789) || second == bpf_htons(8472);
	}
	/* RFC 2784, RFC 2890: flags indicate checksum, key and sequence number */
	inside->at += 4;
	if (first & bpf_htons(0x8000))
		inside->at += 4;
	if (first & bpf_htons(0x2000))
		inside->at += 4;
	if (first & bpf_htons(0x1000))
		inside->at += 4;
	if (second == bpf_htons(ETH_P_TEB))
		inside->at += 14;
	return 1;
}

static __always_inline void read_source(void *skb, struct packet *packet)
{
	u16 protocol = SKB(u16, skb, SKB_PROTOCOL), network = SKB(u16, skb, SKB_NETWORK);

	if (network == 0 || network == 0xffff) {
		packet->family = FAMILY_NO_HEADER;
		return;
	}
	packet->family = FAMILY_OTHER;
	if (protocol != bpf_htons(ETH_P_IP) && protocol != bpf_htons(ETH_P_IPV6))
		return;
	struct inside inside = {};
	read_ip(SKB(void *, skb, SKB_HEAD) + network, &packet->family, &packet->source, &inside);
	if (!enter_tunnel(&inside))
		return;
	u32 family = packet->family;
	struct source inner = {};
	read_ip(inside.at, &family, &inner, &inside);
	if (!inner.low && !inner.high)
		return;
	packet->is_tunnelled = 1;
	packet->outer = packet->source;
	packet->source = inner;
	packet->family = family;
}

/* Whether a packet was being forwarded, according to its route. */
static __always_inline int is_forwarded(void *skb)
{
	void *entry = (void *)(SKB(u64, skb, SKB_DST) & ~1ull);

	if (!entry)
		return 0;
	LOAD(route, DST_INPUT + 8, entry, TYPE_DST_ENTRY);
	u64 input = FIELD(u64, route, DST_INPUT);
	return input && (input == IP_FORWARD || input == IP6_FORWARD);
}

static __always_inline u32 read_netns(void *skb)
{
	void *device = SKB(void *, skb, SKB_DEV), *socket = SKB(void *, skb, SKB_SK), *net = 0;
	u32 inum = 0;

	/* in socket queues the field of the device has other content: only one with an inode number is valid */
	if (device)
		READ(net, device, DEV_NET);
	if (net)
		READ(inum, net, NET_INUM);
	if (!inum && socket) {
		READ(net, socket, SOCK_NET);
		if (net)
			READ(inum, net, NET_INUM);
	}
	return inum;
}

static __always_inline void count_source(struct packet *packet, u32 slot)
{
	u32 zero = 0, *class = reason_classes.lookup(&slot);
	struct offender *offender = drop_offenders.lookup(&packet->source);

	if (!class)
		return;
	if (!offender) {
		u64 hash = mix(&packet->source);
		u32 index = hash % SKETCH_LINES;
		struct sketch_line *line = drop_sketch.lookup(&index);
		struct sketch_window *window = drop_sketch_window.lookup(&zero);
		if (!line || !window || !is_frequent(window, line, hash))
			return;
		struct offender fresh = {};
		if (drop_offenders.insert(&packet->source, &fresh) == -E2BIG)
			note(EVENT_LOST_OFFENDERS);
		offender = drop_offenders.lookup(&packet->source);
		if (!offender)
			return;
	}
	__sync_fetch_and_add(&offender->packets[*class & (CLASSES - 1)], 1);
	if (packet->is_tunnelled)
		offender->outer = packet->outer;
}

int kfree_skb(u64 *ctx)
{
	u32 reason = ctx[2], slot, index;
	struct packet packet = {};

	if (reason == NOT_DROPPED || reason == CONSUMED)
		return 0;
#ifdef TRACING
	void *skb = (void *)ctx[0];
#else
	u8 skb[SKB_BYTES];
	if (bpf_probe_read_kernel(skb, sizeof(skb), (void *)ctx[0]))
		return 0;
#endif
	packet.length = SKB(u32, skb, SKB_LEN);
	u32 inum = read_netns(skb);
	if (!inum)
		note(EVENT_NO_DEVICE);
	packet.is_foreign = inum != OWN_NETNS;
	packet.direction = DIRECTION_OUT;
	if (SKB(u32, skb, SKB_IIF))
		packet.direction = is_forwarded(skb) ? DIRECTION_FORWARDED : DIRECTION_IN;
	read_source(skb, &packet);
	slot = slot_of(reason);
	index = drop_index(slot, packet.family, packet.direction, packet.is_tunnelled, packet.is_foreign);
	struct drop_count *count = drops.lookup(&index);
	if (count) {
		count->packets += 1;
		count->bytes += packet.length;
	}
	if (packet.direction == DIRECTION_OUT || (packet.is_foreign && !ALL_NETNS))
		return 0;
	if (packet.family == FAMILY_IPV4 || packet.family == FAMILY_IPV6)
		count_source(&packet, slot);
	return 0;
}
