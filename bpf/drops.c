/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Counts dropped packets at the raw tracepoint kfree_skb: all by reason, and those of frequent sources by source.
 *
 * Compiled through bcc. Offsets of kernel structures come as -D flags from the running kernel's BTF:
 * SKB_{LEN,PKT_TYPE,DEV,SK,IIF,DST,PROTOCOL,NETWORK,TAIL,HEAD} and SKB_BYTES (how much of an sk_buff to read), DEV_NET,
 * SOCK_NET, NET_INUM, DST_INPUT; type IDs: TYPE_{IPHDR,IPV6HDR,UDPHDR,TCPHDR,DST_ENTRY}. So do REASONS, UNKNOWN_REASON,
 * CORE_REASONS (slots), SUBSYSTEM_REASONS (how many), NOT_DROPPED, CONSUMED. Late constants (late.h): OWN_NETNS,
 * PORT_SEED, and the kernel's functions IP_FORWARD and IP6_FORWARD (0 where they are not known).
 *
 * From monitor/sources/drops/reader.py: ALL_NETNS, FAMILY_*, DIRECTION_*, EVENT_*, EVENTS, PROTOCOL_*,
 * TCP_*; CLASSES, a power of two, so that a mask bounds the index for the verifier, and bits above it: PROBE_REASON,
 * TEARDOWN_REASON, PACKET_REASON, UNNAMED_REASON, SEEN_REASON; MAX_NAMESPACES (0: drops are not counted by namespace);
 * MAX_OFFENDERS, MAX_PROBERS, MAX_OVERLAY_PEERS, MAX_UNKNOWN_REASONS; WELL_KNOWN_PORTS (the first port above them),
 * {FIRST,LAST}_{CLIENT,TRACEROUTE}_PORT; PROBE_STEP_PACKETS; and what the headers included here need.
 */

#include <linux/if_ether.h>
#include <linux/if_packet.h>

#include "drop_index.h"
#include "skb.h"
#include "sketch.h"

struct drop_count {
	u64 packets;
	u64 bytes;
};

/* `outer` is set where the source is that of the inner packet. */
struct offender {
	u64 packets[CLASSES];
	u64 tunnelled;
	struct source outer;
};

/* Bitmaps of hashed destination ports, since the last poll. */
struct prober {
	u64 stealth;
	u64 ports;
};

struct netns_drops {
	u64 packets[CLASSES];
};

struct peer {
	u32 length;
	u8 address[16];
};

/* The payload of an IP header: its protocol (-1: no readable header), and its address. */
struct payload {
	void *at;
	int protocol;
	int is_to_group;
};

/* `end` is that of the packet's linear part. */
struct packet {
	void *end;
	u32 length;
	u32 family;
	u32 direction;
	u32 is_tunnelled;
	u32 is_foreign;
	struct source source;
	struct source outer;
	struct payload payload;
};

BPF_PERCPU_ARRAY(drops, struct drop_count, DROP_COUNTERS);
BPF_PERCPU_ARRAY(drop_events, u64, EVENTS);
BPF_ARRAY(reason_classes, u32, REASONS);
BPF_ARRAY(drop_sketch, struct sketch_line, SKETCH_LINES);
BPF_ARRAY(drop_sketch_window, struct sketch_window, 1);
BPF_TABLE("hash", struct source, struct offender, drop_offenders, MAX_OFFENDERS);
BPF_TABLE("hash", struct source, struct prober, drop_probers, MAX_PROBERS);
#if MAX_NAMESPACES
BPF_TABLE("lru_hash", u32, struct netns_drops, drop_namespaces, MAX_NAMESPACES);
#endif
BPF_F_TABLE("lpm_trie", struct peer, u8, overlay_peers, MAX_OVERLAY_PEERS, BPF_F_NO_PREALLOC);
BPF_TABLE("hash", u32, u32, reason_slots, SUBSYSTEM_REASONS);
BPF_TABLE("hash", u32, u64, unknown_reasons, MAX_UNKNOWN_REASONS);

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

/* Reads one IP header. */
static __always_inline void read_ip(void *at, void *end, u32 *family, struct source *source, struct payload *payload)
{
	payload->protocol = -1;
	if (at + 20 > end)
		return;
	LOAD(header, 40, at, TYPE_IPHDR);
	if (header[0] >> 4 == 4) {
		*family = FAMILY_IPV4;
		set_ipv4(source, FIELD(u32, header, 12));
		payload->at = at + (header[0] & 15) * 4;
		payload->is_to_group = header[16] >= 0xe0;
		if (FIELD(u16, header, 6) & bpf_htons(0x1fff)) /* a later fragment */
			return;
		payload->protocol = header[9];
	} else if (header[0] >> 4 == 6 && at + 40 <= end) {
		RECAST(header, at, TYPE_IPV6HDR);
		*family = FAMILY_IPV6;
		/* a mapped IPv4 address is none in a packet (RFC 6890), and blames no host of IPv4 */
		if (FIELD(u64, header, 8) || FIELD(u32, header, 16) != bpf_htonl(0xffff)) {
			source->high = FIELD(u64, header, 8);
			source->low = FIELD(u64, header, 16);
		}
		payload->at = at + 40;
		payload->is_to_group = header[24] == 0xff;
		payload->protocol = header[6];
	}
}

/* Returns the length of the UDP tunnel's headers in front of the inner packet, 0 if it is none. */
static __always_inline u32 udp_tunnel_bytes(void *at, void *end, u16 port)
{
	/* VXLAN: RFC 7348, and the port that Linux used before it; an Ethernet header follows */
	if (port == bpf_htons(4789) || port == bpf_htons(8472))
		return 8 + 8 + 14;
	if (port != bpf_htons(6081) || at + 16 > end)
		return 0;
	/* Geneve: RFC 8926, with options; Ethernet or IP follows */
	LOAD(words, 4, at + 8, TYPE_UDPHDR);
	u32 bytes = 8 + 8 + (words[0] & 63) * 4;
	return FIELD(u16, words, 2) == bpf_htons(ETH_P_TEB) ? bytes + 14 : bytes;
}

/* Moves `payload` past the headers of a tunnel, to the inner packet; returns whether there is one. */
static __always_inline int enter_tunnel(struct payload *payload, void *end)
{
	if (payload->protocol == PROTOCOL_IPIP || payload->protocol == PROTOCOL_IPV6)
		return 1;
	if (payload->protocol != PROTOCOL_UDP && payload->protocol != PROTOCOL_GRE)
		return 0;
	LOAD(words, 4, payload->at, TYPE_UDPHDR);
	u16 first = FIELD(u16, words, 0), second = FIELD(u16, words, 2);
	if (payload->protocol == PROTOCOL_UDP) {
		u32 bytes = udp_tunnel_bytes(payload->at, end, second);
		payload->at += bytes;
		return bytes;
	}
	/* RFC 2784, RFC 2890: flags indicate checksum, key and sequence number */
	payload->at += 4;
	if (first & bpf_htons(0x8000))
		payload->at += 4;
	if (first & bpf_htons(0x2000))
		payload->at += 4;
	if (first & bpf_htons(0x1000))
		payload->at += 4;
	if (second == bpf_htons(ETH_P_TEB))
		payload->at += 14;
	return 1;
}

static __always_inline int is_overlay_peer(struct source *source)
{
	struct peer key = {.length = 128};

	__builtin_memcpy(key.address, source, 16);
	return overlay_peers.lookup(&key) != 0;
}

/*
 * Reads whom to count. Anyone can write any source into a tunnel's packet, so that of the inner packet counts only
 * where the outer one is from an overlay peer. One tunnel is entered: in a peer's nested tunnels the first inner source
 * counts.
 */
static __always_inline void read_source(void *skb, struct packet *packet)
{
	u16 protocol = SKB(u16, skb, SKB_PROTOCOL), network = SKB(u16, skb, SKB_NETWORK);

	if (!has_header(skb)) {
		packet->family = protocol ? FAMILY_NO_HEADER : FAMILY_NO_PROTOCOL;
		return;
	}
	packet->family = FAMILY_OTHER;
	packet->payload.protocol = -1;
	if (protocol != bpf_htons(ETH_P_IP) && protocol != bpf_htons(ETH_P_IPV6))
		return;
	void *head = SKB(void *, skb, SKB_HEAD);
	packet->end = head + SKB(u32, skb, SKB_TAIL);
	read_ip(head + network, packet->end, &packet->family, &packet->source, &packet->payload);
	struct payload inside = packet->payload;
	if (!enter_tunnel(&inside, packet->end))
		return;
	u32 family = packet->family;
	struct source inner = {};
	read_ip(inside.at, packet->end, &family, &inner, &inside);
	if (!inner.low && !inner.high)
		return;
	packet->is_tunnelled = 1;
	packet->family = family;
	if (!is_overlay_peer(&packet->source))
		return;
	packet->outer = packet->source;
	packet->source = inner;
	packet->payload = inside;
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

/* A random function of the seed: who does not know it cannot choose ports that share a bit. */
static __always_inline u64 port_bit(u32 protocol, u16 port)
{
	u64 hash = (PORT_SEED ^ (protocol << 16 | port)) * 0x9e3779b97f4a7c15ull;

	hash = (hash ^ hash >> 32) * 0xbf58476d1ce4e5b9ull;
	return 1ull << (hash >> 58);
}

/* Whether the node should have got the packet, by its link-layer address: multicast ones are used by clusters, too. */
static __always_inline int is_addressed_to_us(void *skb)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	u8 type = SKB(u8, skb, SKB_PKT_TYPE) >> 5;
#else
	u8 type = SKB(u8, skb, SKB_PKT_TYPE) & 7;
#endif
	return type == PACKET_HOST || type == PACKET_MULTICAST;
}

/* Notes the port of a packet that only scanners send; monitor/detectors/probes.py explains what is one, and why. */
static __always_inline void note_probe(struct packet *packet)
{
	struct payload *payload = &packet->payload;
	u64 bit, is_stealth = 0;

	if (payload->is_to_group || payload->at + 8 > packet->end)
		return;
	if (payload->protocol == PROTOCOL_TCP) {
		if (payload->at + 14 > packet->end)
			return;
		LOAD(tcp, 14, payload->at, TYPE_TCPHDR);
		u8 flags = tcp[13];
		if (flags & (TCP_ACK | TCP_RST))
			return;
		is_stealth = (flags & (TCP_SYN | TCP_FIN)) != TCP_SYN;
		bit = port_bit(PROTOCOL_TCP, bpf_ntohs(FIELD(u16, tcp, 2)));
	} else if (payload->protocol == PROTOCOL_UDP) {
		LOAD(udp, 4, payload->at, TYPE_UDPHDR);
		u16 from = bpf_ntohs(FIELD(u16, udp, 0)), to = bpf_ntohs(FIELD(u16, udp, 2));
		if (to >= FIRST_CLIENT_PORT && to <= LAST_CLIENT_PORT)
			return;
		if (to >= FIRST_TRACEROUTE_PORT && to <= LAST_TRACEROUTE_PORT)
			return;
		if (from && from < WELL_KNOWN_PORTS && to >= WELL_KNOWN_PORTS)
			return;
		bit = port_bit(PROTOCOL_UDP, to);
	} else {
		return;
	}
	struct prober *prober = drop_probers.lookup(&packet->source);
	if (!prober) {
		struct prober fresh = {};
		if (drop_probers.insert(&packet->source, &fresh) == -E2BIG)
			note(EVENT_LOST_PROBES);
		prober = drop_probers.lookup(&packet->source);
		if (!prober)
			return;
	}
	/* a lost race costs one port */
	if (is_stealth)
		prober->stealth |= bit;
	else
		prober->ports |= bit;
}

/* Counts the packet for its source; returns whether the source sends often enough that its probes are noted. */
static __always_inline int count_source(struct packet *packet, u32 class)
{
	u32 zero = 0;
	struct offender *offender = drop_offenders.lookup(&packet->source);

	if (!offender) {
		u64 hash = mix(&packet->source);
		u32 index = hash % SKETCH_LINES;
		struct sketch_line *line = drop_sketch.lookup(&index);
		struct sketch_window *window = drop_sketch_window.lookup(&zero);
		if (!line || !window)
			return 0;
		u32 packets = sight(window, line, hash);
		if (!is_frequent(window, packets))
			/* in a flood of forged sources with a packet each, few of these are noted */
			return packets * PROBE_STEP_PACKETS > window->total;
		struct offender fresh = {};
		if (drop_offenders.insert(&packet->source, &fresh) == -E2BIG)
			note(EVENT_LOST_OFFENDERS);
		offender = drop_offenders.lookup(&packet->source);
		if (!offender)
			return 1;
	}
	__sync_fetch_and_add(&offender->packets[class & (CLASSES - 1)], 1);
	if (packet->is_tunnelled) {
		__sync_fetch_and_add(&offender->tunnelled, 1);
		offender->outer = packet->outer;
	}
	return 1;
}

#if MAX_NAMESPACES
/* Counts the packet for its network namespace; the kernel forgets the one that dropped nothing for longest. */
static __always_inline void count_namespace(u32 inum, u32 class)
{
	struct netns_drops *counted = drop_namespaces.lookup(&inum);

	if (!counted) {
		struct netns_drops fresh = {};
		drop_namespaces.insert(&inum, &fresh);
		counted = drop_namespaces.lookup(&inum);
		if (!counted)
			return;
	}
	__sync_fetch_and_add(&counted->packets[class & (CLASSES - 1)], 1);
}
#endif

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
	u32 *class = reason_classes.lookup(&slot);
	if (!class)
		return 0;
	/* in the queue of a socket: it had arrived, and the socket was closed before it was read */
	if (!inum && *class & UNNAMED_REASON && packet.family != FAMILY_NO_PROTOCOL)
		packet.family = FAMILY_QUEUED;
	if (!(*class & SEEN_REASON)) /* the other bits never change, so a lost race costs nothing */
		*class |= SEEN_REASON;
	index = drop_index(slot, packet.family, packet.direction, packet.is_tunnelled, packet.is_foreign);
	struct drop_count *count = drops.lookup(&index);
	if (count) {
		count->packets += 1;
		count->bytes += packet.length;
	}
	if (*class & TEARDOWN_REASON || packet.family == FAMILY_QUEUED)
		return 0;
	if (packet.family == FAMILY_NO_PROTOCOL && !(*class & PACKET_REASON))
		return 0;
#if MAX_NAMESPACES
	if (packet.is_foreign && inum)
		count_namespace(inum, *class);
#endif
	if (packet.direction == DIRECTION_OUT || (packet.is_foreign && !ALL_NETNS))
		return 0;
	if (packet.family != FAMILY_IPV4 && packet.family != FAMILY_IPV6)
		return 0;
	if (!count_source(&packet, *class) || !(*class & PROBE_REASON))
		return 0;
	/* what others behind the node, or their peers, cannot reach is not about us */
	if (packet.direction == DIRECTION_IN && is_addressed_to_us(skb))
		note_probe(&packet);
	return 0;
}
