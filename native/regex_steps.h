// What single instructions of the matcher do.
#ifndef NODEWARDEN_REGEX_STEPS_H
#define NODEWARDEN_REGEX_STEPS_H

#include "regex_stack.h"
#include <string.h>

static inline uint32_t byte_at(const struct run *run, int32_t position)
{
	return position < run->length ? run->text[position] : NW_END;
}

static inline int in_set(const nw_program *program, uint32_t set, uint32_t byte)
{
	return program->set[NW_SET_WORDS * set + (byte >> 5)] >> (byte & 31) & 1;
}

static inline int is_word(uint32_t byte)
{
	return (byte >= '0' && byte <= '9') || ((byte | 32) >= 'a' && (byte | 32) <= 'z') || byte == '_';
}

static inline int is_at(const struct run *run, uint32_t place, int32_t here)
{
	int before, after;

	switch (place) {
	case AT_START:
		return here == 0;
	case AT_END:
		return here == run->length || (here == run->length - 1 && run->text[here] == '\n');
	case AT_LAST:
		return here == run->length;
	case AT_LINE_START:
		return here == 0 || run->text[here - 1] == '\n';
	case AT_LINE_END:
		return here == run->length || run->text[here] == '\n';
	default:
		before = here > 0 && is_word(run->text[here - 1]);
		after = here < run->length && is_word(run->text[here]);
		return (before != after) == (place == AT_BOUNDARY);
	}
}

static inline int has_folded(const uint8_t *text, const uint8_t *lower, uint32_t length)
{
	for (uint32_t index = 0; index < length; index++) {
		uint8_t byte = text[index];

		if (byte >= 'A' && byte <= 'Z')
			byte |= 32;
		if (byte != lower[index])
			return 0;
	}
	return 1;
}

// Bytes that are looked at cost less than instructions.
static inline void spend(struct run *run, int32_t from, int32_t to)
{
	uint32_t cost = (uint32_t)(to - from) >> 4;

	run->steps -= cost < run->steps ? cost : run->steps;
}

// The end of the longest run of bytes in a set, at most `most` of them.
static inline int32_t run_end(struct run *run, uint32_t set, uint32_t most, int32_t here)
{
	const uint32_t *bits = run->program->set + NW_SET_WORDS * set;
	int32_t end = run->length, at = here;

	if (most < (uint32_t)(end - here))
		end = here + (int32_t)most;
	if (bits[4] >> NW_BUT_SHIFT & 0xFF) {
		int missing = (int)(bits[4] >> NW_BUT_SHIFT & 0xFF) - 1;
		const uint8_t *but = memchr(run->text + here, missing, (size_t)(end - here));

		at = but ? (int32_t)(but - run->text) : end;
	} else {
		while (at < end && bits[run->text[at] >> 5] >> (run->text[at] & 31) & 1)
			at++;
	}
	spend(run, here, at);
	return at;
}

static inline int has_literal(const uint8_t *text, const uint8_t *literal, uint32_t length)
{
	uint32_t ours, theirs;

	for (; length >= 4; length -= 4, text += 4, literal += 4) {
		memcpy(&ours, text, 4);
		memcpy(&theirs, literal, 4);
		if (ours != theirs)
			return 0;
	}
	for (; length; length--)
		if (*text++ != *literal++)
			return 0;
	return 1;
}

// The last position from `end` down to `low` where what follows a greedy repetition may match; -1: none. A short
// literal that follows is compared here: its first byte is often there without the rest.
static inline int32_t last_fit(struct run *run, const uint32_t *code, int32_t low, int32_t end)
{
	const uint32_t *after = code + 5;
	uint32_t only = run->program->set[NW_SET_WORDS * code[4] + 4] >> NW_ONLY_SHIFT & 0xFF;

	while (*after == OP_SAVE)
		after += 2;
	for (int32_t at = end; at >= low; at--) {
		if (only) {
			int32_t most = at < run->length ? at + 1 : at;
			const uint8_t *found = memrchr(run->text + low, (int)only - 1, (size_t)(most - low));

			if (!found)
				break;
			at = (int32_t)(found - run->text);
		} else if (!in_set(run->program, code[4], byte_at(run, at))) {
			continue;
		}
		run->steps -= run->steps > 0;
		if (*after != OP_LITERAL || after[1] > NW_SHORT_LITERAL ||
		    ((uint32_t)(run->length - at) >= after[1] &&
		     has_literal(run->text + at, (const uint8_t *)(after + 2), after[1]))) {
			spend(run, at, end);
			return at;
		}
	}
	spend(run, low, end);
	return -1;
}

// Go on where a greedy repetition gives bytes back until what follows may match; -1: nowhere.
static inline int32_t fewer(struct run *run, struct frame *frame)
{
	int32_t low = frame->also;
	int32_t here = last_fit(run, run->program->code + frame->at, low, frame->here - 1);

	frame->here = here;
	if (here <= low)
		run->top--;
	return here;
}

// Go on where a lazy repetition has taken more bytes and what follows may match; -1: nowhere.
static inline int32_t more(struct run *run, uint32_t at, int32_t here, uint32_t taken)
{
	const uint32_t *code = run->program->code + at;
	const uint32_t *take = run->program->set + NW_SET_WORDS * code[1];
	const uint32_t *stop = run->program->set + NW_SET_WORDS * code[4];
	const uint32_t skip[4] = {take[0] & ~stop[0], take[1] & ~stop[1], take[2] & ~stop[2], take[3] & ~stop[3]};
	const uint8_t *text = run->text;
	int32_t from = here, limit = run->length;

	if (code[3] - taken < (uint32_t)(limit - here))
		limit = here + (int32_t)(code[3] - taken);
	for (; here < limit && taken + (uint32_t)(here - from) < code[2]; here++)
		if (!in_set(run->program, code[1], text[here]))
			return -1;
	while (here < limit && skip[text[here] >> 5] >> (text[here] & 31) & 1)
		here++;
	spend(run, from, here);
	taken += (uint32_t)(here - from);
	if (taken < code[2] || !in_set(run->program, code[4], byte_at(run, here)))
		return -1;
	if (here < limit && in_set(run->program, code[1], text[here]) && !push(run, MORE, at, here, (int32_t)taken)) {
		run->steps = 0;
		return -1;
	}
	return here;
}

// The position after `least` to `most` bytes of a set, with a place to go back to; -1: no match here.
static inline int32_t greedy(struct run *run, uint32_t at, int32_t here)
{
	const uint32_t *code = run->program->code + at;
	int32_t end = run_end(run, code[1], code[3], here);

	if ((uint32_t)(end - here) < code[2])
		return -1;
	here += (int32_t)code[2];
	end = last_fit(run, code, here, end);
	if (end > here && !push(run, FEWER, at, end, here)) {
		run->steps = 0;
		return -1;
	}
	return end;
}

// Start another round of a counted repetition, or leave it: the next instruction. UINT32_MAX: give up.
static inline uint32_t next_round(struct run *run, uint32_t at, int32_t here)
{
	const uint32_t *code = run->program->code + at;
	uint32_t done = (uint32_t)run->slots[code[1]], body = at + 6;

	if (done < code[2]) {
		if (!set_slot(run, code[1], (int32_t)done + 1))
			return UINT32_MAX;
		return body;
	}
	if (done >= code[3])
		return code[5];
	if (code[4]) {
		// The other way first; a round that is started later counts only then, and no longer once it failed.
		if (!push(run, RESTORE, code[1], (int32_t)done, 0) || !push(run, GO_BACK, body, here, 0) ||
		    !push(run, RESTORE, code[1], (int32_t)done + 1, 0))
			return UINT32_MAX;
		return code[5];
	}
	if (!push(run, GO_BACK, code[5], here, 0) || !set_slot(run, code[1], (int32_t)done + 1))
		return UINT32_MAX;
	return body;
}

// The position after the text of a group, or -1.
static inline int32_t reference(const struct run *run, uint32_t group, int32_t here)
{
	int32_t start = run->slots[2 * group], end = run->slots[2 * group + 1];

	if (start < 0 || end < start || end - start > run->length - here ||
	    memcmp(run->text + start, run->text + here, (size_t)(end - start)))
		return -1;
	return here + end - start;
}

#endif
