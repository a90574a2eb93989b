/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/io/wake.h"

#include "tests/unit/check.h"

#include <pthread.h>

#define MESSAGES 200000

static uv_loop_t loop;
static struct wake wake;
static atomic_uint written;
static unsigned int seen, wakes;

static void count(struct wake *w)
{
	wakes++;
	seen = atomic_load_explicit(&written, memory_order_relaxed);
	if (seen == MESSAGES)
		wake_close(w);
}

static void *writer(void *arg)
{
	(void)arg;
	for (int i = 0; i < MESSAGES; i++) {
		atomic_fetch_add_explicit(&written, 1, memory_order_relaxed);
		wake_send(&wake);
	}
	return NULL;
}

/* Each message has a wake-up after it: else the loop would never see the last one, and this never end. */
static void test_none_is_lost(void)
{
	pthread_t thread;

	uv_loop_init(&loop);
	CHECK("a wake", !wake_init(&loop, &wake, count));
	pthread_create(&thread, NULL, writer, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	pthread_join(thread, NULL);
	CHECK("all messages", seen == MESSAGES && wakes && wakes <= MESSAGES);
	wake_send(&wake);
	CHECK("nothing happens once it is closed", !uv_run(&loop, UV_RUN_NOWAIT) && seen == MESSAGES);
	wake_fini(&wake);
	CHECK("the loop is empty", !uv_loop_close(&loop));
}

static void test_several_are_one(void)
{
	uv_loop_init(&loop);
	wakes = 0;
	atomic_store(&written, MESSAGES - 1);
	CHECK("a wake", !wake_init(&loop, &wake, count));
	wake_send(&wake);
	wake_send(&wake);
	uv_run(&loop, UV_RUN_NOWAIT);
	uv_run(&loop, UV_RUN_NOWAIT);
	CHECK("two before it ran are one", wakes == 1);
	atomic_store(&written, MESSAGES);
	wake_send(&wake);
	uv_run(&loop, UV_RUN_DEFAULT);
	CHECK("the next is another", wakes == 2);
	wake_fini(&wake);
	CHECK("the loop is empty", !uv_loop_close(&loop));
}

const struct unit_test unit_tests[] = {
	{ "none is lost", test_none_is_lost },
	{ "several are one", test_several_are_one },
	{ 0 },
};
