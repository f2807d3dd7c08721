// Reading a line of the kernel's packet logger from left to right, and the headers in it.
#ifndef NODEWARDEN_KMSG_HEADER_H
#define NODEWARDEN_KMSG_HEADER_H

#include "kmsg_line.h"

#include <string.h>

struct cursor {
	const char *at, *end;
};

// Step over a literal.
#define TAKE(cursor, literal) take(cursor, literal, sizeof(literal) - 1)

static inline bool take(struct cursor *c, const char *literal, size_t length)
{
	if ((size_t)(c->end - c->at) < length || memcmp(c->at, literal, length))
		return false;
	c->at += length;
	return true;
}

#define DIGIT 1
#define LOWER 2	 // a-f
#define UPPER 4	 // A-F
#define COLON 8	 // :
#define DOT 16	 // .
#define SPACE 32 // what \s is in `re`
#define LOWER_HEX (DIGIT | LOWER)
#define UPPER_HEX (DIGIT | UPPER)
#define MAC_TEXT (DIGIT | LOWER | COLON)
#define ADDRESS (DIGIT | LOWER | COLON | DOT)

static const uint8_t classes[256] = {
    ['0' ... '9'] = DIGIT, ['a' ... 'f'] = LOWER, ['A' ... 'F'] = UPPER,   [':'] = COLON,
    ['.'] = DOT,	   [' '] = SPACE,	  ['\t' ... '\r'] = SPACE,
};

static inline bool is_of(char letter, uint8_t class)
{
	return classes[(uint8_t)letter] & class;
}

// The length of the run of letters of these classes, at most `most`.
static inline int32_t run(const struct cursor *c, uint8_t class, int32_t most)
{
	int32_t length = 0;
	int32_t left = (int32_t)(c->end - c->at);

	most = most < left ? most : left;
	while (length < most && is_of(c->at[length], class))
		length++;
	return length;
}

static inline bool skip(struct cursor *c, uint8_t class, int32_t least, int32_t most)
{
	int32_t length = run(c, class, most);

	c->at += length;
	return length >= least;
}

// 1 to `most` digits.
static inline bool number(struct cursor *c, int32_t most, int32_t *value)
{
	const char *first = c->at;
	const char *last = c->end - first > most ? first + most : c->end;

	for (*value = 0; c->at < last && is_of(*c->at, DIGIT); c->at++)
		*value = *value * 10 + (*c->at - '0');
	return c->at > first;
}

// What `\S` matches, at least `least` letters.
static inline bool name(struct cursor *c, int32_t least, struct nw_text *text)
{
	text->at = c->at;
	while (c->at < c->end && !is_of(*c->at, SPACE))
		c->at++;
	text->length = (int32_t)(c->at - text->at);
	return text->length >= least;
}

static inline int hex_value(char letter)
{
	return letter <= '9' ? letter - '0' : letter - 'a' + 10;
}

// Each steps over what it names and returns whether it was there; after false, the cursor is anywhere.

// From `SRC=` to `PROTO=`. *is_bad: one of the addresses is none; its family is that of the source.
bool nw_kmsg_ip(struct cursor *c, struct nw_header *header, bool *is_bad);
// What follows `PROTO=` of a whole TCP header, or of a whole one of UDP or UDP-Lite.
bool nw_kmsg_tcp(struct cursor *c, struct nw_header *header);
bool nw_kmsg_udp(struct cursor *c, struct nw_header *header);
// Whether ports and flags are such that a header has them.
bool nw_kmsg_has_fields(const struct nw_header *header);

#endif
