/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_TESTS_FAKE_GRPC_H
#define SHILA_TESTS_FAKE_GRPC_H

#include "shila/base/bytes.h"
#include "shila/base/ip_addr.h"

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A server that gets gRPC wrong in every way a client has to survive, which no real daemon does on
 * demand: just enough HTTP/2, one thread per connection, answers by method as the test says.
 */

enum fake_mode {
	FAKE_HTTP2,
	FAKE_SILENT,       /* takes the connection and says nothing */
	FAKE_SILENT_FIRST, /* the first connection only */
	FAKE_CLOSE,        /* closes it at once */
	FAKE_GARBAGE,      /* sends bytes that are no protocol */
	FAKE_HTTP1,        /* answers in HTTP/1.1 */
};

enum {
	FAKE_NO_STATUS = 1 << 0,     /* ends without trailers */
	FAKE_TRAILERS_ONLY = 1 << 1, /* status in the response headers */
	FAKE_NOT_FOUND = 1 << 2,     /* HTTP 404 */
	FAKE_COMPRESSED = 1 << 3,    /* compressed flag in the frame */
	FAKE_LENGTH = 1 << 4,        /* frame length one too large */
	FAKE_TWICE = 1 << 5,         /* two messages */
	FAKE_FLOOD = 1 << 6,         /* 8 MiB of body */
	FAKE_RESET = 1 << 7,         /* RST_STREAM instead of an answer */
	FAKE_GOAWAY = 1 << 8,        /* GOAWAY instead of an answer */
	FAKE_HANG = 1 << 9,          /* never answers this method */
	FAKE_NO_MESSAGE = 1 << 10,   /* status 0 without a message */
};

struct fake_answer {
	const char *method; /* how the path ends; NULL: any */
	int status;
	const char *message;
	const uint8_t *body;
	size_t len;
	unsigned int flags;
};

struct fake_grpc {
	enum fake_mode mode;
	const struct fake_answer *answers; /* ended by one without method and with status -1 */
	union sock_addr addr;
	char name[32]; /* "127.0.0.1:PORT" */
	int fd;
	pthread_t thread;
	atomic_bool stop;
	atomic_int connections, requests;
};

struct fake_conn {
	struct fake_grpc *srv;
	int fd;
	int number;
	pthread_t thread;
};

/* Huffman code of HPACK (RFC 7541, appendix B) for what occurs in method names. */
static inline unsigned int fake_huffman(char c, unsigned int *bits)
{
	static const char five[] = "012aceiost", six[] = " %-./3456789=A_bdfghlmnpru",
			  seven[] = ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz";
	const char *p;

	if ((p = strchr(five, c)))
		return *bits = 5, (unsigned int)(p - five);
	if ((p = strchr(six, c)))
		return *bits = 6, 0x14u + (unsigned int)(p - six);
	p = strchr(seven, c);
	return *bits = 7, 0x5cu + (unsigned int)(p - seven);
}

static inline size_t fake_huffman_encode(const char *text, uint8_t *out)
{
	uint64_t acc = 0;
	unsigned int have = 0, bits;
	size_t n = 0;

	for (; *text; text++) {
		unsigned int code = fake_huffman(*text, &bits);

		acc = acc << bits | code;
		for (have += bits; have >= 8; have -= 8)
			out[n++] = (uint8_t)(acc >> (have - 8));
	}
	if (have)
		out[n++] = (uint8_t)(acc << (8 - have) | 0xff >> have);
	return n;
}

static inline bool fake_send(int fd, const void *p, size_t len)
{
	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		p = (const uint8_t *)p + n;
		len -= (size_t)n;
	}
	return true;
}

static inline bool fake_recv(struct fake_conn *c, void *p, size_t len)
{
	while (len) {
		struct pollfd pfd = {.fd = c->fd, .events = POLLIN};
		ssize_t n;

		if (atomic_load(&c->srv->stop))
			return false;
		if (poll(&pfd, 1, 20) <= 0)
			continue;
		n = recv(c->fd, p, len, 0);
		if (n <= 0)
			return false;
		p = (uint8_t *)p + n;
		len -= (size_t)n;
	}
	return true;
}

static inline bool fake_frame(int fd, uint8_t type, uint8_t flags, uint32_t stream, const void *p,
			      size_t len)
{
	uint8_t hdr[9] = {(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, type, flags};

	put_be32(hdr + 5, stream);
	return fake_send(fd, hdr, 9) && fake_send(fd, p, len);
}

static inline void fake_header(struct wr *w, const char *name, const char *value)
{
	wr_u8(w, 0); /* literal, not indexed, new name */
	wr_u8(w, (uint8_t)strlen(name));
	wr_copy(w, name, strlen(name));
	wr_u8(w, (uint8_t)strlen(value));
	wr_copy(w, value, strlen(value));
}

enum { H2_DATA, H2_HEADERS, H2_RST = 3, H2_SETTINGS, H2_PING = 6, H2_GOAWAY };

/* Return: false if the connection is to be closed. */
static inline bool fake_answer(struct fake_conn *c, uint32_t stream, const struct fake_answer *a)
{
	static const uint8_t zeros[16384];
	uint8_t buf[512], status[12], go[8] = {0};
	struct wr w = wr_init(buf, sizeof(buf));
	uint8_t frame[5] = {!!(a->flags & FAKE_COMPRESSED)};
	bool trailers_only = a->flags & FAKE_TRAILERS_ONLY;

	snprintf((char *)status, sizeof(status), "%d", a->status);
	if (a->flags & FAKE_HANG)
		return true;
	if (a->flags & FAKE_RESET) {
		put_be32(go, 2); /* INTERNAL_ERROR */
		return fake_frame(c->fd, H2_RST, 0, stream, go, 4);
	}
	if (a->flags & FAKE_GOAWAY) {
		put_be32(go + 4, 1); /* PROTOCOL_ERROR, last stream 0 */
		fake_frame(c->fd, H2_GOAWAY, 0, 0, go, 8);
		return false;
	}
	wr_u8(&w, a->flags & FAKE_NOT_FOUND ? 0x8d : 0x88); /* :status 404 or 200 */
	fake_header(&w, "content-type", "application/grpc");
	if (trailers_only) {
		fake_header(&w, "grpc-status", (char *)status);
		if (a->message)
			fake_header(&w, "grpc-message", a->message);
	}
	fake_frame(c->fd, H2_HEADERS, trailers_only ? 5 : 4, stream, buf, (size_t)(w.p - buf));
	if (trailers_only)
		return true;
	if (!(a->flags & FAKE_NO_MESSAGE) && !a->status) {
		put_be32(frame + 1, (uint32_t)a->len + !!(a->flags & FAKE_LENGTH));
		for (int i = 0; i <= !!(a->flags & FAKE_TWICE); i++) {
			fake_frame(c->fd, H2_DATA, 0, stream, frame, 5);
			for (size_t at = 0; at < a->len; at += 16384)
				fake_frame(c->fd, H2_DATA, 0, stream, a->body + at,
					   a->len - at < 16384 ? a->len - at : 16384);
		}
	}
	for (int i = 0; a->flags & FAKE_FLOOD && i < 512; i++)
		if (!fake_frame(c->fd, H2_DATA, 0, stream, zeros, sizeof(zeros)))
			return false;
	if (a->flags & FAKE_NO_STATUS) {
		fake_frame(c->fd, H2_DATA, 1, stream, NULL, 0);
	} else {
		w = wr_init(buf, sizeof(buf));
		fake_header(&w, "grpc-status", (char *)status);
		if (a->message)
			fake_header(&w, "grpc-message", a->message);
		fake_frame(c->fd, H2_HEADERS, 5, stream, buf, (size_t)(w.p - buf));
	}
	return true;
}

static inline void fake_http2(struct fake_conn *c)
{
	const struct fake_answer *of_stream[64] = {NULL}; /* streams are odd: 1, 3, .. */
	uint8_t hdr[24], payload[16384], code[64];

	if (!fake_recv(c, hdr, 24) || memcmp(hdr, "PRI * HTTP/2.0", 14))
		return;
	fake_frame(c->fd, H2_SETTINGS, 0, 0, NULL, 0);
	while (fake_recv(c, hdr, 9)) {
		size_t len = get_be32(hdr) >> 8;
		uint32_t stream = get_be32(hdr + 5);

		if (len > sizeof(payload) || !fake_recv(c, payload, len))
			return;
		if (hdr[3] == H2_SETTINGS && !(hdr[4] & 1))
			fake_frame(c->fd, H2_SETTINGS, 1, 0, NULL, 0);
		if (hdr[3] == H2_HEADERS)
			for (const struct fake_answer *a = c->srv->answers; a->status >= 0; a++) {
				size_t n = fake_huffman_encode(a->method ? a->method : "", code);

				if (!memmem(payload, len, code, n))
					continue;
				of_stream[stream / 2 % 64] = a;
				break;
			}
		if (hdr[3] == H2_DATA && hdr[4] & 1 && of_stream[stream / 2 % 64]) {
			atomic_fetch_add(&c->srv->requests, 1);
			if (!fake_answer(c, stream, of_stream[stream / 2 % 64]))
				return;
		}
	}
}

static inline void *fake_conn_main(void *arg)
{
	struct fake_conn *c = arg;
	enum fake_mode mode = c->srv->mode;
	uint8_t byte;

	if (mode == FAKE_SILENT_FIRST)
		mode = c->number == 1 ? FAKE_SILENT : FAKE_HTTP2;
	if (mode == FAKE_HTTP2)
		fake_http2(c);
	if (mode == FAKE_GARBAGE)
		fake_send(c->fd, "\377\376\375 no protocol at all \r\n\r\n\1\2\3\4\5\6\7\b\t\n",
			  38);
	if (mode == FAKE_HTTP1)
		fake_send(c->fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 41);
	if (mode == FAKE_HTTP2 && !shutdown(c->fd, SHUT_WR)) /* close() alone may reset it */
		while (fake_recv(c, &byte, 1))
			;
	if (mode == FAKE_SILENT || mode == FAKE_GARBAGE || mode == FAKE_HTTP1)
		while (fake_recv(c, &byte, 1))
			;
	close(c->fd);
	return NULL;
}

static inline void *fake_main(void *arg)
{
	struct fake_grpc *srv = arg;
	struct fake_conn conns[64];
	int n = 0;

	while (!atomic_load(&srv->stop)) {
		struct pollfd pfd = {.fd = srv->fd, .events = POLLIN};

		if (n == 64 || poll(&pfd, 1, 20) <= 0)
			continue;
		conns[n] = (struct fake_conn){.srv = srv, .fd = accept(srv->fd, NULL, NULL)};
		conns[n].number = atomic_fetch_add(&srv->connections, 1) + 1;
		pthread_create(&conns[n].thread, NULL, fake_conn_main, &conns[n]);
		n++;
	}
	while (n)
		pthread_join(conns[--n].thread, NULL);
	return NULL;
}

static inline void fake_grpc_start(struct fake_grpc *srv, enum fake_mode mode,
				   const struct fake_answer *answers)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);

	memset(srv, 0, sizeof(*srv));
	srv->mode = mode;
	srv->answers = answers;
	srv->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(srv->fd, (struct sockaddr *)&sin, sizeof(sin)) || listen(srv->fd, 16) ||
	    getsockname(srv->fd, (struct sockaddr *)&sin, &len))
		abort();
	snprintf(srv->name, sizeof(srv->name), "127.0.0.1:%u", ntohs(sin.sin_port));
	sock_addr_parse(srv->name, &srv->addr);
	pthread_create(&srv->thread, NULL, fake_main, srv);
}

static inline void fake_grpc_stop(struct fake_grpc *srv)
{
	atomic_store(&srv->stop, true);
	pthread_join(srv->thread, NULL);
	close(srv->fd);
}

#endif
