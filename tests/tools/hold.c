/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Opens connections and keeps them open without a byte, for scripts/bench.
 *
 *     hold server PORT
 *     hold client ADDRESS PORT CONNECTIONS [--at-once N]
 *
 * When all are open the client prints one line of JSON. Both keep them until SIGTERM. How many that can be is up to the
 * limit of open files: for more, run more of both. MPTCP: mptcpize.
 */
#include "tests/tools/common.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define MAX_EVENTS  256
#define MAX_ERRNO   200
#define CLOSE_PER_MS 12
#define ATTEMPTS    3
#define DEADLINE_MS 240000

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
	(void)number;
	stop = 1;
}

static void watch(int ep, int op, int fd, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.fd = fd };

	if (epoll_ctl(ep, op, fd, &e) < 0)
		die("epoll_ctl");
}

static void serve(int ep, uint16_t port)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct epoll_event events[MAX_EVENTS];
	int listener = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1, fd;

	if (listener < 0)
		die("socket");
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&any, sizeof(any)) < 0 || listen(listener, 65535) < 0)
		die("listen");
	watch(ep, EPOLL_CTL_ADD, listener, EPOLLIN);
	while (!stop) {
		int n = epoll_wait(ep, events, MAX_EVENTS, -1);

		for (int i = 0; i < n; i++) {
			fd = events[i].data.fd;
			if (fd != listener) { /* the other side has gone */
				close(fd);
				continue;
			}
			while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
				watch(ep, EPOLL_CTL_ADD, fd, EPOLLRDHUP);
			if (errno != EAGAIN && errno != ECONNABORTED)
				die("accept");
		}
	}
}

struct client {
	int ep;
	int last_fd;
	struct sockaddr_storage address;
	socklen_t address_len;
	uint32_t wanted, at_once, begun, opening, open, failed;
	uint32_t errors[MAX_ERRNO];
};

static void count_error(struct client *c, int err)
{
	c->failed++;
	c->errors[err > 0 && err < MAX_ERRNO ? err : 0]++;
}

static void begin(struct client *c)
{
	int fd = socket(c->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd < 0)
		die("socket");
	c->begun++;
	if (connect(fd, (struct sockaddr *)&c->address, c->address_len) < 0 && errno != EINPROGRESS) {
		count_error(c, errno);
		close(fd);
		return;
	}
	c->opening++;
	if (fd > c->last_fd)
		c->last_fd = fd;
	watch(c->ep, EPOLL_CTL_ADD, fd, EPOLLOUT);
}

static void on_event(struct client *c, int fd)
{
	socklen_t len = sizeof(int);
	int err = 0;

	c->opening--;
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
	watch(c->ep, EPOLL_CTL_DEL, fd, 0);
	if (err) {
		count_error(c, err);
		close(fd);
	} else {
		c->open++;
	}
}

static void hold(struct client *c)
{
	struct epoll_event events[MAX_EVENTS];
	const char *comma = "";
	uint64_t start = now_ms();

	while (!stop && (c->open < c->wanted) && now_ms() < start + DEADLINE_MS) {
		uint32_t most = c->wanted * ATTEMPTS;
		int n;

		for (uint32_t i = 0; i < c->at_once && c->open + c->opening < c->wanted && c->opening < c->at_once &&
				     c->begun < most; i++)
			begin(c);
		if (!c->opening && c->begun >= most)
			break;
		n = epoll_wait(c->ep, events, MAX_EVENTS, 100);
		for (int i = 0; i < n; i++)
			on_event(c, events[i].data.fd);
	}
	printf("{\"open\": %u, \"failed\": %u, \"ms\": %llu, \"errors\": {", c->open, c->failed,
	       (unsigned long long)(now_ms() - start));
	for (int i = 0; i < MAX_ERRNO; i++) {
		if (c->errors[i]) {
			printf("%s\"%s\": %u", comma, strerror(i), c->errors[i]);
			comma = ", ";
		}
	}
	printf("}}\n");
	fflush(stdout);
	while (!stop)
		pause();
	/* Not all at once: queues on the way would lose the FINs, and those sockets last for minutes. */
	for (int fd = c->ep + 1; fd <= c->last_fd; fd++) {
		close(fd);
		if (fd % CLOSE_PER_MS == 0)
			usleep(1000);
	}
}

static void usage(void)
{
	fprintf(stderr, "usage: hold server PORT\n"
			"       hold client ADDRESS PORT CONNECTIONS [--at-once N]\n");
	exit(2);
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct client c = { .ep = epoll_create1(EPOLL_CLOEXEC), .at_once = 200 };
	struct rlimit files;

	if (c.ep < 0)
		die("epoll_create1");
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (argc == 3 && !strcmp(argv[1], "server")) {
		serve(c.ep, (uint16_t)atoi(argv[2]));
		return 0;
	}
	if ((argc != 5 && argc != 7) || strcmp(argv[1], "client") != 0)
		usage();
	c.address_len = address_of(argv[2], (uint16_t)atoi(argv[3]), &c.address);
	if (!c.address_len)
		usage();
	c.wanted = (uint32_t)atoi(argv[4]);
	if (argc == 7 && !strcmp(argv[5], "--at-once"))
		c.at_once = (uint32_t)atoi(argv[6]);
	if (!c.wanted || !c.at_once)
		usage();
	hold(&c);
	return 0;
}
