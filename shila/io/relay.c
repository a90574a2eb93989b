/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/io/relay.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Two ends, [0] the library, [1] the server. The library connects to a socket that lives for a moment (libcurl
 * before 8.0 cannot be given a connected one) and is accepted once the server is there. What is read from one waits in its buffer until the
 * other takes it, and nothing more is read meanwhile; so a turn of the loop moves one buffer each way at most.
 */

#define RELAY_BUFFER_BYTES (32 * 1024)

struct relay_end {
	struct relay *relay;
	uv_poll_t poll;
	int fd;
	bool eof;     /* nothing more comes from it */
	size_t at, n; /* of what came from it */
	uint8_t buf[RELAY_BUFFER_BYTES];
};

struct relay {
	struct relay_end ends[2];
	int listener; /* for the library, -1 once it is there */
	size_t left; /* bytes that may still come from the server */
	int err;
	unsigned int num_handles;
	void (*done)(void *ctx);
	void *done_ctx;
};

enum { LIBRARY, SERVER };

static void on_ready(uv_poll_t *poll, int status, int events);

static struct relay_end *other_end(struct relay_end *e)
{
	return &e->relay->ends[e == &e->relay->ends[LIBRARY] ? SERVER : LIBRARY];
}

/* The library sees the end of the stream and asks relay_error() why. */
static void end_all(struct relay *r, int err)
{
	if (err && !r->err)
		r->err = err;
	for (int i = 0; i < 2; i++) {
		r->ends[i].eof = true;
		r->ends[i].n = 0;
		if (r->ends[i].fd < 0)
			continue;
		uv_poll_stop(&r->ends[i].poll);
		shutdown(r->ends[i].fd, SHUT_RDWR);
	}
	if (r->listener >= 0)
		close(r->listener);
	r->listener = -1;
}

static void update(struct relay_end *e)
{
	struct relay *r = e->relay;
	int events = 0;

	if (r->ends[LIBRARY].fd < 0)
		events = UV_WRITABLE; /* the server's end connects */
	else if (!e->eof && !e->n)
		events = UV_READABLE;
	if (other_end(e)->n)
		events |= UV_WRITABLE;
	if (events)
		uv_poll_start(&e->poll, events, on_ready);
	else
		uv_poll_stop(&e->poll);
}

/* Return: false once all has ended. */
static bool take(struct relay_end *e)
{
	struct relay *r = e->relay;
	bool server = e == &r->ends[SERVER];
	size_t max = server && r->left < sizeof(e->buf) ? r->left : sizeof(e->buf);
	ssize_t n;

	if (!max) {
		end_all(r, -EMSGSIZE);
		return false;
	}
	n = recv(e->fd, e->buf, max, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n < 0) {
		end_all(r, server ? -errno : 0);
		return false;
	}
	if (!n) {
		e->eof = true;
		shutdown(other_end(e)->fd, SHUT_WR);
		return true;
	}
	e->at = 0;
	e->n = (size_t)n;
	if (server)
		r->left -= (size_t)n;
	return true;
}

static bool give(struct relay_end *to)
{
	struct relay_end *from = other_end(to);
	ssize_t n;

	if (!from->n)
		return true;
	n = send(to->fd, from->buf + from->at, from->n, MSG_NOSIGNAL);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n < 0) {
		/* A server that closed may have said why before: that is read to its end. */
		from->n = 0;
		if (to == &to->relay->ends[SERVER])
			return true;
		end_all(to->relay, 0);
		return false;
	}
	from->at += (size_t)n;
	from->n -= (size_t)n;
	return true;
}

static void end_init(struct relay_end *e, uv_loop_t *loop, int fd)
{
	e->fd = fd;
	if (uv_poll_init(loop, &e->poll, fd) < 0)
		abort(); /* a new descriptor cannot be on the loop yet */
	e->poll.data = e;
	e->relay->num_handles++;
}

/* on_connected() - The server's end. Return: false once all has ended. */
static bool on_connected(struct relay *r)
{
	struct relay_end *e = &r->ends[SERVER];
	struct ucred who = { .uid = (uid_t)-1 };
	socklen_t len = sizeof(int), who_len;
	int err = 0, fd;

	if (getsockopt(e->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	/* Its name is no secret: whoever else has found it is sent away. */
	do {
		fd = err ? -1 : accept4(r->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			end_all(r, err ? -err : -errno);
			return false;
		}
		who_len = sizeof(who);
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &who_len) < 0 || who.pid != getpid())
			close(fd);
	} while (who.pid != getpid());
	close(r->listener);
	r->listener = -1;
	end_init(&r->ends[LIBRARY], e->poll.loop, fd);
	return true;
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
	struct relay_end *e = poll->data;
	struct relay *r = e->relay;

	if (r->ends[LIBRARY].fd < 0) {
		if (!on_connected(r))
			return;
	} else if (status < 0) {
		events = UV_READABLE; /* recv() tells what it is */
	}
	if ((events & UV_WRITABLE) && !give(e))
		return;
	if ((events & UV_READABLE) && !e->n && !e->eof && (!take(e) || !give(other_end(e))))
		return;
	update(e);
	update(other_end(e));
}

/* A socket with a name that the kernel chose. */
static int listen_for_library(struct sockaddr_un *addr, socklen_t *addr_len)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un any = { .sun_family = AF_UNIX };
	int err;

	if (fd < 0)
		return -errno;
	*addr_len = sizeof(*addr);
	if (bind(fd, (struct sockaddr *)&any, sizeof(any.sun_family)) < 0 || listen(fd, 8) < 0 ||
	    getsockname(fd, (struct sockaddr *)addr, addr_len) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int relay_open(uv_loop_t *loop, const union sock_addr *server, size_t max_bytes, struct sockaddr_un *addr,
	       socklen_t *addr_len, struct relay **out)
{
	struct relay *r = calloc(1, sizeof(*r));
	int fd, err;

	if (!r)
		return -ENOMEM;
	r->left = max_bytes;
	r->ends[LIBRARY].relay = r->ends[SERVER].relay = r;
	r->ends[LIBRARY].fd = -1;
	fd = socket(server->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		err = -errno;
		goto free_relay;
	}
	r->listener = listen_for_library(addr, addr_len);
	if (r->listener < 0) {
		err = r->listener;
		goto close_server;
	}
	end_init(&r->ends[SERVER], loop, fd);
	if (connect(fd, &server->sa, sock_addr_len(server)) < 0 && errno != EINPROGRESS)
		end_all(r, -errno);
	else
		update(&r->ends[SERVER]);
	*out = r;
	return 0;
close_server:
	close(fd);
free_relay:
	free(r);
	return err;
}

int relay_error(const struct relay *r)
{
	return r->err;
}

static void on_closed(uv_handle_t *handle)
{
	struct relay_end *e = handle->data;
	struct relay *r = e->relay;

	close(e->fd);
	if (--r->num_handles)
		return;
	r->done(r->done_ctx);
	free(r);
}

void relay_close(struct relay *r, void (*done)(void *ctx), void *ctx)
{
	r->done = done;
	r->done_ctx = ctx;
	if (r->listener >= 0)
		close(r->listener);
	for (int i = 0; i < 2; i++)
		if (r->ends[i].fd >= 0)
			uv_close((uv_handle_t *)&r->ends[i].poll, on_closed);
}
