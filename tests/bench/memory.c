/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/memory.h"

#include "shila/base/reserve.h"

#include <stdint.h>
#include <time.h>

#define LINES  4096 /* positions made at a time, outside of what is measured */
#define ROUNDS 512
#define REPEAT 5

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

double memory_line_ns(uint32_t entries, uint32_t entry_bytes, unsigned int in_flight)
{
	static uint32_t at[LINES + MEMORY_MOST_IN_FLIGHT];
	size_t bytes = (size_t)entries * entry_bytes;
	uint64_t state = 1, best = UINT64_MAX;
	volatile uint64_t sink;
	uint8_t *p = reserve_new(bytes);

	if (!p)
		return 0;
	reserve_huge(p, bytes, 0);
	for (size_t i = 0; i < bytes; i += 64)
		p[i] = 1;
	for (unsigned int r = 0; r < REPEAT; r++) {
		uint64_t ns = 0, sum = 0, t;

		for (unsigned int k = 0; k < ROUNDS; k++) {
			for (unsigned int i = 0; i < LINES + in_flight; i++) {
				state = state * 6364136223846793005ull + 1442695040888963407ull;
				at[i] = (uint32_t)((state >> 32) * entries >> 32);
			}
			t = now_ns();
			for (unsigned int i = 0; i < in_flight; i++)
				__builtin_prefetch(p + (size_t)at[i] * entry_bytes);
			for (unsigned int i = 0; i < LINES; i++) {
				__builtin_prefetch(p + (size_t)at[i + in_flight] * entry_bytes);
				sum += p[(size_t)at[i] * entry_bytes];
			}
			ns += now_ns() - t;
		}
		sink = sum;
		(void)sink;
		best = ns < best ? ns : best;
	}
	reserve_free(p, bytes);
	return (double)best / ((double)ROUNDS * LINES);
}
