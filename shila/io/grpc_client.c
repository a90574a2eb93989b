/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/io/grpc_client.h"

#include "shila/base/bytes.h"
#include "shila/io/relay.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/*
 * libcurl's multi_socket interface on libuv: curl says which sockets and which time-out it waits
 * for, uv tells it when they are ready. curl also does HTTP/2, and with it the hard part of gRPC;
 * what is left is a frame of five bytes in either direction and the status in the trailers.
 * Trailers come to the same callback as headers.
 *
 * Each call has a connection of its own: libcurl before 8.0 (Debian 12 has 7.88) sends a second
 * HTTP/2 preface on a connection that it uses again with prior knowledge, and the call fails. Calls
 * are rare, the server is near, and a connection that died without a word troubles one call only.
 *
 * curl reads from a socket until nothing is left, however long that takes, if what comes are frames without
 * content (PING, WINDOW_UPDATE): a server that sends them without end would keep the thread for ever, whatever
 * the deadline. So each connection goes through a relay, which hands on a part at a time, and MAX_BYTES in all.
 *
 * Results are delivered from drain(), with no function of curl on the stack, so a callback may
 * start new calls or close the client.
 */

#define FRAME_LEN         5
#define CONTENT_TYPE      "Content-Type: application/grpc"
#define MAX_BYTES         (GRPC_MAX_ANSWER + GRPC_MAX_HEADERS + (256u << 10)) /* with HTTP/2's own */
#define CONTENT_TYPE_WANT "application/grpc"

enum { GRPC_STATUS_NONE = -1, GRPC_OK = 0, GRPC_DEADLINE_EXCEEDED = 4 };

struct grpc_call {
	struct grpc_call *prev, *next;
	struct grpc_client *client;
	struct relay *relay;
	int open_err; /* why there is none */
	grpc_cb cb;
	void *ctx;
	CURL *easy;
	struct curl_slist *headers;
	uint8_t *answer;
	size_t answer_len, answer_cap;
	size_t headers_len;
	bool too_big, no_memory;
	int grpc_status;
	unsigned int deadline_ms;
	char grpc_message[160];
	char curl_error[CURL_ERROR_SIZE];
	size_t body_len;
	uint8_t body[];
};

struct grpc_sock {
	uv_poll_t poll;
	struct grpc_sock *prev, *next;
	struct grpc_client *client;
	curl_socket_t fd;
};

struct grpc_client {
	uv_loop_t *loop;
	uv_timer_t timer;
	CURLM *multi;
	struct grpc_call *calls;
	struct grpc_sock *socks;
	unsigned int num_calls;
	unsigned int num_handles; /* uv handles that are not closed yet */
	bool closing;
	const char *what, *remedy;
	union sock_addr addr;
	char server[IP_ADDR_STRLEN + 10]; /* "IP:PORT" */
	void (*done)(void *ctx);
	void *done_ctx;
};

static const char *const status_names[] = {
	"ok",        "cancelled",       "unknown",           "invalid argument", "deadline",
	"not found", "already exists",  "permission denied", "no resources",     "precondition",
	"aborted",   "out of range",    "unimplemented",     "internal",         "unavailable",
	"data loss", "unauthenticated",
};

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *grpc_percent_decode(const char *in, size_t len, char *out, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < len && n + 1 < cap; i++) {
		unsigned char c = in[i];

		if (c == '%' && i + 2 < len && hex_digit(in[i + 1]) >= 0 &&
		    hex_digit(in[i + 2]) >= 0) {
			c = hex_digit(in[i + 1]) << 4 | hex_digit(in[i + 2]);
			i += 2;
		}
		/* It ends in logs and terminals: nothing that moves the cursor. */
		out[n++] = c < 0x20 || c >= 0x7f ? '?' : c;
	}
	out[n] = '\0';
	return out;
}

/* ---- what curl tells about an answer ---- */

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
	struct grpc_call *call = ctx;
	size_t len = size * n;

	if (len > FRAME_LEN + GRPC_MAX_ANSWER - call->answer_len) {
		call->too_big = true;
		return 0; /* aborts the transfer */
	}
	if (call->answer_len + len > call->answer_cap) {
		size_t cap = call->answer_cap ? call->answer_cap : 4096;
		uint8_t *p;

		while (cap < call->answer_len + len)
			cap *= 2;
		p = realloc(call->answer, cap);
		if (!p) {
			call->no_memory = true;
			return 0;
		}
		call->answer = p;
		call->answer_cap = cap;
	}
	if (len)
		memcpy(call->answer + call->answer_len, data, len);
	call->answer_len += len;
	return len;
}

/* header_value() - Value of the header line if it has this name (with its colon). */
static bool header_value(const char *line, size_t len, const char *name, const char **val,
			 size_t *val_len)
{
	size_t n = strlen(name);

	if (len < n || strncasecmp(line, name, n))
		return false;
	line += n;
	len -= n;
	while (len && (*line == ' ' || *line == '\t')) {
		line++;
		len--;
	}
	while (len && (line[len - 1] == '\r' || line[len - 1] == '\n' || line[len - 1] == ' '))
		len--;
	*val = line;
	*val_len = len;
	return true;
}

static size_t on_header(char *data, size_t size, size_t n, void *ctx)
{
	struct grpc_call *call = ctx;
	size_t len = size * n, val_len;
	const char *val;

	call->headers_len += len;
	if (call->headers_len > GRPC_MAX_HEADERS) {
		call->too_big = true;
		return 0;
	}
	if (len > 5 && !strncasecmp(data, "HTTP/", 5)) {
		call->grpc_status = GRPC_STATUS_NONE; /* an informational answer came before */
	} else if (header_value(data, len, "grpc-status:", &val, &val_len)) {
		int status = 0;

		for (size_t i = 0; i < val_len; i++)
			status = val[i] >= '0' && val[i] <= '9' && status < 100
					 ? status * 10 + val[i] - '0'
					 : 1000;
		call->grpc_status = val_len ? status : GRPC_STATUS_NONE;
	} else if (header_value(data, len, "grpc-message:", &val, &val_len)) {
		grpc_percent_decode(val, val_len, call->grpc_message, sizeof(call->grpc_message));
	}
	return len;
}

/* ---- life of a call ---- */

static void call_unlink(struct grpc_call *call)
{
	struct grpc_client *c = call->client;

	if (call->prev)
		call->prev->next = call->next;
	else
		c->calls = call->next;
	if (call->next)
		call->next->prev = call->prev;
	c->num_calls--;
}

static void handle_closed(struct grpc_client *c)
{
	if (--c->num_handles || !c->closing)
		return;
	if (c->done)
		c->done(c->done_ctx);
	free(c);
}

static void on_relay_closed(void *ctx)
{
	handle_closed(ctx);
}

static void call_free(struct grpc_call *call)
{
	curl_easy_cleanup(call->easy);
	if (call->relay)
		relay_close(call->relay, on_relay_closed, call->client);
	curl_slist_free_all(call->headers);
	free(call->answer);
	free(call);
}

__attribute__((format(printf, 3, 4))) static int explain(const struct grpc_call *call, char *why,
							 const char *fmt, ...)
{
	int n = snprintf(why, GRPC_WHY_LEN, "%s %s ", call->client->what, call->client->server);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why + n, GRPC_WHY_LEN - n, fmt, ap);
	va_end(ap);
	return 0;
}

/* call_failed() - What a result of curl other than success means. */
static int call_failed(struct grpc_call *call, CURLcode result, char *why)
{
	struct grpc_client *c = call->client;
	const char *text = call->curl_error[0] ? call->curl_error : curl_easy_strerror(result);
	int err = call->relay ? relay_error(call->relay) : call->open_err;

	if (call->no_memory || result == CURLE_OUT_OF_MEMORY) {
		explain(call, why, "cannot be asked: out of memory");
		return -ENOMEM;
	}
	if (call->too_big || err == -EMSGSIZE) {
		explain(call, why, "sends more than the %u KiB that an answer may have",
			GRPC_MAX_ANSWER >> 10);
		return -EPROTO;
	}
	if (err == -EMFILE || err == -ENFILE) {
		explain(call, why, "cannot be asked: no file descriptor is left; raise their limit (LimitNOFILE)");
		return -EMFILE;
	}
	if (err && err != -ECONNRESET && err != -EPIPE && strerrordesc_np(-err)) {
		text = strerrordesc_np(-err);
		explain(call, why, "does not answer: %c%s; %s", text[0] | 0x20, text + 1, c->remedy);
		return -ENETUNREACH;
	}
	switch ((int)result) {
	case CURLE_OPERATION_TIMEDOUT:
		explain(call, why, "gave no answer within %u ms; %s", call->deadline_ms, c->remedy);
		return -ETIMEDOUT;
	case CURLE_COULDNT_CONNECT:
		explain(call, why, "does not answer: no connection; %s", c->remedy);
		return -ENETUNREACH;
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
		explain(call, why, "broke the connection off: %s; %s", text, c->remedy);
		return -ENETUNREACH;
	}
	explain(call, why, "does not speak gRPC: %s; %s", text, c->remedy);
	return -EPROTO;
}

/* call_judge() - Turn what came into a result. @msg, @len: the message, on success. */
static int call_judge(struct grpc_call *call, CURLcode result, char *why, const uint8_t **msg,
		      size_t *len)
{
	struct grpc_client *c = call->client;
	const uint8_t *p = call->answer;
	long http = 0;
	int status = call->grpc_status;

	if (result != CURLE_OK)
		return call_failed(call, result, why);
	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &http);
	if (http != 200 && status <= GRPC_OK) {
		explain(call, why, "does not speak gRPC: HTTP status %ld; %s", http, c->remedy);
		return -EPROTO;
	}
	if (status == GRPC_STATUS_NONE) {
		explain(call, why, "does not speak gRPC: an answer without status; %s", c->remedy);
		return -EPROTO;
	}
	if (status != GRPC_OK) {
		const char *name = status < (int)(sizeof(status_names) / sizeof(*status_names))
					   ? status_names[status]
					   : "no such status";

		explain(call, why, "answers with error %d (%s)%s%s", status, name,
			call->grpc_message[0] ? ": " : "", call->grpc_message);
		return status == GRPC_DEADLINE_EXCEEDED ? -ETIMEDOUT : -EREMOTEIO;
	}
	if (call->answer_len < FRAME_LEN || p[0] != 0 ||
	    get_be32(p + 1) != call->answer_len - FRAME_LEN) {
		explain(call, why, "sends an answer that is not one plain gRPC message");
		return -EPROTO;
	}
	*msg = p + FRAME_LEN;
	*len = call->answer_len - FRAME_LEN;
	return 0;
}

/* drain() - Deliver what is finished; the client may be closed when it returns. */
static void drain(struct grpc_client *c)
{
	struct CURLMsg *m;
	int left;

	while (!c->closing && (m = curl_multi_info_read(c->multi, &left))) {
		CURLcode result = m->data.result;
		char why[GRPC_WHY_LEN] = "";
		struct grpc_call *call;
		const uint8_t *msg = NULL;
		size_t len = 0;
		int err;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&call);
		err = call_judge(call, result, why, &msg, &len);
		curl_multi_remove_handle(c->multi, call->easy);
		call_unlink(call);
		call->cb(call->ctx, err, call->grpc_status > 0 ? call->grpc_status : 0,
			 err < 0 ? why : NULL, msg, len);
		call_free(call);
	}
}

/* ---- curl on the loop ---- */

/* curl lets this change where it connects to. */
static curl_socket_t on_open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *addr)
{
	struct grpc_call *call = ctx;
	struct sockaddr_un relay;
	socklen_t len;
	int fd;

	(void)purpose;
	if (call->relay)
		return CURL_SOCKET_BAD;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		call->open_err = -errno;
		return CURL_SOCKET_BAD;
	}
	call->open_err = relay_open(call->client->loop, &call->client->addr, MAX_BYTES, &relay, &len, &call->relay);
	if (call->open_err < 0)
		goto close_fd;
	call->client->num_handles++;
	if (relay_error(call->relay) || len > sizeof(addr->addr))
		goto close_fd;
	addr->family = AF_UNIX;
	addr->socktype = SOCK_STREAM;
	addr->protocol = 0;
	addr->addrlen = len;
	memcpy(&addr->addr, &relay, len); /* an automatic name is short */
	return fd;
close_fd:
	close(fd);
	return CURL_SOCKET_BAD;
}

static void on_sock_closed(uv_handle_t *handle)
{
	struct grpc_sock *s = handle->data;
	struct grpc_client *c = s->client;

	free(s);
	handle_closed(c);
}

static void sock_close(struct grpc_sock *s)
{
	if (s->prev)
		s->prev->next = s->next;
	else
		s->client->socks = s->next;
	if (s->next)
		s->next->prev = s->prev;
	uv_close((uv_handle_t *)&s->poll, on_sock_closed);
}

static void on_sock_ready(uv_poll_t *poll, int status, int events)
{
	struct grpc_sock *s = poll->data;
	struct grpc_client *c = s->client;
	int flags = 0, running;

	/* uv says no more than "error": curl learns it from the socket. */
	if (status < 0)
		flags = CURL_CSELECT_IN | CURL_CSELECT_OUT;
	if (events & UV_READABLE)
		flags |= CURL_CSELECT_IN;
	if (events & UV_WRITABLE)
		flags |= CURL_CSELECT_OUT;
	curl_multi_socket_action(c->multi, s->fd, flags, &running);
	drain(c);
}

/* A socket that cannot be watched is left alone: its calls run into their deadlines. */
static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *sock_ctx)
{
	struct grpc_client *c = ctx;
	struct grpc_sock *s = sock_ctx;
	int events = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (s) {
			curl_multi_assign(c->multi, fd, NULL);
			sock_close(s);
		}
		return 0;
	}
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return 0;
		if (uv_poll_init_socket(c->loop, &s->poll, fd) < 0) {
			free(s);
			return 0;
		}
		s->poll.data = s;
		s->client = c;
		s->fd = fd;
		s->next = c->socks;
		if (s->next)
			s->next->prev = s;
		c->socks = s;
		c->num_handles++;
		curl_multi_assign(c->multi, fd, s);
	}
	if (what & CURL_POLL_IN)
		events |= UV_READABLE;
	if (what & CURL_POLL_OUT)
		events |= UV_WRITABLE;
	uv_poll_start(&s->poll, events, on_sock_ready);
	return 0;
}

static void on_timer(uv_timer_t *timer)
{
	struct grpc_client *c = timer->data;
	int running;

	curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	drain(c);
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *ctx)
{
	struct grpc_client *c = ctx;

	(void)multi;
	if (c->closing)
		return 0;
	if (timeout_ms < 0)
		uv_timer_stop(&c->timer);
	else
		uv_timer_start(&c->timer, on_timer, timeout_ms, 0);
	return 0;
}

static CURLM *multi_new(struct grpc_client *c)
{
	CURLM *multi = curl_multi_init();

	if (!multi)
		return NULL;
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
	curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
	curl_multi_setopt(multi, CURLMOPT_TIMERDATA, c);
	curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)GRPC_MAX_CONNECTIONS);
	return multi;
}

int grpc_client_open(uv_loop_t *loop, const union sock_addr *server, const char *what,
		     const char *remedy, struct grpc_client **out)
{
	struct ip_addr ip = sock_addr_ip(server);
	char text[IP_ADDR_STRLEN];
	struct grpc_client *c;
	int err;

	/* Plain HTTP needs none of the libraries that a full initialisation would start. */
	if (curl_global_init(CURL_GLOBAL_NOTHING) != CURLE_OK)
		return -ENOMEM;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->loop = loop;
	c->what = what;
	c->remedy = remedy;
	c->addr = *server;
	snprintf(c->server, sizeof(c->server), ip.len == 16 ? "[%s]:%u" : "%s:%u",
		 ip_addr_str(&ip, text), sock_addr_port(server));
	err = -ENOMEM;
	c->multi = multi_new(c);
	if (!c->multi)
		goto free_client;
	err = uv_timer_init(loop, &c->timer);
	if (err < 0)
		goto cleanup_multi;
	c->timer.data = c;
	c->num_handles = 1;
	*out = c;
	return 0;
cleanup_multi:
	curl_multi_cleanup(c->multi);
free_client:
	free(c);
	return err;
}

static void on_timer_closed(uv_handle_t *handle)
{
	handle_closed(handle->data);
}

void grpc_client_close(struct grpc_client *c, void (*done)(void *ctx), void *ctx)
{
	c->closing = true;
	c->done = done;
	c->done_ctx = ctx;
	while (c->calls) {
		struct grpc_call *call = c->calls;

		curl_multi_remove_handle(c->multi, call->easy);
		call_unlink(call);
		call_free(call);
	}
	curl_multi_cleanup(c->multi);
	while (c->socks)
		sock_close(c->socks);
	uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}

static bool add_header(struct grpc_call *call, const char *line)
{
	struct curl_slist *list = curl_slist_append(call->headers, line);

	if (list)
		call->headers = list;
	return list != NULL;
}

static int call_set_up(struct grpc_call *call, const char *method)
{
	struct grpc_client *c = call->client;
	char url[256], timeout[32];

	if ((size_t)snprintf(url, sizeof(url), "http://%s%s", c->server, method) >= sizeof(url))
		return -EINVAL;
	snprintf(timeout, sizeof(timeout), "grpc-timeout: %um", call->deadline_ms);
	if (!add_header(call, CONTENT_TYPE) || !add_header(call, "TE: trailers") ||
	    !add_header(call, "Expect:") || !add_header(call, "Accept:") ||
	    !add_header(call, timeout))
		return -ENOMEM;

	if (curl_easy_setopt(call->easy, CURLOPT_URL, url) != CURLE_OK)
		return -ENOMEM;
	curl_easy_setopt(call->easy, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(call->easy, CURLOPT_PROXY, ""); /* not even from the environment */
	curl_easy_setopt(call->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(call->easy, CURLOPT_HTTP_VERSION,
			 (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
	curl_easy_setopt(call->easy, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(call->easy, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(call->easy, CURLOPT_USERAGENT, "shila/" SHILA_VERSION);
	curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
	curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE, (long)call->body_len);
	curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, (char *)call->body);
	curl_easy_setopt(call->easy, CURLOPT_TIMEOUT_MS, (long)call->deadline_ms);
	curl_easy_setopt(call->easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	curl_easy_setopt(call->easy, CURLOPT_OPENSOCKETDATA, call);
	curl_easy_setopt(call->easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(call->easy, CURLOPT_WRITEDATA, call);
	curl_easy_setopt(call->easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(call->easy, CURLOPT_HEADERDATA, call);
	curl_easy_setopt(call->easy, CURLOPT_ERRORBUFFER, call->curl_error);
	curl_easy_setopt(call->easy, CURLOPT_PRIVATE, call);
	return 0;
}

int grpc_client_call(struct grpc_client *c, const char *method, const uint8_t *msg, size_t len,
		     unsigned int deadline_ms, grpc_cb cb, void *ctx)
{
	struct grpc_call *call;
	int err;

	if (c->closing)
		return -ECANCELED;
	if (c->num_calls >= GRPC_MAX_CALLS)
		return -EBUSY;
	call = calloc(1, sizeof(*call) + FRAME_LEN + len);
	if (!call)
		return -ENOMEM;
	call->client = c;
	call->cb = cb;
	call->ctx = ctx;
	call->deadline_ms = deadline_ms;
	call->grpc_status = GRPC_STATUS_NONE;
	call->body_len = FRAME_LEN + len;
	put_be32(call->body + 1, len);
	if (len)
		memcpy(call->body + FRAME_LEN, msg, len);
	err = -ENOMEM;
	call->easy = curl_easy_init();
	if (!call->easy)
		goto free_call;
	err = call_set_up(call, method);
	if (err < 0)
		goto free_call;
	call->next = c->calls;
	if (call->next)
		call->next->prev = call;
	c->calls = call;
	c->num_calls++;
	if (curl_multi_add_handle(c->multi, call->easy) != CURLM_OK) {
		call_unlink(call);
		err = -ENOMEM;
		goto free_call;
	}
	return 0;
free_call:
	call_free(call);
	return err;
}
