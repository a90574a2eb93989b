/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Connections that send a little all the time, both ways, every byte checked; and each time without a byte.
 *
 *     gaps server PORT [CHUNK_BYTES [EVERY_MS]]
 *     gaps client ADDRESS PORT CONNECTIONS [CHUNK_BYTES [EVERY_MS]]
 *
 * Each side sends CHUNK_BYTES (1000) on each connection every EVERY_MS (5). The client says "connected" when all of them
 * are, and each side a line "gap CONNECTION BEGAN_MS LENGTH_MS" when a connection has something to read again after LEAST_MS or
 * more without; times are those of CLOCK_MONOTONIC. After SIGTERM the client sends no more, the server then neither; when all is
 * there the client ends with "{"ok": true, ...}", a line of JSON, and the server is ready for the next one.
 * MPTCP: mptcpize.
 */
#include "tests/tools/common.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define MAX_CONNECTIONS 1024
#define MAX_CHUNK	65536
#define MAX_EVENTS	64
#define LEAST_MS	20
#define PERIOD		251 /* what is sent repeats after so many bytes */

struct connection {
	int fd;
	bool shut, ended; /* we send no more; the other side neither */
	uint64_t put, got, last_ns;
};

static uint8_t pattern[MAX_CHUNK + PERIOD], buffer[MAX_CHUNK];
static struct connection all[MAX_CONNECTIONS];
static unsigned int count, chunk = 1000, every_ms = 5;
static uint64_t wrong, bytes;
static bool server;
static int ep;
static volatile sig_atomic_t stop;

static void on_signal(int number)
{
	(void)number;
	stop = 1;
}

static void watch(int fd, uint32_t number)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u32 = number };

	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) < 0)
		die("epoll_ctl");
}

/* Their places are used again; a program that measures so many at a time needs no more. */
static void add(int fd)
{
	unsigned int i = 0;

	while (i < count && all[i].fd >= 0)
		i++;
	if (i == MAX_CONNECTIONS) {
		close(fd);
		return;
	}
	all[i] = (struct connection){ .fd = fd, .last_ns = now_ns() };
	count = i < count ? count : i + 1;
	watch(fd, i);
}

/* @errored: and not at its end */
static void end(struct connection *c, bool errored)
{
	wrong += errored;
	close(c->fd);
	c->fd = -1;
}

static void put(struct connection *c)
{
	ssize_t n;

	if (c->fd < 0 || c->shut)
		return;
	n = send(c->fd, pattern + c->put % PERIOD, chunk, MSG_NOSIGNAL);
	if (n > 0)
		c->put += (uint64_t)n;
	else if (n < 0 && errno != EAGAIN)
		end(c, true);
}

static void get(struct connection *c, unsigned int number)
{
	uint64_t now;
	ssize_t n;

	while ((n = recv(c->fd, buffer, sizeof(buffer), 0)) > 0) {
		now = now_ns();
		if (now - c->last_ns >= LEAST_MS * 1000000ull && c->got)
			printf("gap %u %.1f %.1f\n", number, (double)c->last_ns / 1e6, (double)(now - c->last_ns) / 1e6);
		c->last_ns = now;
		wrong += memcmp(buffer, pattern + c->got % PERIOD, (size_t)n) != 0;
		c->got += (uint64_t)n;
		bytes += (uint64_t)n;
	}
	if (n < 0 && errno == EAGAIN)
		return;
	if (n < 0) {
		fprintf(stderr, "connection %u: %s\n", number, strerror(errno));
		end(c, true);
		return;
	}
	if (server)
		shutdown(c->fd, SHUT_WR);
	end(c, false);
}

static void shut_all(void)
{
	for (unsigned int i = 0; i < count; i++) {
		if (all[i].fd >= 0 && !all[i].shut)
			shutdown(all[i].fd, SHUT_WR);
		all[i].shut = true;
	}
}

static bool any(void)
{
	for (unsigned int i = 0; i < count; i++)
		if (all[i].fd >= 0)
			return true;
	return false;
}

static int listen_at(const char *port)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(port)) };
	int fd = socket(AF_INET6, SOCK_STREAM, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, MAX_CONNECTIONS) < 0)
		die("listen");
	watch(fd, UINT32_MAX);
	return fd;
}

static void connect_all(const char *address, const char *port, unsigned int wanted)
{
	struct sockaddr_storage a;
	socklen_t len = address_of(address, (uint16_t)atoi(port), &a);

	for (unsigned int i = 0; i < wanted && len; i++) {
		int fd = socket(a.ss_family, SOCK_STREAM, 0);

		if (fd < 0 || connect(fd, (struct sockaddr *)&a, len) < 0)
			die("connect");
		add(fd);
	}
	printf("connected\n");
}

static void run(int listener, int timer)
{
	struct epoll_event events[MAX_EVENTS];
	uint64_t ticks;
	int n, fd;

	while (server ? !stop : any()) {
		n = epoll_wait(ep, events, MAX_EVENTS, -1);
		if (stop && !server)
			shut_all();
		for (int i = 0; i < n; i++) {
			uint32_t number = events[i].data.u32;

			if (number < MAX_CONNECTIONS && all[number].fd >= 0)
				get(&all[number], number);
			while (number == UINT32_MAX && (fd = accept(listener, NULL, NULL)) >= 0)
				add(fd);
			if (number != MAX_CONNECTIONS || read(timer, &ticks, sizeof(ticks)) < 0)
				continue;
			for (unsigned int k = 0; k < count; k++)
				put(&all[k]);
		}
	}
}

int main(int argc, char **argv)
{
	struct sigaction act = { .sa_handler = on_signal };
	int listener = -1, timer, more;

	server = argc >= 3 && !strcmp(argv[1], "server");
	if (!server && (argc < 5 || strcmp(argv[1], "client"))) {
		fprintf(stderr, "usage: gaps server PORT [BYTES [MS]] | gaps client ADDRESS PORT CONNECTIONS [BYTES [MS]]\n");
		return 2;
	}
	more = server ? 3 : 5;
	if (argc > more)
		chunk = (unsigned int)atoi(argv[more]);
	if (argc > more + 1)
		every_ms = (unsigned int)atoi(argv[more + 1]);
	if (!chunk || chunk > MAX_CHUNK || !every_ms || every_ms > 999)
		return 2;
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i % PERIOD * 7);
	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGTERM, &act, NULL);
	ep = epoll_create1(0);
	timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	if (ep < 0 || timer < 0)
		die("epoll");
	if (server)
		listener = listen_at(argv[2]);
	else
		connect_all(argv[2], argv[3], (unsigned int)atoi(argv[4]));
	watch(timer, MAX_CONNECTIONS);
	timerfd_settime(timer, 0, &(struct itimerspec){ { 0, every_ms * 1000000l }, { 0, every_ms * 1000000l } }, NULL);
	run(listener, timer);
	printf("{\"ok\": %s, \"bytes\": %" PRIu64 "}\n", wrong ? "false" : "true", bytes);
	return wrong ? 1 : 0;
}
