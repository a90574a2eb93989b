/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/oom.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
char *__real_strdup(const char *s);
void *__real_mmap(void *addr, size_t len, int prot, int flags, int fd, long at);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
char *__wrap_strdup(const char *s);
void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, long at);

static atomic_uint wanted, seen; /* @wanted 0: none fails */

static bool fails(void)
{
	return atomic_load(&wanted) && atomic_fetch_add(&seen, 1) + 1 == atomic_load(&wanted);
}

bool oom_sweep(unsigned int n)
{
	bool more = n == 1 || atomic_load(&seen) >= n - 1;

	json_set_alloc_funcs(__wrap_malloc, free);
	atomic_store(&seen, 0);
	atomic_store(&wanted, more ? n : 0);
	return more;
}

bool oom_end(void)
{
	bool failed = atomic_load(&wanted) && atomic_load(&seen) >= atomic_load(&wanted);

	atomic_store(&wanted, 0);
	return failed;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return fails() ? NULL : __real_realloc(p, size);
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
	return fails() ? NULL : __real_aligned_alloc(align, size);
}

char *__wrap_strdup(const char *s)
{
	return fails() ? NULL : __real_strdup(s);
}

void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, long at)
{
	return fails() ? (void *)-1 : __real_mmap(addr, len, prot, flags, fd, at);
}
