/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_IO_WAKE_H
#define SHILA_IO_WAKE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <uv.h>

/*
 * Wakes the loop of another thread. uv_async_t does that too, but the thread that it woke spins until the one
 * that wakes it is through with its system call, and with more threads than CPUs that is seldom at once.
 */
struct wake {
	uv_poll_t poll; /* first: as which the loop knows it */
	int fd;		/* an eventfd */
	atomic_bool pending;
	void (*on_wake)(struct wake *w);
	void *data; /* the owner's */
};

/* wake_init() - @on_wake is called by @loop. Return: 0 or -errno; then there is nothing to be closed. */
int wake_init(uv_loop_t *loop, struct wake *w, void (*on_wake)(struct wake *w));
/* wake_send() - By any thread. Several before it is awake are one. What was written before is seen by on_wake(). */
void wake_send(struct wake *w);
void wake_close(struct wake *w); /* by the loop's thread; a wake_send() after that has no effect. Also after a failed init */
void wake_fini(struct wake *w);	 /* once nobody sends any more and the loop has closed it */

#endif
