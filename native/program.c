// Verifies programs: whatever the words are, nw_match must stay inside of them.
#include "program.h"
#include <stdlib.h>

// Operands of each instruction: s set, j jump, n number, t slot of a group, r register, g group, a place.
static const char *const operands[OP_KINDS] = {
    [OP_MATCH] = "",	  [OP_LITERAL] = "n", [OP_LITERAL_FOLDED] = "n", [OP_SET] = "s",	[OP_RUN] = "snn",
    [OP_GREEDY] = "snns", [OP_LAZY] = "snns", [OP_SPLIT] = "sj",	 [OP_ONLY] = "sj",	[OP_JUMP] = "j",
    [OP_SAVE] = "t",	  [OP_AT] = "a",      [OP_PEEK] = "s",		 [OP_BEHIND] = "s",	[OP_ATOMIC] = "",
    [OP_ATOMIC_END] = "", [OP_LOOK] = "n",    [OP_LOOK_END] = "",	 [OP_NOT] = "nj",	[OP_NOT_END] = "",
    [OP_REFERENCE] = "g", [OP_IF_SET] = "gj", [OP_COUNT] = "r",		 [OP_LOOP] = "rnnnj",	[OP_FAIL] = "",
    [OP_BYTE] = "n",	  [OP_MAYBE] = "s",   [OP_OPTION] = "ss",	 [OP_ONLY_TAKE] = "sj", [OP_SPLIT_TAKE] = "sj",
    [OP_SWITCH] = "n",
};

static int fits(const nw_program *program, char kind, uint32_t value)
{
	uint32_t slots = 2 * (program->groups + 1);

	switch (kind) {
	case 's':
		return value < program->sets;
	case 'j':
		return value < program->length;
	case 't':
		return value < slots;
	case 'r':
		return value >= slots && value < slots + program->counters;
	case 'g':
		return value >= 1 && value <= program->groups;
	case 'a':
		return value < AT_KINDS;
	default:
		return 1;
	}
}

// The words of one instruction at `at`, or 0 if it does not fit.
static uint32_t instruction(const nw_program *program, uint32_t at)
{
	const uint32_t *code = program->code + at;
	uint32_t left = program->length - at, length = 1;

	if (code[0] >= OP_KINDS)
		return 0;
	for (const char *kind = operands[code[0]]; *kind; kind++, length++)
		if (length >= left || !fits(program, *kind, code[length]))
			return 0;
	if (code[0] == OP_LITERAL || code[0] == OP_LITERAL_FOLDED) {
		if (!code[1] || code[1] > 4 * (left - length))
			return 0;
		length += (code[1] + 3) / 4;
	}
	if (code[0] == OP_SWITCH) {
		if (!code[1] || code[1] > 0xFF || left - length < NW_SWITCH_WORDS + code[1])
			return 0;
		for (uint32_t byte = 0; byte <= NW_END; byte++)
			if (((const uint8_t *)(code + 2))[byte] > code[1])
				return 0;
		length += NW_SWITCH_WORDS + code[1];
	}
	if ((code[0] == OP_LOOK || code[0] == OP_NOT) && code[1] > 0xFFFF)
		return 0;
	return length <= left ? length : 0;
}

// Jumps lead to instructions; only JUMP leads back, so that every loop has one, where steps are counted.
static int leads_well(const nw_program *program, const unsigned char *starts, uint32_t at, uint32_t target)
{
	return target < program->length && starts[target] && (target > at || program->code[at] == OP_JUMP);
}

static int jumps_are_sound(const nw_program *program, const unsigned char *starts)
{
	for (uint32_t at = 0; at < program->length; at += instruction(program, at)) {
		const uint32_t *code = program->code + at;
		const char *kinds = operands[code[0]];

		for (uint32_t number = 0; kinds[number]; number++)
			if (kinds[number] == 'j' && !leads_well(program, starts, at, code[1 + number]))
				return 0;
		for (uint32_t number = 0; code[0] == OP_SWITCH && number < code[1]; number++)
			if (!leads_well(program, starts, at, code[2 + NW_SWITCH_WORDS + number]))
				return 0;
	}
	return 1;
}

static int code_is_sound(const nw_program *program)
{
	unsigned char *starts = calloc(program->length, 1);
	uint32_t at = 0, last = OP_KINDS;
	int sound = 0;

	if (!starts)
		return 0;
	while (at < program->length) {
		uint32_t length = instruction(program, at);

		if (!length)
			goto done;
		starts[at] = 1;
		last = program->code[at];
		at += length;
	}
	// The last one goes nowhere, so that nothing runs past the end.
	sound = (last == OP_MATCH || last == OP_FAIL || last == OP_JUMP) && jumps_are_sound(program, starts);
done:
	free(starts);
	return sound;
}

int nw_program_verify(const uint32_t *words, size_t count, const char **problem)
{
	nw_program program;

	*problem = "it is no program of this version";
	if (count < NW_HEADER_WORDS + 1 || count > (1u << 20) || words[0] != NW_PROGRAM_VERSION)
		return 0;
	program.groups = words[1];
	program.counters = words[2];
	program.sets = words[3];
	program.length = words[4];
	*problem = "it has too many groups or counters";
	if (program.groups > NW_MAX_GROUPS || program.counters > NW_MAX_COUNTERS)
		return 0;
	*problem = "its parts do not add up";
	if (program.sets > count || program.length > count ||
	    NW_HEADER_WORDS + (size_t)NW_SET_WORDS * program.sets + program.length != count)
		return 0;
	program.set = words + NW_HEADER_WORDS;
	program.code = program.set + (size_t)NW_SET_WORDS * program.sets;
	*problem = "an instruction is not valid";
	return code_is_sound(&program);
}
