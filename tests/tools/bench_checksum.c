/* SPDX-License-Identifier: Apache-2.0 */

/* How fast csum_add() is in each of its variants, beside memcpy(): scripts/micro/checksum. */
#include "shila/wire/checksum.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define AREA_BYTES (64u << 20)
#define ROUNDS	   5

/* What is called with such lengths: headers, pieces of a train, trains; and where they lie. */
static const struct {
	const char *name;
	size_t len, area; /* one piece of @len bytes after the other out of an area of so many */
} rows[] = {
	{ "12", 12, 4096 },
	{ "24", 24, 4096 },
	{ "36", 36, 4096 },
	{ "60", 60, 4096 },
	{ "100", 100, 4096 },
	{ "128", 128, 4096 },
	{ "160", 160, 4096 },
	{ "256", 256, 4096 },
	{ "512", 512, 4096 },
	{ "1350", 1350, 16384 },
	{ "1448", 1448, 16384 },
	{ "8900", 8900, 16384 },
	{ "65536", 65536, 65536 },
	{ "1400 of 64 KiB", 1400, 65536 },
	{ "1400 of 4 MiB", 1400, 4u << 20 },
	{ "1400 of 64 MiB", 1400, AREA_BYTES },
};

#define NUM_ROWS (sizeof(rows) / sizeof(rows[0]))

static uint8_t *area, *copy;
static volatile uint64_t sink;

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Pieces begin where they do in packets: at even offsets. */
static void pass(size_t row, bool copying, size_t pieces)
{
	size_t len = rows[row].len, step = (len + 1) & ~(size_t)1, at = 0;
	uint64_t sum = 0;

	for (size_t i = 0; i < pieces; i++) {
		if (at + len > rows[row].area)
			at = 0;
		if (copying)
			memcpy(copy + at, area + at, len);
		else
			sum = csum_add(sum, area + at, len);
		__asm__ volatile("" ::: "memory");
		at += step;
	}
	sink = sum;
}

/* ns a piece: the best of a few rounds, as everything else on the machine only makes it slower. */
static double measure(size_t row, bool copying, double round_s)
{
	double best = 1e9, began = now_s(), took = 0;
	size_t pieces = 64;

	pass(row, copying, rows[row].area / rows[row].len + 1); /* page faults, caches */
	for (;;) {
		began = now_s();
		pass(row, copying, pieces);
		took = now_s() - began;
		if (took > round_s / 4)
			break;
		pieces *= 2;
	}
	pieces = (size_t)((double)pieces * round_s / took) + 1;
	for (int i = 0; i < ROUNDS; i++) {
		began = now_s();
		pass(row, copying, pieces);
		took = (now_s() - began) / (double)pieces * 1e9;
		if (took < best)
			best = took;
	}
	return best;
}

int main(int argc, char **argv)
{
	bool json = argc > 1 && !strcmp(argv[1], "--json");
	bool first = true;

	if (argc > 1 && !json) {
		fprintf(stderr, "usage: bench_checksum [--json]\n");
		return 2;
	}
	area = aligned_alloc(4096, AREA_BYTES);
	copy = aligned_alloc(4096, AREA_BYTES);
	if (!area || !copy)
		return 1;
	for (size_t i = 0; i < AREA_BYTES; i++)
		area[i] = (uint8_t)(i * 2654435761u >> 13);
	memset(copy, 0, AREA_BYTES);
	printf(json ? "[" : "%-16s %-8s %10s %8s\n", "bytes", "by", "ns", "GB/s");
	for (size_t row = 0; row < NUM_ROWS; row++) {
		for (unsigned int v = 0;; v++) {
			const char *name = csum_variant(v);
			double ns;

			if (name && csum_use(name) < 0)
				continue;
			ns = measure(row, !name, 0.01);
			if (json)
				printf("%s\n{\"bytes\": %zu, \"area\": %zu, \"by\": \"%s\", \"ns\": %.2f, \"GB_per_s\": %.2f}",
				       first ? "" : ",", rows[row].len, rows[row].area, name ? name : "memcpy", ns,
				       (double)rows[row].len / ns);
			else
				printf("%-16s %-8s %10.2f %8.2f\n", rows[row].name, name ? name : "memcpy", ns,
				       (double)rows[row].len / ns);
			first = false;
			if (!name)
				break;
		}
	}
	if (json)
		printf("\n]\n");
	free(area);
	free(copy);
	return 0;
}
