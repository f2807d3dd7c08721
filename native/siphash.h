// SipHash-1-3 (Aumasson and Bernstein, 2012): without its key nobody can choose texts that have the same hash.
#ifndef NODEWARDEN_SIPHASH_H
#define NODEWARDEN_SIPHASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline void nw_sip_round(uint64_t v[4])
{
	v[0] += v[1], v[1] = (v[1] << 13 | v[1] >> 51) ^ v[0], v[0] = v[0] << 32 | v[0] >> 32;
	v[2] += v[3], v[3] = (v[3] << 16 | v[3] >> 48) ^ v[2];
	v[0] += v[3], v[3] = (v[3] << 21 | v[3] >> 43) ^ v[0];
	v[2] += v[1], v[1] = (v[1] << 17 | v[1] >> 47) ^ v[2], v[2] = v[2] << 32 | v[2] >> 32;
}

static inline uint64_t nw_siphash(const uint64_t key[2], const char *text, size_t length)
{
	uint64_t v[4] = {key[0] ^ 0x736F6D6570736575u, key[1] ^ 0x646F72616E646F6Du, key[0] ^ 0x6C7967656E657261u,
			 key[1] ^ 0x7465646279746573u};
	uint64_t last = (uint64_t)length << 56, part;

	for (; length >= 8; text += 8, length -= 8) {
		memcpy(&part, text, 8);
		v[3] ^= part;
		nw_sip_round(v);
		v[0] ^= part;
	}
	part = 0;
	memcpy(&part, text, length);
	last |= part; // the bytes of a number stand in this order on the machines that we build for
	v[3] ^= last;
	nw_sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xFF;
	for (int round = 0; round < 3; round++)
		nw_sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
