/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_BASE_WARM_H
#define SHILA_BASE_WARM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE /* Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif

/*
 * warm_up() - Have the pages of this memory before they are needed: the first touch of a page takes longer than a
 * packet may. Whatever cannot be had now comes when it is touched.
 */
static inline void warm_up(void *p, size_t bytes)
{
	uintptr_t page = 4096, start = (uintptr_t)p & ~(page - 1);

	if (p)
		madvise((void *)start, ((uintptr_t)p + bytes - start + page - 1) & ~(page - 1), MADV_POPULATE_WRITE);
}

/* warm_up_code() - The program's own code is in memory from now on, and stays. */
static inline void warm_up_code(void)
{
	extern const char __executable_start, etext;

	mlock(&__executable_start, (size_t)(&etext - &__executable_start));
}

#endif
