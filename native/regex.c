// The matcher: runs a verified program over a text, with an explicit stack of places to go back to.
#define _GNU_SOURCE // memrchr
#include "regex.h"
#include "regex_steps.h"
#include <string.h>

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
			drop_to(run, run->top - 1);
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

// Each instruction jumps to the next one itself: processors predict that better than one jump for all.
#define NEXT(words)                                                                                                    \
	do {                                                                                                           \
		code += (words);                                                                                       \
		left--;                                                                                                \
		goto *instructions[*code];                                                                             \
	} while (0)
#define GO_TO(target)                                                                                                  \
	do {                                                                                                           \
		code = start + (target);                                                                               \
		left--;                                                                                                \
		goto *instructions[*code];                                                                             \
	} while (0)
#define NEXT_BYTE() (here < length ? text[here] : NW_END)
#define HAS(set, byte) (sets[NW_SET_WORDS * (set) + ((byte) >> 5)] >> ((byte)&31) & 1)
#define AT() ((uint32_t)(code - start))

// Run the instructions from the first on; the position is where the match starts. Every loop of a program has a
// JUMP, so counting is enough if it is looked at there and when something failed.
static enum nw_result execute(struct run *run, int32_t here)
{
	static const void *const instructions[OP_KINDS] = {
	    [OP_MATCH] = &&match,
	    [OP_LITERAL] = &&literal,
	    [OP_LITERAL_FOLDED] = &&literal_folded,
	    [OP_SET] = &&set,
	    [OP_RUN] = &&run_of_set,
	    [OP_GREEDY] = &&greedy_run,
	    [OP_LAZY] = &&lazy_run,
	    [OP_SPLIT] = &&split,
	    [OP_ONLY] = &&only,
	    [OP_JUMP] = &&jump,
	    [OP_SAVE] = &&save,
	    [OP_AT] = &&at_place,
	    [OP_PEEK] = &&peek,
	    [OP_BEHIND] = &&behind,
	    [OP_ATOMIC] = &&atomic,
	    [OP_ATOMIC_END] = &&atomic_end,
	    [OP_LOOK] = &&look,
	    [OP_LOOK_END] = &&look_end,
	    [OP_NOT] = &&not,
	    [OP_NOT_END] = &&not_end,
	    [OP_REFERENCE] = &&refer,
	    [OP_IF_SET] = &&if_set,
	    [OP_COUNT] = &&count,
	    [OP_LOOP] = &&loop,
	    [OP_FAIL] = &&failed,
	    [OP_BYTE] = &&byte,
	    [OP_MAYBE] = &&maybe,
	    [OP_OPTION] = &&option,
	    [OP_ONLY_TAKE] = &&only_take,
	    [OP_SPLIT_TAKE] = &&split_take,
	    [OP_SWITCH] = &&switch_byte,
	};
	const uint32_t *const start = run->program->code, *const sets = run->program->set;
	const uint8_t *const text = run->text;
	const int32_t length = run->length;
	const uint32_t *code = start;
	int64_t left = run->steps;
	uint32_t next, at;
	int32_t end;

	GO_TO(0);
match:
	run->slots[1] = here;
	return NW_MATCH;
literal:
	if ((uint32_t)(length - here) < code[1] || !has_literal(text + here, (const uint8_t *)(code + 2), code[1]))
		goto failed;
	here += (int32_t)code[1];
	NEXT(2 + (code[1] + 3) / 4);
literal_folded:
	if ((uint32_t)(length - here) < code[1] || !has_folded(text + here, (const uint8_t *)(code + 2), code[1]))
		goto failed;
	here += (int32_t)code[1];
	NEXT(2 + (code[1] + 3) / 4);
byte:
	if (here >= length || text[here] != code[1])
		goto failed;
	here++;
	NEXT(2);
set:
	if (here >= length || !HAS(code[1], text[here]))
		goto failed;
	here++;
	NEXT(2);
run_of_set:
	end = run_end(run, code[1], code[3], here);
	if ((uint32_t)(end - here) < code[2])
		goto failed;
	here = end;
	NEXT(4);
maybe:
	if (here < length && HAS(code[1], text[here]))
		here++;
	NEXT(2);
option:
	if (here < length && HAS(code[1], text[here])) {
		uint32_t after = here + 1 < length ? text[here + 1] : NW_END;

		if (HAS(code[2], after)) {
			if (HAS(code[2], text[here]) && !push(run, GO_BACK, AT() + 3, here, 0))
				return NW_GAVE_UP;
			here++;
		}
	}
	NEXT(3);
greedy_run:
	if ((end = greedy(run, AT(), here)) < 0)
		goto failed;
	here = end;
	NEXT(5);
lazy_run:
	if ((end = more(run, AT(), here, 0)) < 0)
		goto failed;
	here = end;
	NEXT(5);
split:
	if (!HAS(code[1], NEXT_BYTE()))
		GO_TO(code[2]);
	if (!push(run, GO_BACK, code[2], here, 0))
		return NW_GAVE_UP;
	NEXT(3);
split_take:
	if (here >= length || !HAS(code[1], text[here]))
		GO_TO(code[2]);
	if (!push(run, GO_BACK, code[2], here, 0))
		return NW_GAVE_UP;
	here++;
	NEXT(3);
only:
	if (!HAS(code[1], NEXT_BYTE()))
		GO_TO(code[2]);
	NEXT(3);
only_take:
	if (here >= length || !HAS(code[1], text[here]))
		GO_TO(code[2]);
	here++;
	NEXT(3);
switch_byte:
	next = ((const uint8_t *)(code + 2))[NEXT_BYTE()];
	if (!next)
		goto failed;
	GO_TO(code[2 + NW_SWITCH_WORDS + next - 1]);
jump:
	if (left <= 0)
		return NW_GAVE_UP;
	GO_TO(code[1]);
save:
	if (!set_slot(run, code[1], here))
		return NW_GAVE_UP;
	NEXT(2);
at_place:
	if (!is_at(run, code[1], here))
		goto failed;
	NEXT(2);
peek:
	if (!HAS(code[1], NEXT_BYTE()))
		goto failed;
	NEXT(2);
behind:
	if (!HAS(code[1], here ? text[here - 1] : NW_END))
		goto failed;
	NEXT(2);
atomic:
	if (!enter(run, MARK, 0, here))
		return NW_GAVE_UP;
	NEXT(1);
atomic_end:
	if (run->mark < 0)
		return NW_GAVE_UP;
	commit(run);
	NEXT(1);
look:
	if ((uint32_t)here < code[1])
		goto failed;
	if (!enter(run, MARK, 0, here))
		return NW_GAVE_UP;
	here -= (int32_t)code[1];
	NEXT(2);
look_end:
	if (run->mark < 0)
		return NW_GAVE_UP;
	here = run->frames[run->mark].here;
	commit(run);
	NEXT(1);
	not : if ((uint32_t)here < code[1]) GO_TO(code[2]);
	if (!enter(run, MARK_NOT, code[2], here))
		return NW_GAVE_UP;
	here -= (int32_t)code[1];
	NEXT(3);
not_end:
	if (run->mark < 0)
		return NW_GAVE_UP;
	revoke(run);
	goto failed;
refer:
	if ((end = reference(run, code[1], here)) < 0)
		goto failed;
	here = end;
	NEXT(2);
if_set:
	if (run->slots[2 * code[1] + 1] < 0)
		GO_TO(code[2]);
	NEXT(3);
count:
	if (!set_slot(run, code[1], 0))
		return NW_GAVE_UP;
	NEXT(2);
loop:
	if ((next = next_round(run, AT(), here)) == UINT32_MAX)
		return NW_GAVE_UP;
	GO_TO(next);
failed:
	here = go_back(run, &at);
	if (here >= 0 && left > 0)
		GO_TO(at);
	return run->steps && left > 0 ? NW_NO_MATCH : NW_GAVE_UP;
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
	run.floor = 0;
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
