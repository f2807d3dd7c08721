// The matcher's stack of places to go back to, and of old values to restore on the way.
#ifndef NODEWARDEN_REGEX_STACK_H
#define NODEWARDEN_REGEX_STACK_H

#include "program.h"

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
	uint32_t floor; // the lowest frames that are all MARK: there is nothing to go back to in them
	int32_t mark;	// the innermost mark; -1: none
	struct frame frames[MAX_FRAMES];
};

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
	if (run->top > run->floor && !push(run, RESTORE, slot, run->slots[slot], 0))
		return 0;
	run->slots[slot] = value;
	return 1;
}

static inline int enter(struct run *run, uint32_t kind, uint32_t at, int32_t here)
{
	if (!push(run, kind, at, here, run->mark))
		return 0;
	run->mark = (int32_t)run->top - 1;
	if (kind == MARK && run->floor == (uint32_t)run->mark)
		run->floor = run->top;
	return 1;
}

static inline void drop_to(struct run *run, uint32_t top)
{
	run->top = top;
	if (run->floor > top)
		run->floor = top;
}

// Leave the innermost mark; slots that were set since then still know their old values.
static inline void commit(struct run *run)
{
	uint32_t from = (uint32_t)run->mark, to = from;

	run->mark = run->frames[from].also;
	if (from >= run->floor)
		for (uint32_t index = from + 1; index < run->top; index++)
			if (run->frames[index].kind == RESTORE)
				run->frames[to++] = run->frames[index];
	drop_to(run, to);
}

// Undo everything since the innermost mark, and leave it.
static inline void revoke(struct run *run)
{
	while (run->top > (uint32_t)run->mark + 1) {
		struct frame *frame = &run->frames[--run->top];

		if (frame->kind == RESTORE)
			run->slots[frame->at] = frame->here;
	}
	drop_to(run, (uint32_t)run->mark);
	run->mark = run->frames[run->top].also;
}

#endif
