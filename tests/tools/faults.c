/* SPDX-License-Identifier: Apache-2.0 */

/*
 * libfaults.so, for LD_PRELOAD: a machine on which the clock jumps, memory, descriptors and buffers are short and
 * system calls are interrupted, as the file in $SHILA_FAULTS says at that moment (faults.h). Allocations are left
 * alone when they are not of the program's own code, unless asked for: a library that aborts is no finding about
 * the program. Built with FAULTS_MEMORY for programs without a sanitizer only.
 */
#include "tests/tools/faults.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static struct faults_file *file;
static uintptr_t code_start, code_end; /* of the program itself */


static int on_object(struct dl_phdr_info *info, size_t size, void *ctx)
{
	(void)size;
	(void)ctx;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_LOAD && p->p_flags & PF_X) {
			code_start = info->dlpi_addr + p->p_vaddr;
			code_end = code_start + p->p_memsz;
		}
	}
	return 1; /* the first one is the program */
}

__attribute__((constructor)) static void open_file(void)
{
	const char *name = getenv("SHILA_FAULTS");
	long fd = name ? syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	if (fd < 0)
		return;
	p = (void *)syscall(SYS_mmap, NULL, sizeof(*file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	syscall(SYS_close, fd);
	if (p == MAP_FAILED)
		return;
	dl_iterate_phdr(on_object, NULL);
	file = p;
	atomic_store(&file->words[FAULTS_MAGIC_WORD], FAULTS_MAGIC);
}

static uint64_t get(enum faults_word w)
{
	return file ? atomic_load_explicit(&file->words[w], memory_order_relaxed) : 0;
}

static void count(enum faults_word w)
{
	atomic_fetch_add_explicit(&file->words[w], 1, memory_order_relaxed);
}

static bool nth(enum faults_word every)
{
	static _Atomic uint64_t calls[FAULTS_WORDS];
	uint64_t n = get(every);

	return n && !(atomic_fetch_add_explicit(&calls[every], 1, memory_order_relaxed) % n);
}

/* ---- time ---- */

int clock_gettime(clockid_t id, struct timespec *ts)
{
	int err = (int)syscall(SYS_clock_gettime, id, ts);

	if (!err && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		ts->tv_sec += (int64_t)get(FAULTS_CLOCK_S) + (int64_t)get(FAULTS_BOOT_S);
	if (!err && id == CLOCK_BOOTTIME)
		ts->tv_sec += (int64_t)get(FAULTS_BOOT_S);
	return err;
}

time_t time(time_t *out)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (out)
		*out = ts.tv_sec;
	return ts.tv_sec;
}

int gettimeofday(struct timeval *tv, void *zone)
{
	struct timespec ts;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

/* ---- memory ---- */

#ifdef FAULTS_MEMORY
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t align, size_t size);

static bool no_memory(const void *caller)
{
	uintptr_t at = (uintptr_t)caller;

	if (!get(FAULTS_MEMORY_EVERY) || ((at < code_start || at >= code_end) && !get(FAULTS_LIBRARIES)) ||
	    !nth(FAULTS_MEMORY_EVERY))
		return false;
	count(FAULTS_MEMORY_FAILED);
	errno = ENOMEM;
	return true;
}

#define CALLER __builtin_return_address(0)

void *malloc(size_t size)
{
	return no_memory(CALLER) ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return no_memory(CALLER) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	return no_memory(CALLER) ? NULL : __libc_realloc(p, size);
}

void *aligned_alloc(size_t align, size_t size)
{
	return no_memory(CALLER) ? NULL : __libc_memalign(align, size);
}

char *strdup(const char *s)
{
	size_t len = strlen(s) + 1;
	char *p = no_memory(CALLER) ? NULL : __libc_malloc(len);

	return p ? memcpy(p, s, len) : NULL;
}

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t at)
{
	if (no_memory(CALLER))
		return MAP_FAILED;
	return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, at);
}
#endif

/* ---- descriptors ---- */

static bool no_descriptor(void)
{
	int err = (int)get(FAULTS_FD_ERRNO);

	if (!err)
		return false;
	count(FAULTS_FD_FAILED);
	errno = err;
	return true;
}

int socket(int domain, int type, int protocol)
{
	return no_descriptor() ? -1 : (int)syscall(SYS_socket, domain, type, protocol);
}

int socketpair(int domain, int type, int protocol, int out[2])
{
	return no_descriptor() ? -1 : (int)syscall(SYS_socketpair, domain, type, protocol, out);
}

int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	return no_descriptor() ? -1 : (int)syscall(SYS_accept4, fd, addr, len, flags);
}

int accept(int fd, struct sockaddr *addr, socklen_t *len)
{
	return accept4(fd, addr, len, 0);
}

int epoll_create1(int flags)
{
	return no_descriptor() ? -1 : (int)syscall(SYS_epoll_create1, flags);
}

int eventfd(unsigned int value, int flags)
{
	return no_descriptor() ? -1 : (int)syscall(SYS_eventfd2, value, flags);
}

/* Compiled with large files, so this is open64(), as in the program. */
int open(const char *name, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return no_descriptor() ? -1 : (int)syscall(SYS_openat, AT_FDCWD, name, flags, mode);
}

/* ---- sending, receiving ---- */

static bool interrupted(void)
{
	if (!nth(FAULTS_INTERRUPT_EVERY))
		return false;
	count(FAULTS_INTERRUPTED);
	errno = EINTR;
	return true;
}

static bool no_send(void)
{
	int err = (int)get(FAULTS_SEND_ERRNO);

	if (interrupted())
		return true;
	if (!err || (get(FAULTS_SEND_EVERY) && !nth(FAULTS_SEND_EVERY)))
		return false;
	count(FAULTS_SEND_FAILED);
	errno = err;
	return true;
}

/* Netlink and UNIX sockets are not the underlay. */
static bool is_underlay(const struct sockaddr *to)
{
	return to && (to->sa_family == AF_INET || to->sa_family == AF_INET6);
}

ssize_t sendto(int fd, const void *p, size_t len, int flags, const struct sockaddr *to, socklen_t to_len)
{
	return is_underlay(to) && no_send() ? -1 : syscall(SYS_sendto, fd, p, len, flags, to, to_len);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	return is_underlay(m->msg_name) && no_send() ? -1 : syscall(SYS_sendmsg, fd, m, flags);
}

int sendmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags)
{
	if (n && is_underlay(msgs->msg_hdr.msg_name) && no_send())
		return -1;
	if (n > 1 && nth(FAULTS_SHORT_EVERY)) {
		count(FAULTS_SHORTENED);
		n = 1;
	}
	return (int)syscall(SYS_sendmmsg, fd, msgs, n, flags);
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	return interrupted() ? -1 : syscall(SYS_recvmsg, fd, m, flags);
}

int recvmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags, struct timespec *timeout)
{
	return interrupted() ? -1 : (int)syscall(SYS_recvmmsg, fd, msgs, n, flags, timeout);
}

ssize_t read(int fd, void *p, size_t len)
{
	return interrupted() ? -1 : syscall(SYS_read, fd, p, len);
}

ssize_t write(int fd, const void *p, size_t len)
{
	if (fd > STDERR_FILENO && interrupted())
		return -1;
	if (fd > STDERR_FILENO && len > 8 && nth(FAULTS_SHORT_EVERY)) { /* 8: an eventfd takes all or nothing */
		count(FAULTS_SHORTENED);
		len = 1;
	}
	return syscall(SYS_write, fd, p, len);
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
	int err = (int)get(FAULTS_WRITE_ERRNO);

	if (interrupted())
		return -1;
	if (err) {
		count(FAULTS_WRITE_FAILED);
		errno = err;
		return -1;
	}
	return syscall(SYS_writev, fd, iov, n);
}

int poll(struct pollfd *fds, nfds_t n, int ms)
{
	return interrupted() ? -1 : (int)syscall(SYS_poll, fds, n, ms);
}
