// The grammar of the packet lines in net/netfilter/nf_log_syslog.c, without backtracking: each field starts with other
// letters than what may stand in its place. monitor/sources/kmsg/format.py has it as expressions and is the reference.
#define _GNU_SOURCE
#include "kmsg_header.h"

#define MAX_STARTS 4

static bool decoded_mac(struct cursor *c, struct nw_packet *packet)
{
	const char *source = c->at;
	const char *destination, *protocol;

	if (!skip(c, MAC_TEXT, 17, 17) || !TAKE(c, " MACDST="))
		return false;
	destination = c->at;
	if (!skip(c, MAC_TEXT, 17, 17) || !TAKE(c, " "))
		return false;
	if (TAKE(c, "VPROTO=") &&
	    (!skip(c, LOWER_HEX, 4, 4) || !TAKE(c, " VID=") || !number(c, 4, &packet->vlan_id) || !TAKE(c, " ")))
		return false;
	if (!TAKE(c, "MACPROTO="))
		return false;
	protocol = c->at;
	if (!skip(c, LOWER_HEX, 4, 4) || !TAKE(c, " "))
		return false;
	// As the kernel writes `MAC=`: destination, source and protocol of the frame.
	char *out = packet->mac_text;
	memcpy(out, destination, 17);
	memcpy(out + 18, source, 17);
	memcpy(out + 36, protocol, 2);
	memcpy(out + 39, protocol + 2, 2);
	out[17] = out[35] = out[38] = ':';
	packet->mac = (struct nw_text){out, 41};
	return true;
}

static bool raw_mac(struct cursor *c, struct nw_packet *packet)
{
	packet->mac.at = c->at;
	while (c->at < c->end && is_of(*c->at, MAC_TEXT))
		c->at++;
	packet->mac.length = (int32_t)(c->at - packet->mac.at);
	if (TAKE(c, " TUNNEL=") &&
	    (!skip(c, DIGIT | DOT, 1, INT32_MAX) || !TAKE(c, "->") || !skip(c, DIGIT | DOT, 1, INT32_MAX)))
		return false;
	return TAKE(c, " ");
}

// From `IN=` to the addresses.
static bool link_fields(struct cursor *c, struct nw_packet *packet)
{
	struct nw_text bridge_port;

	packet->vlan_id = -1;
	packet->mac = (struct nw_text){c->at, 0};
	if (!TAKE(c, "IN=") || !name(c, 0, &packet->interface_in) || !TAKE(c, " OUT=") ||
	    !name(c, 0, &packet->interface_out) || !TAKE(c, " "))
		return false;
	if (TAKE(c, "PHYSIN=") && (!name(c, 1, &bridge_port) || !TAKE(c, " ")))
		return false;
	if (TAKE(c, "PHYSOUT=") && (!name(c, 1, &bridge_port) || !TAKE(c, " ")))
		return false;
	if (TAKE(c, "MAC="))
		return raw_mac(c, packet);
	return !TAKE(c, "MACSRC=") || decoded_mac(c, packet);
}

static uint32_t hex_number(const char *at, int32_t length)
{
	uint32_t value = 0;

	while (length--)
		value = value << 4 | (uint32_t)hex_value(*at++);
	return value;
}

// What may follow the transport header, up to the end of the text.
static bool trailer(struct cursor *c, uint32_t *mark)
{
	*mark = 0;
	if (TAKE(c, "UID=") && (!skip(c, DIGIT, 1, 10) || !TAKE(c, " GID=") || !skip(c, DIGIT, 1, 10) || !TAKE(c, " ")))
		return false;
	if (TAKE(c, "MARK=0x")) {
		const char *digits = c->at;

		if (!skip(c, LOWER_HEX, 1, 8))
			return false;
		*mark = hex_number(digits, (int32_t)(c->at - digits));
		if (!TAKE(c, " "))
			return false;
	}
	return c->at == c->end;
}

// The number of a protocol's name up to a space or the end; -1: none that the kernel writes.
static int32_t protocol(struct cursor *c)
{
	static const struct {
		const char *name;
		int32_t number;
	} known[] = {{"TCP", 6}, {"UDP", 17}, {"UDPLITE", 136}, {"ICMP", 1}, {"ICMPv6", 58}, {"AH", 51}, {"ESP", 50}};
	const char *space = memchr(c->at, ' ', (size_t)(c->end - c->at));
	struct cursor word = {c->at, space ? space : c->end};
	size_t length = (size_t)(word.end - word.at);
	int32_t value;

	c->at = word.end;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (length == strlen(known[i].name) && !memcmp(word.at, known[i].name, length))
			return known[i].number;
	return number(&word, 3, &value) && word.at == word.end ? value : -1;
}

static void no_ports(struct nw_header *header)
{
	header->source_port = header->destination_port = -1;
	header->tcp_flags = 0;
}

// The packet inside an ICMP error's brackets.
static enum nw_verdict quoted(struct nw_text text, struct nw_packet *packet)
{
	struct cursor c = {text.at, text.at + text.length};
	struct nw_header *header = &packet->quoted;
	bool is_bad;

	if (!nw_kmsg_ip(&c, header, &is_bad)) {
		bool is_cut = text.length >= 9 && !memcmp(c.end - 9, "TRUNCATED", 9);

		return is_cut ? NW_PACKET : NW_FIELD;
	}
	if (is_bad)
		return NW_FIELD;
	packet->has_quoted = true;
	struct cursor start = c;
	if (nw_kmsg_tcp(&c, header) && c.at == c.end) {
		header->tcp_flags = 0; // nobody asks for them, so odd ones are no fault
		return nw_kmsg_has_fields(header) ? NW_PACKET : NW_FIELD;
	}
	c = start;
	if (nw_kmsg_udp(&c, header) && c.at == c.end)
		return nw_kmsg_has_fields(header) ? NW_PACKET : NW_FIELD;
	no_ports(header);
	header->protocol = protocol(&start);
	return header->protocol < 0 ? NW_UNSURE : header->protocol > 0xff ? NW_FIELD : NW_PACKET;
}

static bool incomplete(struct cursor *c, bool *is_there)
{
	*is_there = TAKE(c, "INCOMPLETE [");
	return !*is_there || (skip(c, DIGIT, 1, 10) && TAKE(c, " bytes] "));
}

// From `[` to the last `] `: what may follow has no such bracket.
static bool brackets(struct cursor *c, struct nw_text *text)
{
	if (!TAKE(c, "["))
		return true;
	for (const char *at = c->end - 2; at >= c->at; at--) {
		if (at[0] == ']' && at[1] == ' ') {
			*text = (struct nw_text){c->at, (int32_t)(at - c->at)};
			c->at = at + 2;
			return true;
		}
	}
	return false;
}

// From the value of `TYPE=` on.
static bool icmp(struct cursor *c, struct nw_packet *packet, struct nw_text *quote)
{
	bool is_cut;
	int32_t value;

	if (!number(c, 3, &packet->icmp_type) || !TAKE(c, " CODE=") || !number(c, 3, &packet->icmp_code) ||
	    !TAKE(c, " ") || !incomplete(c, &is_cut))
		return false;
	if (TAKE(c, "ID=") && (!number(c, 5, &value) || !TAKE(c, " SEQ=") || !number(c, 5, &value) || !TAKE(c, " ")))
		return false;
	if (TAKE(c, "PARAMETER=")) {
		if (!number(c, 3, &value) || !TAKE(c, " "))
			return false;
	} else if (TAKE(c, "POINTER=") && (!skip(c, LOWER_HEX, 8, 8) || !TAKE(c, " "))) {
		return false;
	}
	if (TAKE(c, "GATEWAY=") && (!skip(c, DIGIT | DOT, 7, 15) || !TAKE(c, " ")))
		return false;
	return brackets(c, quote) && (!TAKE(c, "MTU=") || (skip(c, DIGIT, 1, 10) && TAKE(c, " ")));
}

static bool contains(const char *text, int32_t length, const char *word)
{
	return memmem(text, (size_t)length, word, strlen(word)) != NULL;
}

// Why a line that the grammar does not have was refused.
static enum nw_verdict cause(const char *text, int32_t length)
{
	char last = length ? text[length - 1] : 0;

	if (contains(text, length, " INCOMPLETE [") || contains(text, length, "TRUNCATED"))
		return NW_INCOMPLETE;
	if (contains(text, length, " FLOWLBL=") && !contains(text, length, " PROTO=") && (last == ' ' || last == ')'))
		return NW_INCOMPLETE;
	if (contains(text, length, " ARP HTYPE="))
		return NW_NOT_IP;
	return last == ' ' ? NW_FIELD : NW_TRUNCATED;
}

// What follows `PROTO=` where it is neither a whole TCP nor a whole UDP header; NW_HEADER if it is nothing.
static enum nw_verdict other(struct cursor *c, struct nw_packet *packet)
{
	struct nw_header *header = &packet->header;
	struct nw_text quote = {c->at, 0};
	enum nw_verdict verdict = NW_PACKET;
	bool is_cut;

	no_ports(header);
	header->protocol = protocol(c);
	if (header->protocol < 0 || !TAKE(c, " ") || !incomplete(c, &is_cut))
		return NW_HEADER;
	if (TAKE(c, "TYPE=") && !icmp(c, packet, &quote))
		return NW_HEADER;
	if (TAKE(c, "SPI=0x") && (!skip(c, LOWER_HEX, 1, 8) || !TAKE(c, " ")))
		return NW_HEADER;
	if (!trailer(c, &packet->mark))
		return NW_HEADER;
	if (is_cut)
		return NW_INCOMPLETE;
	if (header->protocol > 0xff || packet->icmp_type > 0xff || packet->icmp_code > 0xff)
		return NW_FIELD;
	if (quote.length)
		verdict = quoted(quote, packet);
	return verdict;
}

// What follows `PROTO=`. NW_HEADER if it is nothing.
static enum nw_verdict transport(const struct cursor *start, struct nw_packet *packet)
{
	struct nw_header *header = &packet->header;
	struct cursor c = *start;

	packet->has_quoted = false;
	packet->icmp_type = packet->icmp_code = -1;
	if (nw_kmsg_tcp(&c, header) && trailer(&c, &packet->mark))
		return nw_kmsg_has_fields(header) ? NW_PACKET : NW_FIELD;
	c = *start;
	header->tcp_flags = 0;
	if (nw_kmsg_udp(&c, header) && trailer(&c, &packet->mark))
		return nw_kmsg_has_fields(header) ? NW_PACKET : NW_FIELD;
	c = *start;
	return other(&c, packet);
}

enum nw_verdict nw_decode_line(const char *text, int32_t length, bool is_complete, struct nw_packet *packet)
{
	const char *end = text + length;
	const char *start = memmem(text, (size_t)length, "IN=", 3);

	// The firewall's prefix may itself hold "IN=".
	for (int attempt = 0; start && attempt < MAX_STARTS; attempt++) {
		struct cursor c = {start, end};
		bool is_bad;

		if (link_fields(&c, packet) && nw_kmsg_ip(&c, &packet->header, &is_bad)) {
			packet->prefix = (struct nw_text){text, (int32_t)(start - text)};
			enum nw_verdict verdict = is_bad ? NW_FIELD : transport(&c, packet);
			if (verdict != NW_HEADER)
				return verdict;
			break;
		}
		start = memmem(start + 1, (size_t)(end - start - 1), "IN=", 3);
	}
	return cause(text, is_complete ? length : length - 1);
}
