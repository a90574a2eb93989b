/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_TESTS_COUNT_CALLS_H
#define SHILA_TESTS_COUNT_CALLS_H

#include <stdatomic.h>
#include <stdint.h>

/*
 * The file that libcount_calls.so writes (name in $SHILA_COUNT_CALLS): which thread called what how often. A
 * thread has a slot from its first call on; count_calls.py reads it.
 */

#define COUNT_CALLS_MAGIC 0x73636331
#define COUNT_CALLS_SLOTS 512

enum count_call {
	COUNT_MALLOC,
	COUNT_CALLOC,
	COUNT_REALLOC,
	COUNT_FREE,	/* not of NULL */
	COUNT_ALIGNED,	/* aligned_alloc, posix_memalign, memalign */
	COUNT_MMAP,
	COUNT_MUTEX,	/* pthread_mutex_lock, trylock, cond_wait */
	COUNT_RWLOCK,
	COUNT_NUM
};

struct count_slot {
	_Atomic int32_t tid; /* 0: free */
	int32_t pad;
	_Atomic uint64_t calls[COUNT_NUM];
};

struct count_file {
	uint32_t magic;
	_Atomic uint32_t used;
	struct count_slot slots[COUNT_CALLS_SLOTS];
};

#endif
