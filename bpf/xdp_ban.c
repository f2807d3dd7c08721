/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Drops packets of banned sources before the network stack, and counts SYN and UDP packets of frequent sources.
 *
 * Compiled through bcc. The maps have the elements of the sets `ban*` and `allow*` of nftables, which keep working.
 * A packet that does not start with a valid IP header passes: the network stack handles it.
 *
 * -D flags from monitor/ebpf/xdp.py: MAX_BANS, MAX_PREFIXES and MAX_SENDERS bound the maps, MAX_TAGS and MAX_EXTENSIONS
 * the headers to skip; SET_*, SETS, EVENT_*, EVENTS, PROTOCOL_*, TCP_SYN, TCP_ACK, and what sketch.h needs.
 */

#include <linux/bpf.h>
#include <linux/if_ether.h>

#include "sketch.h"

/* In force until `until_ns` of CLOCK_MONOTONIC; the counters start when the ban is added. */
struct ban {
	u64 until_ns;
	u64 packets;
	u64 bytes;
};

struct stop_count {
	u64 packets;
	u64 bytes;
};

struct address6 {
	u64 high;
	u64 low;
};

struct prefix4 {
	u32 length;
	u32 address;
};

struct prefix6 {
	u32 length;
	u8 address[16];
};

struct sender {
	u64 syn;
	u64 udp;
};

BPF_F_TABLE("hash", u32, struct ban, xdp_ban4, MAX_BANS, BPF_F_NO_PREALLOC);
BPF_F_TABLE("hash", struct address6, struct ban, xdp_ban6, MAX_BANS, BPF_F_NO_PREALLOC);
BPF_F_TABLE("lpm_trie", struct prefix4, struct ban, xdp_ban4_nets, MAX_PREFIXES, BPF_F_NO_PREALLOC);
BPF_F_TABLE("lpm_trie", struct prefix6, struct ban, xdp_ban6_nets, MAX_PREFIXES, BPF_F_NO_PREALLOC);
BPF_F_TABLE("lpm_trie", struct prefix4, u8, xdp_allow4, MAX_ALLOWED, BPF_F_NO_PREALLOC);
BPF_F_TABLE("lpm_trie", struct prefix6, u8, xdp_allow6, MAX_ALLOWED, BPF_F_NO_PREALLOC);
BPF_PERCPU_ARRAY(xdp_stops, struct stop_count, SETS);
BPF_PERCPU_ARRAY(xdp_events, u64, EVENTS);
BPF_ARRAY(xdp_sketch, struct sketch_line, SKETCH_LINES);
BPF_ARRAY(xdp_sketch_window, struct sketch_window, 1);
BPF_TABLE("hash", struct source, struct sender, xdp_senders, MAX_SENDERS);

/* The parsed part of a packet; `at` is the end of the IP header, 0 if it is not known. */
struct packet {
	void *at;
	void *end;
	u32 protocol;
	u32 bytes;
};

/* The coarse clock is that of the last tick: at most 4 ms late, and cheap (since 5.11). */
static __always_inline int is_in_force(struct ban *ban)
{
	return ban && ban->until_ns > bpf_ktime_get_coarse_ns();
}

static __always_inline int stop(struct ban *ban, u32 set, u32 bytes)
{
	struct stop_count *count = xdp_stops.lookup(&set);

	__sync_fetch_and_add(&ban->packets, 1);
	__sync_fetch_and_add(&ban->bytes, bytes);
	if (count) {
		count->packets += 1;
		count->bytes += bytes;
	}
	return XDP_DROP;
}

static __always_inline void count_sender(struct source *source, struct packet *packet)
{
	u32 zero = 0;

	if (packet->protocol == PROTOCOL_TCP) {
		u8 *flags = packet->at + 13;
		/* SYN without ACK */
		if (packet->at + 14 > packet->end || (*flags & (TCP_SYN | TCP_ACK)) != TCP_SYN)
			return;
	} else if (packet->protocol != PROTOCOL_UDP) {
		return;
	}
	struct sender *sender = xdp_senders.lookup(source);
	if (!sender) {
		u64 hash = mix(source);
		u32 index = hash % SKETCH_LINES;
		struct sketch_line *line = xdp_sketch.lookup(&index);
		struct sketch_window *window = xdp_sketch_window.lookup(&zero);
		if (!line || !window || !is_frequent(window, sight(window, line, hash)))
			return;
		struct sender fresh = {};
		if (xdp_senders.insert(source, &fresh) == -E2BIG) {
			u32 event = EVENT_LOST_SENDERS;
			u64 *count = xdp_events.lookup(&event);
			if (count)
				*count += 1;
		}
		sender = xdp_senders.lookup(source);
		if (!sender)
			return;
	}
	__sync_fetch_and_add(packet->protocol == PROTOCOL_TCP ? &sender->syn : &sender->udp, 1);
}

static __always_inline int judge_ipv4(void *at, struct packet *packet)
{
	u8 *header = at;
	struct source source;
	u32 address, set = SET_BAN4;

	if (at + 20 > packet->end || *header >> 4 != 4)
		return XDP_PASS;
	address = *(u32 *)(at + 12);
	struct prefix4 prefix = {.length = 32, .address = address};
	struct ban *ban = xdp_ban4.lookup(&address);
	int is_banned = is_in_force(ban);
	if (!is_banned) {
		ban = xdp_ban4_nets.lookup(&prefix);
		is_banned = is_in_force(ban);
		set = SET_BAN4_NETS;
	}
	if (is_banned && !xdp_allow4.lookup(&prefix))
		return stop(ban, set, packet->bytes);
	/* later fragments have no ports */
	if (*(u16 *)(at + 6) & bpf_htons(0x1fff))
		return XDP_PASS;
	packet->protocol = header[9];
	packet->at = at + (*header & 15) * 4;
	set_ipv4(&source, address);
	count_sender(&source, packet);
	return XDP_PASS;
}

/* Skips the extension headers (RFC 8200, section 4); the protocol stays 0 if none can be read. */
static __always_inline void skip_extensions(void *at, u32 next, struct packet *packet)
{
#pragma unroll
	for (int count = 0; count < MAX_EXTENSIONS; count++) {
		u8 *header = at;
		if (next == PROTOCOL_TCP || next == PROTOCOL_UDP) {
			packet->protocol = next;
			packet->at = at;
			return;
		}
		if (at + 8 > packet->end)
			return;
		if (next == PROTOCOL_HOPOPTS || next == PROTOCOL_ROUTING || next == PROTOCOL_DSTOPTS) {
			at += (header[1] + 1) * 8;
		} else if (next == PROTOCOL_AH) {
			at += (header[1] + 2) * 4;
		} else if (next == PROTOCOL_FRAGMENT) {
			if (*(u16 *)(header + 2) & bpf_htons(0xfff8))
				return;
			at += 8;
		} else {
			return;
		}
		next = header[0];
	}
}

static __always_inline int judge_ipv6(void *at, struct packet *packet)
{
	u8 *header = at;
	u32 set = SET_BAN6;

	if (at + 40 > packet->end || *header >> 4 != 6)
		return XDP_PASS;
	struct prefix6 prefix = {.length = 128};
	struct address6 address;
	struct source source;
	__builtin_memcpy(&address, at + 8, 16);
	__builtin_memcpy(prefix.address, at + 8, 16);
	struct ban *ban = xdp_ban6.lookup(&address);
	int is_banned = is_in_force(ban);
	if (!is_banned) {
		ban = xdp_ban6_nets.lookup(&prefix);
		is_banned = is_in_force(ban);
		set = SET_BAN6_NETS;
	}
	if (is_banned && !xdp_allow6.lookup(&prefix))
		return stop(ban, set, packet->bytes);
	source.high = address.high;
	source.low = address.low;
	skip_extensions(at + 40, header[6], packet);
	if (packet->at)
		count_sender(&source, packet);
	return XDP_PASS;
}

int xdp_ban(struct xdp_md *ctx)
{
	void *at = (void *)(long)ctx->data;
	struct packet packet = {.end = (void *)(long)ctx->data_end};

	packet.bytes = packet.end - at;
	if (at + 14 > packet.end)
		return XDP_PASS;
	u16 type = *(u16 *)(at + 12);
	at += 14;
#pragma unroll
	for (int tag = 0; tag < MAX_TAGS; tag++) {
		/* IEEE 802.1Q, 802.1ad */
		if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD))
			break;
		if (at + 4 > packet.end)
			return XDP_PASS;
		type = *(u16 *)(at + 2);
		at += 4;
	}
	if (type == bpf_htons(ETH_P_IP))
		return judge_ipv4(at, &packet);
	if (type == bpf_htons(ETH_P_IPV6))
		return judge_ipv6(at, &packet);
	return XDP_PASS;
}
