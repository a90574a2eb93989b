/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/base/ring.h"

#include "tests/unit/check.h"

#include <pthread.h>
#include <string.h>

static void test_full(void)
{
	struct ring r;
	unsigned int n = 0;
	uint32_t len;

	CHECK("init", !ring_init(&r, 4096));
	CHECK("empty", ring_empty(&r) && !ring_peek(&r, &len));
	CHECK("larger than half of it is refused", !ring_reserve(&r, 2049));
	while (ring_reserve(&r, 120)) {
		ring_commit(&r);
		n++;
	}
	CHECK("4096 / (16 + 128)", n == 28);
	CHECK("oldest first", ring_peek(&r, &len) && len == 120);
	ring_release(&r);
	CHECK("room again, behind a skip", ring_reserve(&r, 120) == (void *)(r.bytes + 16));
	ring_fini(&r);
}

/* Memory of a large ring that is emptied now and then is used at its beginning only. */
static void test_front(void)
{
	const uint32_t size = 4 << 20, most = 512 * 1024;
	struct ring r;
	uint32_t len, highest = 0, filled = 0, bad = 0;

	ring_init(&r, size);
	for (unsigned int i = 0; i < 200; i++) {
		for (unsigned int n = 0; n < 100; n++) {
			uint8_t *p = ring_reserve(&r, 1000);

			if (!p) {
				bad++;
				continue;
			}
			highest = (uint32_t)(p - r.bytes) > highest ? (uint32_t)(p - r.bytes) : highest;
			memset(p, (int)n, 1000);
			ring_commit(&r);
			filled = ring_filled(&r) > filled ? ring_filled(&r) : filled;
		}
		for (unsigned int n = 0; n < 100; n++) {
			uint8_t *p = ring_peek(&r, &len);

			bad += !p || len != 1000 || p[0] != n || p[999] != n;
			ring_release(&r);
		}
		bad += !ring_empty(&r) || ring_filled(&r);
	}
	CHECK("all as it was written", !bad);
	CHECK("at the beginning", highest < most);
	CHECK("what is skipped is not filled", filled == 100 * (16 + 1008));
	/* As large a message as it takes, wherever it begins. */
	for (unsigned int i = 0; i < 50; i++) {
		bad += !ring_reserve(&r, 100000);
		ring_commit(&r);
		ring_peek(&r, &len);
		ring_release(&r);
		bad += !ring_reserve(&r, size / 2 - 16);
		ring_commit(&r);
		bad += !ring_peek(&r, &len) || len != size / 2 - 16;
		ring_release(&r);
	}
	CHECK("large ones fit", !bad);
	ring_fini(&r);
}

#define MESSAGES 200000u

static void *writer(void *arg)
{
	struct ring *r = arg;

	for (uint32_t i = 0; i < MESSAGES;) {
		uint32_t len = 4 + i % 301;
		uint8_t *p = ring_reserve(r, len);

		if (!p)
			continue;
		memset(p, (int)(i & 0xff), len);
		memcpy(p, &i, 4);
		ring_commit(r);
		i++;
	}
	return NULL;
}

static void two_threads(uint32_t size)
{
	struct ring r;
	pthread_t t;
	uint32_t bad = 0;

	ring_init(&r, size);
	pthread_create(&t, NULL, writer, &r);
	for (uint32_t i = 0; i < MESSAGES;) {
		uint32_t len, v;
		uint8_t *p = ring_peek(&r, &len);

		if (!p)
			continue;
		memcpy(&v, p, 4);
		bad += v != i || len != 4 + i % 301 || (len > 4 && p[len - 1] != (i & 0xff));
		ring_release(&r);
		i++;
	}
	pthread_join(t, NULL);
	CHECK("every message whole and in order", bad == 0);
	CHECK("nothing left", ring_empty(&r));
	ring_fini(&r);
}

static void test_threads(void)
{
	two_threads(8192);
	two_threads(1 << 20); /* skips from the middle, too */
}

const struct unit_test unit_tests[] = {
	{ "full and free", test_full },
	{ "a large one", test_front },
	{ "two threads", test_threads },
	{ 0 },
};
