/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A program whose calls are known, to see whether libcount_calls.so counts them: "worker 9" calls malloc 3
 * times, calloc, realloc and aligned_alloc once, free 4 times, mmap once, locks a mutex twice and a
 * rwlock three times; "worker 8" does nothing. Then it waits for the end of its input.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static void *volatile kept[8]; /* so that the compiler leaves all calls where they are */
static pthread_barrier_t named, done;

static void *busy(void *arg)
{
	pthread_barrier_wait(&named);
	for (int i = 0; i < 3; i++)
		kept[i] = malloc(100);
	kept[3] = calloc(2, 50);
	kept[3] = realloc(kept[3], 5000);
	kept[4] = aligned_alloc(64, 640);
	for (int i = 0; i < 4; i++)
		free(kept[i]);
	free(NULL);
	kept[5] = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 2; i++) {
		pthread_mutex_lock(&mutex);
		pthread_mutex_unlock(&mutex);
	}
	for (int i = 0; i < 3; i++) {
		if (i)
			pthread_rwlock_rdlock(&rwlock);
		else
			pthread_rwlock_wrlock(&rwlock);
		pthread_rwlock_unlock(&rwlock);
	}
	pthread_barrier_wait(&done);
	for (;;)
		pause();
	return arg;
}

static void *idle(void *arg)
{
	for (;;)
		pause();
	return arg;
}

int main(void)
{
	pthread_t a, b;

	pthread_barrier_init(&named, NULL, 2);
	pthread_barrier_init(&done, NULL, 2);
	if (pthread_create(&a, NULL, busy, NULL) || pthread_create(&b, NULL, idle, NULL))
		return 1;
	pthread_setname_np(a, "worker 9");
	pthread_setname_np(b, "worker 8");
	pthread_barrier_wait(&named);
	pthread_barrier_wait(&done);
	puts("ready");
	fflush(stdout);
	return getchar() == EOF ? 0 : 1;
}
