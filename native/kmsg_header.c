// The headers that the kernel writes in the same way for a packet and for the one that an ICMP error quotes.
#define _GNU_SOURCE
#include "kmsg_header.h"

#include <arpa/inet.h>

// `OPT (` and hexadecimal digits, if they are there.
static bool options(struct cursor *c)
{
	return !TAKE(c, "OPT (") || (skip(c, UPPER_HEX, 0, INT32_MAX) && TAKE(c, ") "));
}

static bool hex_octet(struct cursor *c, uint8_t class)
{
	return TAKE(c, "0x") && skip(c, class, 2, 2) && TAKE(c, " ");
}

// From `TOS=` to `PROTO=`.
static bool ipv4_fields(struct cursor *c)
{
	int32_t value;

	if (!hex_octet(c, UPPER_HEX) || !TAKE(c, "PREC=") || !hex_octet(c, UPPER_HEX))
		return false;
	if (!TAKE(c, "TTL=") || !number(c, 3, &value) || !TAKE(c, " ID=") || !number(c, 5, &value) || !TAKE(c, " "))
		return false;
	(void)TAKE(c, "CE ");
	(void)TAKE(c, "DF ");
	(void)TAKE(c, "MF ");
	if (TAKE(c, "FRAG:") && (!number(c, 5, &value) || !TAKE(c, " ")))
		return false;
	return options(c) && TAKE(c, "PROTO=");
}

// From `TC=` to `PROTO=`, with any number of extension headers.
static bool ipv6_fields(struct cursor *c)
{
	int32_t value;

	if (!number(c, 3, &value) || !TAKE(c, " HOPLIMIT=") || !number(c, 3, &value))
		return false;
	if (!TAKE(c, " FLOWLBL=") || !number(c, 7, &value) || !TAKE(c, " "))
		return false;
	while (!TAKE(c, "PROTO=")) {
		if (TAKE(c, "OPT ( ") || TAKE(c, ") ") || TAKE(c, "INCOMPLETE "))
			continue;
		if (TAKE(c, "FRAG:") ? !number(c, 5, &value)
		    : TAKE(c, "ID:") ? !skip(c, LOWER_HEX, 8, 8)
				     : !TAKE(c, "AH SPI=0x") || !skip(c, LOWER_HEX, 1, 8))
			return false;
		if (!TAKE(c, " "))
			return false;
	}
	return true;
}

// The kernel writes every digit of an IPv6 address.
static bool whole_ipv6(struct nw_text text, uint8_t *address)
{
	const char *at = text.at;

	if (text.length != 39)
		return false;
	for (int group = 0; group < 8; group++, at += 5) {
		if (!(is_of(at[0], LOWER_HEX) && is_of(at[1], LOWER_HEX) && is_of(at[2], LOWER_HEX) &&
		      is_of(at[3], LOWER_HEX)) ||
		    (group < 7 && at[4] != ':'))
			return false;
		address[2 * group] = (uint8_t)(hex_value(at[0]) << 4 | hex_value(at[1]));
		address[2 * group + 1] = (uint8_t)(hex_value(at[2]) << 4 | hex_value(at[3]));
	}
	return true;
}

static bool to_address(struct nw_text text, int family, uint8_t *address)
{
	char copy[40];

	if (family == AF_INET6 && whole_ipv6(text, address))
		return true;
	memcpy(copy, text.at, (size_t)text.length);
	copy[text.length] = 0;
	return inet_pton(family, copy, address) == 1;
}

static bool address_text(struct cursor *c, struct nw_text *text)
{
	*text = (struct nw_text){c->at, run(c, ADDRESS, 39)};
	c->at += text->length;
	return text->length >= 7;
}

// From `SRC=` to `PROTO=`. *is_bad: one of the addresses is none; its family is that of the source.
bool nw_kmsg_ip(struct cursor *c, struct nw_header *header, bool *is_bad)
{
	struct nw_text source, destination;

	header->source_port = header->destination_port = -1;
	header->tcp_flags = 0;
	if (!TAKE(c, "SRC=") || !address_text(c, &source) || !TAKE(c, " DST=") || !address_text(c, &destination))
		return false;
	if (!TAKE(c, " LEN=") || !skip(c, DIGIT, 1, 10) || !TAKE(c, " "))
		return false;
	if (TAKE(c, "TOS=") ? !ipv4_fields(c) : !TAKE(c, "TC=") || !ipv6_fields(c))
		return false;
	int family = memchr(source.at, ':', (size_t)source.length) ? AF_INET6 : AF_INET;
	header->address_bytes = family == AF_INET6 ? 16 : 4;
	*is_bad = !to_address(source, family, header->source) || !to_address(destination, family, header->destination);
	return true;
}

static bool ports(struct cursor *c, struct nw_header *header)
{
	return TAKE(c, "SPT=") && number(c, 5, &header->source_port) && TAKE(c, " DPT=") &&
	       number(c, 5, &header->destination_port) && TAKE(c, " ");
}

// The names of flags, each with its space. *flags becomes -1 for what the kernel would not write: unknown or unordered.
static void tcp_flags(struct cursor *c, int32_t *flags)
{
	static const char *const names[] = {"AE ", "CWR ", "ECE ", "URG ", "ACK ", "PSH ", "RST ", "SYN ", "FIN "};
	const int count = sizeof(names) / sizeof(*names);
	int next = 0;

	for (;;) {
		int length = 0;

		while (length < 3 && c->at + length < c->end && c->at[length] >= 'A' && c->at[length] <= 'Z')
			length++;
		if (length < 2 || c->at + length >= c->end || c->at[length] != ' ')
			return;
		length++;
		while (next < count && (names[next][length - 1] != ' ' || memcmp(names[next], c->at, (size_t)length)))
			next++;
		*flags = *flags < 0 || next == count ? -1 : *flags | 1 << (count - 1 - next);
		next += next < count;
		c->at += length;
	}
}

bool nw_kmsg_tcp(struct cursor *c, struct nw_header *header)
{
	int32_t value;

	header->protocol = 6;
	if (!TAKE(c, "TCP ") || !ports(c, header))
		return false;
	if (TAKE(c, "SEQ=") && (!skip(c, DIGIT, 1, 10) || !TAKE(c, " ACK=") || !skip(c, DIGIT, 1, 10) || !TAKE(c, " ")))
		return false;
	if (!TAKE(c, "WINDOW=") || !number(c, 5, &value) || !TAKE(c, " RES=") || !hex_octet(c, LOWER_HEX))
		return false;
	tcp_flags(c, &header->tcp_flags);
	return TAKE(c, "URGP=") && number(c, 5, &value) && TAKE(c, " ") && options(c);
}

bool nw_kmsg_udp(struct cursor *c, struct nw_header *header)
{
	int32_t value;

	if (TAKE(c, "UDP "))
		header->protocol = 17;
	else if (TAKE(c, "UDPLITE "))
		header->protocol = 136;
	else
		return false;
	return ports(c, header) && TAKE(c, "LEN=") && number(c, 5, &value) && TAKE(c, " ");
}

bool nw_kmsg_has_fields(const struct nw_header *header)
{
	return header->source_port <= 0xffff && header->destination_port <= 0xffff && header->tcp_flags >= 0;
}
