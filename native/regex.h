// A backtracking matcher of compiled expressions over ASCII bytes. It needs no memory that is both writable and
// executable, so it runs in the unit's sandbox (MemoryDenyWriteExecute).
#ifndef NODEWARDEN_REGEX_H
#define NODEWARDEN_REGEX_H

#include <stdint.h>

struct nw_program;
typedef struct nw_program nw_program;

enum nw_result {
	NW_NO_MATCH = 0,
	NW_MATCH = 1,
	NW_GAVE_UP = -1, // more steps or more places to go back to than allowed: Python must decide
};

// Steps that a line may take, unless the caller says otherwise: well below a millisecond.
#define NW_MAX_STEPS 20000

// The number of capturing groups; group 0, the whole match, is not counted.
int nw_program_groups(const nw_program *program);

// How many integers nw_match needs in `spans`: those of all groups, and its own registers.
int nw_program_slots(const nw_program *program);

// Match text[start:length] at `start`, like re.Pattern.match(text, start, length). The text must be ASCII and not
// empty. spans: first 2 * (groups + 1) positions in `text`, -1 where a group took no part; then registers.
enum nw_result nw_match(const nw_program *program, const uint8_t *text, int32_t length, int32_t start, int32_t *spans,
			uint32_t max_steps);

// The program in a monitor._native.Program; NULL if the object is none (no exception is set).
struct _object;
const nw_program *nw_program_of(struct _object *object);

#endif
