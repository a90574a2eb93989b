/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/io/wake.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void on_readable(uv_poll_t *handle, int status, int events)
{
	struct wake *w = handle->data;
	uint64_t count;

	(void)status;
	(void)events;
	while (read(w->fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
	/* Who still sees it pending has put its message there before: the exchange takes over what it wrote. */
	atomic_exchange(&w->pending, false);
	w->on_wake(w);
}

int wake_init(uv_loop_t *loop, struct wake *w, void (*on_wake)(struct wake *w))
{
	int err;

	w->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->fd < 0)
		return -errno;
	atomic_init(&w->pending, false);
	w->on_wake = on_wake;
	err = uv_poll_init(loop, &w->poll, w->fd);
	if (err < 0)
		goto close_fd;
	w->poll.data = w;
	err = uv_poll_start(&w->poll, UV_READABLE, on_readable);
	if (!err)
		return 0;
	uv_close((uv_handle_t *)&w->poll, NULL);
close_fd:
	close(w->fd);
	w->fd = -1;
	return err;
}

void wake_send(struct wake *w)
{
	uint64_t one = 1;

	if (!atomic_exchange(&w->pending, true))
		while (write(w->fd, &one, sizeof(one)) < 0 && errno == EINTR)
			;
}

void wake_close(struct wake *w)
{
	if (w->fd >= 0)
		uv_close((uv_handle_t *)&w->poll, NULL);
}

void wake_fini(struct wake *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}
