// One line of the kernel's packet logger, as numbers and places in the line. No Python in here.
#ifndef NODEWARDEN_KMSG_LINE_H
#define NODEWARDEN_KMSG_LINE_H

#include <stdbool.h>
#include <stdint.h>

// The causes that lines are refused for, in the order of CAUSES in monitor/sources/kmsg/format.py; and NW_UNSURE for
// what Python decides.
enum nw_verdict {
	NW_HEADER,
	NW_TRUNCATED,
	NW_INCOMPLETE,
	NW_NOT_IP,
	NW_FIELD,
	NW_CAUSES, // how many there are
	NW_PACKET = NW_CAUSES,
	NW_UNSURE,
};

struct nw_text {
	const char *at;
	int32_t length;
};

// Addresses are in network order; a number that the packet does not have is -1.
struct nw_header {
	uint8_t source[16], destination[16];
	int address_bytes;
	int32_t protocol, source_port, destination_port;
	int32_t tcp_flags;
};

struct nw_packet {
	struct nw_text prefix, interface_in, interface_out;
	struct nw_text mac;
	char mac_text[48]; // `mac` is in here where the kernel wrote its parts one by one
	int32_t vlan_id, icmp_type, icmp_code;
	uint32_t mark;
	struct nw_header header;
	bool has_quoted;
	struct nw_header quoted;
};

// Decode the ASCII text of a line, which must end with a space. `is_complete` says whether the kernel wrote that space.
enum nw_verdict nw_decode_line(const char *text, int32_t length, bool is_complete, struct nw_packet *packet);

#endif
