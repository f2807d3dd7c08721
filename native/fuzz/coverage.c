// Which code ran, for fuzzers: gcc calls the first function at each branch (-fsanitize-coverage=trace-pc).
#include <stdint.h>
#include <string.h>

#define PLACES 16384
#define EXPORTED __attribute__((visibility("default")))
#define UNTRACED __attribute__((no_sanitize_coverage, no_sanitize_address, no_sanitize_undefined))

static uint8_t now[PLACES], before[PLACES];
static uintptr_t last;

EXPORTED UNTRACED void __sanitizer_cov_trace_pc(void)
{
	uintptr_t place = (uintptr_t)__builtin_return_address(0);
	uint8_t *count = &now[(place ^ last >> 1) % PLACES];

	*count += *count < 255;
	last = place;
}

// A bit for each order of magnitude.
UNTRACED static uint8_t magnitude(uint8_t count)
{
	return count < 4 ? (uint8_t)(1 << count >> 1) : count < 16 ? 8 : count < 64 ? 16 : 32;
}

// How many branches ran, or ran another number of times than ever, since the last call.
EXPORTED UNTRACED int nw_coverage_fresh(void)
{
	int fresh = 0;

	for (int i = 0; i < PLACES; i++) {
		uint8_t bit = now[i] ? magnitude(now[i]) : 0;

		fresh += (bit & ~before[i]) != 0;
		before[i] |= bit;
	}
	memset(now, 0, sizeof(now));
	last = 0;
	return fresh;
}
