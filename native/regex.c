// The matcher: runs a verified program over a text, with an explicit stack of places to go back to.
#include "regex.h"
#include "program.h"
#include <string.h>

#define MAX_FRAMES 4096

enum frame_kind {
	GO_BACK, // to an instruction, at a position
	RESTORE, // a slot
	FEWER,	 // bytes of a greedy repetition
	MORE,	 // bytes of a lazy repetition
	MARK,	 // the start of an atomic group or of a look; failing inside of it fails before it
	MARK_NOT // the start of a negative look; failing inside of it succeeds
};

struct frame {
	uint32_t kind;
	uint32_t at;  // the instruction; of RESTORE the slot
	int32_t here; // the position; of RESTORE the old value
	int32_t also; // of FEWER the least position, of MORE the bytes taken; of marks the mark before
};

struct run {
	const nw_program *program;
	const uint8_t *text;
	int32_t length;
	int32_t *slots;
	uint32_t steps; // left
	uint32_t top;	// frames in use
	int32_t mark;	// the innermost mark; -1: none
	struct frame frames[MAX_FRAMES];
};

static inline uint32_t byte_at(const struct run *run, int32_t position)
{
	return position < run->length ? run->text[position] : NW_END;
}

static inline int in_set(const nw_program *program, uint32_t set, uint32_t byte)
{
	return program->set[NW_SET_WORDS * set + (byte >> 5)] >> (byte & 31) & 1;
}

static inline int push(struct run *run, uint32_t kind, uint32_t at, int32_t here, int32_t also)
{
	if (run->top >= MAX_FRAMES)
		return 0;
	run->frames[run->top++] = (struct frame){kind, at, here, also};
	return 1;
}

// Without a place to go back to, nobody will ever want the old value.
static inline int set_slot(struct run *run, uint32_t slot, int32_t value)
{
	if (run->top && !push(run, RESTORE, slot, run->slots[slot], 0))
		return 0;
	run->slots[slot] = value;
	return 1;
}

static int is_word(uint32_t byte)
{
	return (byte >= '0' && byte <= '9') || ((byte | 32) >= 'a' && (byte | 32) <= 'z') || byte == '_';
}

static int is_at(const struct run *run, uint32_t place, int32_t here)
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

static int has_folded(const uint8_t *text, const uint8_t *lower, uint32_t length)
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
	while (at < end && bits[run->text[at] >> 5] >> (run->text[at] & 31) & 1)
		at++;
	spend(run, here, at);
	return at;
}

// Leave the innermost mark; slots that were set since then still know their old values.
static void commit(struct run *run)
{
	uint32_t from = (uint32_t)run->mark, to = from;

	run->mark = run->frames[from].also;
	if (from)
		for (uint32_t index = from + 1; index < run->top; index++)
			if (run->frames[index].kind == RESTORE)
				run->frames[to++] = run->frames[index];
	run->top = to;
}

// Undo everything since the innermost mark, and leave it.
static void revoke(struct run *run)
{
	while (run->top > (uint32_t)run->mark + 1) {
		struct frame *frame = &run->frames[--run->top];

		if (frame->kind == RESTORE)
			run->slots[frame->at] = frame->here;
	}
	run->top--;
	run->mark = run->frames[run->top].also;
}

// Go on where a greedy repetition gives bytes back until what follows may match; -1: nowhere.
static int32_t fewer(struct run *run, struct frame *frame)
{
	const uint32_t *code = run->program->code + frame->at;
	int32_t here = frame->here;

	while (here > frame->also) {
		here--;
		if (in_set(run->program, code[4], byte_at(run, here))) {
			frame->here = here;
			if (here == frame->also)
				run->top--;
			return here;
		}
		if (!(here & 15) && run->steps)
			run->steps--;
	}
	run->top--;
	return -1;
}

// Go on where a lazy repetition has taken more bytes and what follows may match; -1: nowhere.
static int32_t more(struct run *run, uint32_t at, int32_t here, uint32_t taken)
{
	const uint32_t *code = run->program->code + at;

	for (;; here++, taken++) {
		uint32_t byte = byte_at(run, here);
		int can_take = taken < code[3] && byte != NW_END && in_set(run->program, code[1], byte);

		if (taken >= code[2] && in_set(run->program, code[4], byte)) {
			if (can_take && !push(run, MORE, at, here, (int32_t)taken)) {
				run->steps = 0;
				return -1;
			}
			return here;
		}
		if (!can_take)
			return -1;
		if (!(here & 15) && run->steps)
			run->steps--;
	}
}

// Return to the last place to go back to: its instruction in `at`, and the position; -1: there is none.
static int32_t go_back(struct run *run, uint32_t *at)
{
	while (run->top && run->steps) {
		struct frame *frame = &run->frames[run->top - 1];
		int32_t here;

		run->steps--;
		switch (frame->kind) {
		case GO_BACK:
			*at = frame->at;
			run->top--;
			return frame->here;
		case RESTORE:
			run->slots[frame->at] = frame->here;
			run->top--;
			break;
		case FEWER:
			*at = frame->at + 5;
			here = fewer(run, frame);
			if (here >= 0)
				return here;
			break;
		case MORE:
			*at = frame->at + 5;
			run->top--;
			here = more(run, frame->at, frame->here + 1, (uint32_t)frame->also + 1);
			if (here >= 0)
				return here;
			break;
		case MARK:
			run->mark = frame->also;
			run->top--;
			break;
		case MARK_NOT:
			run->mark = frame->also;
			*at = frame->at;
			run->top--;
			return frame->here;
		}
	}
	return -1;
}

// The position after `least` to `most` bytes of a set, with a place to go back to; -1: no match here.
static int32_t greedy(struct run *run, uint32_t at, int32_t here)
{
	const uint32_t *code = run->program->code + at;
	int32_t end = run_end(run, code[1], code[3], here);

	if ((uint32_t)(end - here) < code[2])
		return -1;
	here += (int32_t)code[2];
	while (!in_set(run->program, code[4], byte_at(run, end))) {
		if (end == here)
			return -1;
		end--;
		if (!(end & 15) && run->steps)
			run->steps--;
	}
	if (end > here && !push(run, FEWER, at, end, here)) {
		run->steps = 0;
		return -1;
	}
	return end;
}

// Start another round of a counted repetition, or leave it: the next instruction. UINT32_MAX: give up.
static uint32_t next_round(struct run *run, uint32_t at, int32_t here)
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
static int32_t reference(const struct run *run, uint32_t group, int32_t here)
{
	int32_t start = run->slots[2 * group], end = run->slots[2 * group + 1];

	if (start < 0 || end < start || end - start > run->length - here ||
	    memcmp(run->text + start, run->text + here, (size_t)(end - start)))
		return -1;
	return here + end - start;
}

// Run the instructions from the first on; the position is where the match starts.
static enum nw_result execute(struct run *run, int32_t here)
{
	const nw_program *program = run->program;
	const uint32_t *code;
	uint32_t at = 0, next;
	int32_t end;

	while (run->steps) {
		run->steps--;
		code = program->code + at;
		switch (code[0]) {
		case OP_MATCH:
			run->slots[1] = here;
			return NW_MATCH;
		case OP_LITERAL:
			if ((uint32_t)(run->length - here) < code[1] || memcmp(run->text + here, code + 2, code[1]))
				goto failed;
			here += (int32_t)code[1];
			at += 2 + (code[1] + 3) / 4;
			continue;
		case OP_LITERAL_FOLDED:
			if ((uint32_t)(run->length - here) < code[1] ||
			    !has_folded(run->text + here, (const uint8_t *)(code + 2), code[1]))
				goto failed;
			here += (int32_t)code[1];
			at += 2 + (code[1] + 3) / 4;
			continue;
		case OP_SET:
			if (here >= run->length || !in_set(program, code[1], run->text[here]))
				goto failed;
			here++;
			at += 2;
			continue;
		case OP_RUN:
			end = run_end(run, code[1], code[3], here);
			if ((uint32_t)(end - here) < code[2])
				goto failed;
			here = end;
			at += 4;
			continue;
		case OP_GREEDY:
			if ((end = greedy(run, at, here)) < 0)
				goto failed;
			here = end;
			at += 5;
			continue;
		case OP_LAZY:
			if ((end = more(run, at, here, 0)) < 0)
				goto failed;
			here = end;
			at += 5;
			continue;
		case OP_SPLIT:
			if (!in_set(program, code[1], byte_at(run, here))) {
				at = code[2];
				continue;
			}
			if (!push(run, GO_BACK, code[2], here, 0))
				return NW_GAVE_UP;
			at += 3;
			continue;
		case OP_ONLY:
			at = in_set(program, code[1], byte_at(run, here)) ? at + 3 : code[2];
			continue;
		case OP_JUMP:
			at = code[1];
			continue;
		case OP_SAVE:
			if (!set_slot(run, code[1], here))
				return NW_GAVE_UP;
			at += 2;
			continue;
		case OP_AT:
			if (!is_at(run, code[1], here))
				goto failed;
			at += 2;
			continue;
		case OP_PEEK:
			if (!in_set(program, code[1], byte_at(run, here)))
				goto failed;
			at += 2;
			continue;
		case OP_BEHIND:
			if (!in_set(program, code[1], here ? run->text[here - 1] : NW_END))
				goto failed;
			at += 2;
			continue;
		case OP_ATOMIC:
			if (!push(run, MARK, at, here, run->mark))
				return NW_GAVE_UP;
			run->mark = (int32_t)run->top - 1;
			at += 1;
			continue;
		case OP_ATOMIC_END:
			if (run->mark < 0)
				return NW_GAVE_UP;
			commit(run);
			at += 1;
			continue;
		case OP_LOOK:
			if ((uint32_t)here < code[1])
				goto failed;
			if (!push(run, MARK, at, here, run->mark))
				return NW_GAVE_UP;
			run->mark = (int32_t)run->top - 1;
			here -= (int32_t)code[1];
			at += 2;
			continue;
		case OP_LOOK_END:
			if (run->mark < 0)
				return NW_GAVE_UP;
			here = run->frames[run->mark].here;
			commit(run);
			at += 1;
			continue;
		case OP_NOT:
			if ((uint32_t)here < code[1]) {
				at = code[2];
				continue;
			}
			if (!push(run, MARK_NOT, code[2], here, run->mark))
				return NW_GAVE_UP;
			run->mark = (int32_t)run->top - 1;
			here -= (int32_t)code[1];
			at += 3;
			continue;
		case OP_NOT_END:
			if (run->mark < 0)
				return NW_GAVE_UP;
			revoke(run);
			goto failed;
		case OP_REFERENCE:
			if ((end = reference(run, code[1], here)) < 0)
				goto failed;
			spend(run, here, end);
			here = end;
			at += 2;
			continue;
		case OP_IF_SET:
			at = run->slots[2 * code[1] + 1] >= 0 ? at + 3 : code[2];
			continue;
		case OP_COUNT:
			if (!set_slot(run, code[1], 0))
				return NW_GAVE_UP;
			at += 2;
			continue;
		case OP_LOOP:
			if ((next = next_round(run, at, here)) == UINT32_MAX)
				return NW_GAVE_UP;
			at = next;
			continue;
		default: // OP_FAIL
			break;
		}
	failed:
		here = go_back(run, &at);
		if (here < 0)
			return run->steps ? NW_NO_MATCH : NW_GAVE_UP;
	}
	return NW_GAVE_UP;
}

enum nw_result nw_match(const nw_program *program, const uint8_t *text, int32_t length, int32_t start, int32_t *spans,
			uint32_t max_steps)
{
	struct run run;
	int slots = 2 * ((int)program->groups + 1);
	enum nw_result result;

	run.program = program;
	run.text = text;
	run.length = length;
	run.slots = spans;
	run.steps = max_steps;
	run.top = 0;
	run.mark = -1;
	memset(spans, 0xFF, sizeof(*spans) * (size_t)nw_program_slots(program));
	spans[0] = start;
	result = execute(&run, start);
	for (int slot = 2; slot < slots; slot += 2)
		if (spans[slot] < 0 || spans[slot + 1] < 0)
			spans[slot] = spans[slot + 1] = -1;
	return result;
}

int nw_program_groups(const nw_program *program)
{
	return (int)program->groups;
}

int nw_program_slots(const nw_program *program)
{
	return 2 * ((int)program->groups + 1) + (int)program->counters;
}
