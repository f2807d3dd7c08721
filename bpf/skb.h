/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Reads kernel memory: members of an sk_buff, and its network namespace; shared by drops.c and drop_locations.c.
 *
 * Ways to read, cheapest first; each call of bpf_probe_read_kernel costs 25 to 50 ns.
 *
 * With TRACING the verifier knows the types of the tracepoint's arguments and lets the program follow pointers to
 * structures. With CASTS (since 6.2) it accepts casts of other pointers: the loader replaces calls of CAST_CALL by
 * calls of the kernel's bpf_rdonly_cast, which cost nothing. Failed reads return zeros.
 *
 * -D flags from the running kernel's BTF: SKB_{DEV,SK,PROTOCOL,NETWORK} and SKB_BYTES (how much of an sk_buff to read),
 * DEV_NET, SOCK_NET, NET_INUM.
 */

#define FIELD(type, bytes, offset) (*(type *)((bytes) + (offset)))

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

/* Whether the offset of the network header is set. */
static __always_inline int has_header(void *skb)
{
	u16 network = SKB(u16, skb, SKB_NETWORK);

	return network != 0 && network != 0xffff;
}

/*
 * Whether nothing shows that it is a packet: messages of netlink and of AF_UNIX sockets have neither header nor
 * protocol, while every packet that a device received has a protocol.
 */
static __always_inline int has_no_protocol(void *skb)
{
	return !has_header(skb) && !SKB(u16, skb, SKB_PROTOCOL);
}
