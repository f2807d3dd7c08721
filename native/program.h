// What a program consists of: words of monitor/filters/program.py, verified once when they are loaded.
#ifndef NODEWARDEN_PROGRAM_H
#define NODEWARDEN_PROGRAM_H

#include "regex.h"
#include <stddef.h>

#define NW_PROGRAM_VERSION 2
#define NW_HEADER_WORDS 5
#define NW_SET_WORDS 5
#define NW_MAX_GROUPS 200
#define NW_MAX_COUNTERS 100
#define NW_MAX_SLOTS (2 * (NW_MAX_GROUPS + 1) + NW_MAX_COUNTERS)
#define NW_UNBOUNDED 0xFFFFFFFFu
// The index of the end of the text in a set.
#define NW_END 128
// The upper bits of the last word of a set: if it has all bytes but one, that byte + 1; else 0.
#define NW_BUT_SHIFT 8
// And if it has one byte only, that byte + 1; else 0.
#define NW_ONLY_SHIFT 16
// Longer literals are compared only by their own instruction, where that is counted.
#define NW_SHORT_LITERAL 64
// The words of a table of one byte for each ASCII byte and the end of the text.
#define NW_SWITCH_WORDS 33

enum op {
	OP_MATCH,
	OP_LITERAL,	   // length, bytes
	OP_LITERAL_FOLDED, // length, lower-case bytes
	OP_SET,		   // set
	OP_RUN,		   // set, least, most: gives nothing back
	OP_GREEDY,	   // set, least, most, set of what may follow
	OP_LAZY,	   // set, least, most, set of what may follow
	OP_SPLIT,	   // set, other: if the next byte is in the set go on, and later perhaps to `other`
	OP_ONLY,	   // set, other: if the next byte is in the set go on, else to `other`
	OP_JUMP,	   // to
	OP_SAVE,	   // slot
	OP_AT,		   // enum place
	OP_PEEK,	   // set of the next byte
	OP_BEHIND,	   // set of the byte before
	OP_ATOMIC,
	OP_ATOMIC_END,
	OP_LOOK, // bytes to go back first
	OP_LOOK_END,
	OP_NOT, // bytes to go back first, other
	OP_NOT_END,
	OP_REFERENCE, // group
	OP_IF_SET,    // group, other
	OP_COUNT,     // register
	OP_LOOP,      // register, least, most, is lazy, other
	OP_FAIL,
	OP_BYTE,       // byte
	OP_MAYBE,      // set: takes the next byte if it can, and keeps it
	OP_OPTION,     // set, set of what may follow: takes the next byte if it can, and can give it back
	OP_ONLY_TAKE,  // ONLY, then SET
	OP_SPLIT_TAKE, // SPLIT, then SET
	OP_SWITCH,     // number of targets, table: for each next byte 0 (fail) or the number of a target; targets
	OP_KINDS,
};

enum place {
	AT_START,
	AT_END,
	AT_LAST,
	AT_BOUNDARY,
	AT_NO_BOUNDARY,
	AT_LINE_START,
	AT_LINE_END,
	AT_KINDS,
};

struct nw_program {
	uint32_t groups, counters, sets, length;
	const uint32_t *set;  // NW_SET_WORDS for each
	const uint32_t *code; // `length` words
	uint32_t words[];
};

// Whether these words, of which there are `count`, are a program that nw_match can run: every operand, jump and text
// lies inside. `problem` says what is wrong.
int nw_program_verify(const uint32_t *words, size_t count, const char **problem);

#endif
