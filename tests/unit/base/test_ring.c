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

static void test_threads(void)
{
	struct ring r;
	pthread_t t;
	uint32_t bad = 0;

	ring_init(&r, 8192);
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

const struct unit_test unit_tests[] = {
	{ "full and free", test_full },
	{ "two threads", test_threads },
	{ 0 },
};
