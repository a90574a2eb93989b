/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client is a pipe, a buffer for one line, and a stall timer. What it may cost is bounded:
 *
 *   - all clients together get RPC_TURN_NS at a time and then a pause of RPC_PAUSE_MS, so that the
 *     thread has at least as much for everything else; who was served longest ago comes first, and
 *     nothing is read from a client that waits;
 *   - nothing is served or read while more than RPC_MAX_UNREAD_BYTES of answers wait for it;
 *   - an answer that may be long is made in parts of RPC_PART_BYTES, as it is read;
 *   - half a line or an unread answer without progress for RPC_STALL_MS ends it.
 *
 * A client that is done (end of file, a line too long, shutdown) drains: its answers are still
 * written, nothing else of it is served.
 */
#include "shila/io/rpc.h"

#include "shila/base/log.h"
#include "shila/io/rpc_request.h"
#include "shila/io/rpc_socket.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RPC_BACKLOG          16
#define RPC_BATCH            16
#define RPC_TURN_NS          2000000
#define RPC_PAUSE_MS         2
#define RPC_PART_BYTES       (64 * 1024)
#define RPC_MAX_UNREAD_BYTES (256 * 1024)
#define RPC_STALL_MS         10000
#define RPC_FLUSH_MS         200
#define RPC_ACCEPT_AGAIN_MS  100

struct rpc_client {
	struct rpc *rpc;
	struct rpc_client *next;
	uv_pipe_t pipe;
	uv_timer_t stall;
	size_t stall_queued; /* unread bytes when the stall timer was started */
	int num_handles;
	bool reading;
	bool serving;  /* on the stack: not to be closed */
	bool waiting;  /* has lines left, or is in the middle of an answer, for the next turn */
	bool draining; /* answers are still written, no more lines are served */
	uint64_t served; /* turns are counted: when it had its last */
	const struct rpc_method *streaming; /* whose answer is given in parts, else NULL */
	struct rpc_request req;             /* of it */
	struct rpc_cursor at;
	bool begun;
	size_t used;
	char buf[RPC_MAX_LINE_BYTES];
};

struct rpc {
	uv_loop_t *loop;
	const struct rpc_method *methods;
	void *ctx;
	uv_pipe_t listener;
	uv_timer_t turn;  /* active while a client waits */
	uint64_t turn_end_ns, turns;
	uv_timer_t flush; /* bounds rpc_close(); before that: a connection that found no memory */
	struct rpc_client *clients;
	unsigned int num_clients, max_clients;
	uint64_t refused;
	unsigned int num_handles; /* own three and one per client; freed with the last */
	bool closing;
	void (*done)(void *ctx);
	void *done_ctx;
	struct rpc_socket socket;
};

struct rpc_write {
	uv_write_t req;
	char *text;
};

/* -- closing ---------------------------------------------------------------------------------- */

static void put_handle(struct rpc *rpc)
{
	void (*done)(void *) = rpc->done;
	void *ctx = rpc->done_ctx;

	if (--rpc->num_handles)
		return;
	free(rpc);
	if (done)
		done(ctx);
}

static void on_handle_closed(uv_handle_t *handle)
{
	put_handle(handle->data);
}

/* end_flush() - The last client has gone. */
static void end_flush(struct rpc *rpc)
{
	if (rpc->closing && !rpc->clients && !uv_is_closing((uv_handle_t *)&rpc->flush))
		uv_close((uv_handle_t *)&rpc->flush, on_handle_closed);
}

static void on_client_closed(uv_handle_t *handle)
{
	struct rpc_client *c = handle->data, **at;
	struct rpc *rpc = c->rpc;

	if (--c->num_handles)
		return;
	for (at = &rpc->clients; *at != c; at = &(*at)->next)
		;
	*at = c->next;
	rpc->num_clients--;
	rpc_request_fini(&c->req);
	free(c);
	end_flush(rpc);
	put_handle(rpc);
}

static void client_close(struct rpc_client *c)
{
	c->waiting = false;
	c->draining = true;
	if (uv_is_closing((uv_handle_t *)&c->pipe))
		return;
	uv_close((uv_handle_t *)&c->stall, on_client_closed);
	uv_close((uv_handle_t *)&c->pipe, on_client_closed);
}

/* -- a client --------------------------------------------------------------------------------- */

static void on_turn(uv_timer_t *timer);
static void on_stall(uv_timer_t *timer);
static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *buf);
static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static size_t client_queued(const struct rpc_client *c)
{
	return uv_stream_get_write_queue_size((const uv_stream_t *)&c->pipe);
}

/* client_update() - Set the handles to what the client's state asks for. */
static void client_update(struct rpc_client *c, bool progress)
{
	bool flowing, read;

	if (c->serving || uv_is_closing((uv_handle_t *)&c->pipe))
		return;
	if (c->draining && !client_queued(c)) {
		client_close(c);
		return;
	}

	flowing = !c->draining && client_queued(c) <= RPC_MAX_UNREAD_BYTES;
	if (flowing && c->waiting && !uv_is_active((uv_handle_t *)&c->rpc->turn))
		uv_timer_start(&c->rpc->turn, on_turn, 0, 0);
	read = flowing && !c->waiting;
	if (read && !c->reading && uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read) < 0) {
		client_close(c);
		return;
	}
	if (!read && c->reading)
		uv_read_stop((uv_stream_t *)&c->pipe);
	c->reading = read;

	if (!client_queued(c) && (!c->used || c->waiting)) {
		uv_timer_stop(&c->stall);
	} else if (progress || !uv_is_active((uv_handle_t *)&c->stall)) {
		c->stall_queued = client_queued(c);
		uv_timer_start(&c->stall, on_stall, RPC_STALL_MS, 0);
	}
}

static void on_stall(uv_timer_t *timer)
{
	struct rpc_client *c = timer->data;

	/* A write is reported only with its last byte: a slow reader of much shows by the queue. */
	if (client_queued(c) && client_queued(c) < c->stall_queued) {
		client_update(c, true);
		return;
	}
	log_debug("control socket: closed a client that did not %s for %d s",
		  client_queued(c) ? "read its answers" : "finish its request",
		  RPC_STALL_MS / 1000);
	client_close(c);
}

static void on_written(uv_write_t *req, int status)
{
	struct rpc_write *w = (struct rpc_write *)req;
	struct rpc_client *c = req->handle->data;

	free(w->text);
	free(w);
	if (status < 0)
		client_close(c);
	else
		client_update(c, true);
}

/* client_write() - Takes @text; without it (no memory) the client is closed. */
static void client_write(struct rpc_client *c, char *text, size_t len)
{
	struct rpc_write *w = text ? malloc(sizeof(*w)) : NULL;
	uv_buf_t buf = uv_buf_init(text, len);

	if (!w)
		goto free_text;
	w->text = text;
	if (uv_write(&w->req, (uv_stream_t *)&c->pipe, &buf, 1, on_written) < 0)
		goto free_write;
	return;

free_write:
	free(w);
free_text:
	free(text);
	client_close(c);
}

static void client_answer(struct rpc_client *c, const json_t *id, const json_t *result, int code,
			  const char *why)
{
	size_t len = 0;
	char *text = rpc_answer_build(id, result, code, why, &len);

	if (!text && !result) /* a sentence that is not UTF-8, such as one cut in a character */
		text = rpc_answer_build(id, NULL, code, "failed", &len);
	client_write(c, text, len);
}

static const struct rpc_method *find_method(const struct rpc *rpc, const char *name)
{
	for (const struct rpc_method *m = rpc->methods; m->name; m++)
		if (!strcmp(m->name, name))
			return m;
	return NULL;
}

static bool is_blank(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!strchr(" \t\r", line[i]) || !line[i])
			return false;
	return true;
}

/* serve() - Result of one request that was understood, or NULL with @code and RPC_WHY_LEN bytes of
 * @why. */
static json_t *serve(struct rpc *rpc, const struct rpc_request *req, int *code, char *why)
{
	const struct rpc_method *method = find_method(rpc, req->method);
	json_t *result;

	if (!method) {
		*code = RPC_ERR_METHOD_NOT_FOUND;
		snprintf(why, RPC_WHY_LEN, "no such method");
		return NULL;
	}
	*code = RPC_ERR_REFUSED;
	snprintf(why, RPC_WHY_LEN, "failed");
	result = method->call(rpc->ctx, req->params, why);
	why[RPC_WHY_LEN - 1] = '\0';
	return result;
}

/* -- answers in parts ------------------------------------------------------------------------- */

static bool turn_is_over(const struct rpc *rpc)
{
	return uv_hrtime() >= rpc->turn_end_ns;
}

static void stream_end(struct rpc_client *c)
{
	rpc_request_fini(&c->req);
	c->streaming = NULL;
}

/* stream_begin() - Takes @req. */
static void stream_begin(struct rpc_client *c, const struct rpc_method *method,
			 struct rpc_request *req)
{
	c->streaming = method;
	c->req = *req;
	c->at = (struct rpc_cursor){ 0 };
	c->begun = false;
	if (!req->id)
		stream_end(c); /* nobody wants to know */
}

/* stream_part() - As much more of the answer as a part or this turn has room for. */
static void stream_part(struct rpc_client *c)
{
	const struct rpc_method *method = c->streaming;
	char why[RPC_WHY_LEN] = "";
	struct rpc_text text = { 0 };
	bool more = true;

	if (!c->begun)
		rpc_text_begin(&text, c->req.id);
	while (more && !text.failed && text.len < RPC_PART_BYTES) {
		json_t *element = method->next(c->rpc->ctx, c->req.params, &c->at, why);

		more = element != NULL;
		if (more)
			rpc_text_element(&text, element, !c->begun);
		else if (!*why)
			rpc_text_end(&text);
		c->begun |= more;
		json_decref(element);
		if (turn_is_over(c->rpc))
			break;
	}
	why[RPC_WHY_LEN - 1] = '\0';
	if (*why && !c->begun) {
		rpc_text_fini(&text);
		client_answer(c, c->req.id, NULL, RPC_ERR_REFUSED, why);
	} else if (*why || text.failed) { /* in the middle: an answer broken off is no answer */
		rpc_text_fini(&text);
		client_close(c);
	} else {
		client_write(c, text.p, text.len);
	}
	if (!more || c->draining)
		stream_end(c);
}

static void serve_line(struct rpc_client *c, const char *line, size_t len)
{
	char why[RPC_WHY_LEN];
	struct rpc_request req;
	json_t *result = NULL;
	const struct rpc_method *method;
	const char *sentence;
	bool answer;
	int code;

	if (is_blank(line, len))
		return;
	code = rpc_request_parse(line, len, &req, &sentence);
	/* What is not a request is answered too, although it has no id; a notification never is. */
	answer = req.id || code == RPC_ERR_PARSE || code == RPC_ERR_INVALID_REQUEST;
	method = code ? NULL : find_method(c->rpc, req.method);
	if (method && method->next) {
		stream_begin(c, method, &req);
		return;
	}
	if (!code) {
		result = serve(c->rpc, &req, &code, why);
		sentence = why;
	}
	if (answer)
		client_answer(c, req.id, result, code, sentence);
	json_decref(result);
	rpc_request_fini(&req);
}

static bool may_serve(const struct rpc_client *c)
{
	return !c->draining && client_queued(c) <= RPC_MAX_UNREAD_BYTES;
}

static void client_serve(struct rpc_client *c)
{
	size_t at = 0;

	c->serving = true;
	for (int i = 0; i < RPC_BATCH && may_serve(c) && (!i || !turn_is_over(c->rpc)); i++) {
		const char *line = c->buf + at, *end;

		if (c->streaming) {
			stream_part(c);
			continue;
		}
		end = memchr(line, '\n', c->used - at);
		if (!end)
			break;
		serve_line(c, line, end - line);
		at += end - line + 1;
	}
	memmove(c->buf, c->buf + at, c->used - at);
	c->used -= at;
	c->waiting = !c->draining && (c->streaming || memchr(c->buf, '\n', c->used));
	if (!c->draining && !c->waiting && c->used == sizeof(c->buf)) {
		client_answer(c, NULL, NULL, RPC_ERR_INVALID_REQUEST, "the line is too long");
		c->draining = true;
	}
	c->serving = false;
	client_update(c, at > 0);
}

/* longest_waiting() - Of those that may be served now; NULL if there is none. */
static struct rpc_client *longest_waiting(const struct rpc *rpc)
{
	struct rpc_client *found = NULL;

	for (struct rpc_client *c = rpc->clients; c; c = c->next)
		if (c->waiting && may_serve(c) && (!found || c->served < found->served))
			found = c;
	return found;
}

static void on_turn(uv_timer_t *timer)
{
	struct rpc *rpc = timer->data;
	struct rpc_client *c;

	rpc->turn_end_ns = uv_hrtime() + RPC_TURN_NS;
	while ((c = longest_waiting(rpc))) {
		if (turn_is_over(rpc)) {
			uv_timer_start(timer, on_turn, RPC_PAUSE_MS, 0);
			return;
		}
		c->served = ++rpc->turns;
		client_serve(c);
	}
}

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *buf)
{
	struct rpc_client *c = handle->data;

	(void)hint;
	*buf = uv_buf_init(c->buf + c->used, sizeof(c->buf) - c->used);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct rpc_client *c = stream->data;

	if (n > 0) {
		c->used += n;
		/* Half a line is looked at too: it may be all that there is room for. */
		c->waiting = memchr(buf->base, '\n', n) || c->used == sizeof(c->buf);
		client_update(c, true);
	} else if (n == UV_EOF) { /* half a line is no request */
		c->draining = true;
		client_update(c, true);
	} else if (n < 0) {
		client_close(c);
	}
}

static void on_connection(uv_stream_t *listener, int status);

static void on_accept_again(uv_timer_t *timer)
{
	struct rpc *rpc = timer->data;

	on_connection((uv_stream_t *)&rpc->listener, 0);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct rpc *rpc = listener->data;
	struct rpc_client *c;

	if (status < 0) {
		log_debug("control socket: accept: %s", uv_strerror(status));
		return;
	}
	c = calloc(1, sizeof(*c));
	if (!c) {
		/* libuv listens no more until this one is accepted. */
		if (!rpc->closing)
			uv_timer_start(&rpc->flush, on_accept_again, RPC_ACCEPT_AGAIN_MS, 0);
		return;
	}
	c->rpc = rpc;
	c->next = rpc->clients;
	rpc->clients = c;
	rpc->num_clients++;
	rpc->num_handles++;
	c->num_handles = 2;
	uv_pipe_init(rpc->loop, &c->pipe, 0);
	uv_timer_init(rpc->loop, &c->stall);
	c->pipe.data = c;
	c->stall.data = c;

	if (uv_accept(listener, (uv_stream_t *)&c->pipe) < 0) {
		client_close(c);
		return;
	}
	if (rpc->num_clients > rpc->max_clients) {
		rpc->refused++;
		client_answer(c, NULL, NULL, RPC_ERR_REFUSED,
			      "too many clients of the control socket");
		c->draining = true;
	}
	client_update(c, true);
}

/* -- opening and closing ---------------------------------------------------------------------- */

int rpc_open(uv_loop_t *loop, const char *path, const struct rpc_method *methods, void *ctx,
	     unsigned int max_clients, struct rpc **out, char *why)
{
	struct rpc *rpc;
	int fd, err;

	rpc = calloc(1, sizeof(*rpc));
	if (!rpc) {
		snprintf(why, RPC_WHY_LEN, "%s: %s", path, strerror(ENOMEM));
		return -ENOMEM;
	}
	rpc->loop = loop;
	rpc->methods = methods;
	rpc->ctx = ctx;
	rpc->max_clients = max_clients;
	fd = rpc_socket_open(&rpc->socket, path, why);
	if (fd < 0) {
		free(rpc);
		return fd;
	}

	/* libuv writes with write(): without this a client that leaves would end the daemon. */
	signal(SIGPIPE, SIG_IGN);
	uv_pipe_init(loop, &rpc->listener, 0);
	uv_timer_init(loop, &rpc->turn);
	uv_timer_init(loop, &rpc->flush);
	rpc->listener.data = rpc;
	rpc->turn.data = rpc;
	rpc->flush.data = rpc;
	rpc->num_handles = 3;
	err = uv_pipe_open(&rpc->listener, fd);
	if (err < 0)
		close(fd);
	else
		err = uv_listen((uv_stream_t *)&rpc->listener, RPC_BACKLOG, on_connection);
	if (err < 0) {
		snprintf(why, RPC_WHY_LEN, "%s: listen: %s", path, uv_strerror(err));
		rpc_close(rpc, NULL, NULL);
		return err;
	}
	*out = rpc;
	return 0;
}

static void on_flush(uv_timer_t *timer)
{
	struct rpc *rpc = timer->data;

	for (struct rpc_client *c = rpc->clients; c; c = c->next)
		client_close(c);
}

void rpc_use(const struct rpc *rpc, unsigned int *clients, uint64_t *refused)
{
	*clients = rpc->num_clients;
	*refused = rpc->refused;
}

void rpc_close(struct rpc *rpc, void (*done)(void *ctx), void *ctx)
{
	if (!rpc) {
		if (done)
			done(ctx);
		return;
	}
	rpc->closing = true;
	rpc->done = done;
	rpc->done_ctx = ctx;
	rpc_socket_remove(&rpc->socket);
	uv_close((uv_handle_t *)&rpc->listener, on_handle_closed);
	uv_close((uv_handle_t *)&rpc->turn, on_handle_closed);
	for (struct rpc_client *c = rpc->clients; c; c = c->next) {
		c->waiting = false;
		c->draining = true;
		client_update(c, false); /* not the one whose request this is: it is still served */
	}
	uv_timer_start(&rpc->flush, on_flush, RPC_FLUSH_MS, 0);
	end_flush(rpc);
}
