/* SPDX-License-Identifier: Apache-2.0 */

/*
 * libcount_calls.so, for LD_PRELOAD: counts allocations and locks of each thread into a shared file while
 * the program runs as it is. glibc only: the allocator is called by its inner names, since dlsym()
 * allocates itself. Not together with a sanitizer, which wants these names too.
 */
#include "tests/tools/count_calls.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void __libc_free(void *p);
void *__libc_memalign(size_t align, size_t size);

/* Not allocated on first use: that would count itself. */
#define TLS static __thread __attribute__((tls_model("initial-exec")))

static struct count_file *file;
TLS struct count_slot *slot;
TLS int no_slot; /* there was none left */

__attribute__((constructor)) static void open_file(void)
{
	const char *name = getenv("SHILA_COUNT_CALLS");
	struct count_file *f;
	int fd = name ? open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;

	if (fd < 0)
		return;
	if (!ftruncate(fd, sizeof(*f))) {
		f = (void *)syscall(SYS_mmap, NULL, sizeof(*f), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (f != MAP_FAILED) {
			f->magic = COUNT_CALLS_MAGIC;
			file = f;
		}
	}
	close(fd);
}

static void count(enum count_call c)
{
	if (!file || no_slot)
		return;
	if (!slot) {
		uint32_t n = atomic_fetch_add(&file->used, 1);

		if (n >= COUNT_CALLS_SLOTS) {
			no_slot = 1;
			return;
		}
		slot = &file->slots[n];
		atomic_store(&slot->tid, (int32_t)syscall(SYS_gettid));
	}
	/* One writer; relaxed is enough for a reader that looks twice. */
	atomic_fetch_add_explicit(&slot->calls[c], 1, memory_order_relaxed);
}

/* ---- memory ---- */

void *malloc(size_t size)
{
	count(COUNT_MALLOC);
	return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	count(COUNT_CALLOC);
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	count(COUNT_REALLOC);
	return __libc_realloc(p, size);
}

void free(void *p)
{
	if (p)
		count(COUNT_FREE);
	__libc_free(p);
}

void *aligned_alloc(size_t align, size_t size)
{
	count(COUNT_ALIGNED);
	return __libc_memalign(align, size);
}

void *memalign(size_t align, size_t size)
{
	count(COUNT_ALIGNED);
	return __libc_memalign(align, size);
}

int posix_memalign(void **out, size_t align, size_t size)
{
	void *p;

	count(COUNT_ALIGNED);
	p = __libc_memalign(align, size);
	if (!p)
		return ENOMEM;
	*out = p;
	return 0;
}

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	count(COUNT_MMAP);
	return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, off);
}

/* ---- locks ---- */

#define COUNTED(kind, type, name, params, args)                                                    \
	type name params                                                                           \
	{                                                                                          \
		static type(*real) params;                                                         \
                                                                                                   \
		if (!real)                                                                         \
			real = (type(*) params)dlsym(RTLD_NEXT, #name);                            \
		count(kind);                                                                       \
		return real args;                                                                  \
	}

COUNTED(COUNT_MUTEX, int, pthread_mutex_lock, (pthread_mutex_t * m), (m))
COUNTED(COUNT_MUTEX, int, pthread_mutex_trylock, (pthread_mutex_t * m), (m))
COUNTED(COUNT_MUTEX, int, pthread_cond_wait, (pthread_cond_t * c, pthread_mutex_t *m), (c, m))
COUNTED(COUNT_RWLOCK, int, pthread_rwlock_rdlock, (pthread_rwlock_t * l), (l))
COUNTED(COUNT_RWLOCK, int, pthread_rwlock_wrlock, (pthread_rwlock_t * l), (l))
