/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_BASE_RESERVE_H
#define SHILA_BASE_RESERVE_H

#include <stddef.h>
#include <sys/mman.h>

/*
 * Memory for a table that may become large: its addresses are there from the start, a page of it comes (zeroed) when it is
 * touched. So a table never moves, and what it does not use costs nothing.
 */

#define RESERVE_HUGE (2u << 20) /* bytes of a huge page */

/* reserve_new() - Return: page aligned, all zero; NULL: no memory. */
static inline void *reserve_new(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/**
 * reserve_huge() - Ask for huge pages from byte @small on: random reads of much memory would miss the TLB each time.
 * What lies before stays in small pages, so that a table of few entries stays as small as they are.
 * @p: with reserve_new(), or a part of that from a multiple of RESERVE_HUGE on
 */
static inline void reserve_huge(void *p, size_t bytes, size_t small)
{
	if (bytes > 2 * RESERVE_HUGE && bytes > small)
		madvise((char *)p + small, bytes - small, MADV_HUGEPAGE);
}

static inline void reserve_free(void *p, size_t bytes)
{
	if (p)
		munmap(p, bytes);
}

#endif
