/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Many connections at once, every byte checked.
 *
 *     many server PORT [--wait-ms MS] [--go FILE] [--bytes N]
 *     many client ADDRESS PORT [--connections N] [--at-once N] [--rate N] [--bytes N] [--deadline-s S]
 *
 * The server speaks first: MS after it accepted a connection, and not before FILE is there, it sends N
 * bytes that follow from the client's port. The client checks them, sends each back, the server checks them too and closes; the
 * client then closes. Both sides give --bytes the same value. The server runs until SIGTERM; the client
 * until all its connections are done. Each ends with one line of JSON.
 * --greet (both): the client sends a byte first, at once, and the server speaks when it is there, too.
 * --plain: TCP; else MPTCP. --rate: connections begun in a second, 0: no limit.
 * --ports MIN-MAX: the client binds these ports one after another, for more connections than the
 * kernel has ephemeral ports.
 */
#include "tests/tools/common.h"

#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#ifndef TCP_IS_MPTCP
#define TCP_IS_MPTCP 43
#endif

#define MAX_EVENTS 256
#define MAX_ERRNO  200
#define RETRY_MS   50

struct connection {
	int fd;
	uint16_t port;	   /* of the client */
	uint32_t got, put; /* bytes */
	bool greeted;
	uint64_t since_ms;
	struct connection *next; /* server: waits, oldest first; else free */
};

static struct {
	bool server, plain, greet;
	struct sockaddr_storage address;
	socklen_t address_len;
	uint32_t connections, at_once, rate, bytes, wait_ms, deadline_s;
	uint16_t port_min, port_max;
	const char *go;
} opt = { .connections = 1, .rate = 0, .bytes = 1000, .deadline_s = 60 };

static int ep;
static volatile sig_atomic_t stop;
static struct connection *waiting, **waiting_end = &waiting, *free_list;
static uint32_t begun, done, failed, wrong, now_open, most_open, mptcp, next_port;
static uint64_t bytes_got, connect_ms_max;
static uint32_t errors[MAX_ERRNO];

static uint8_t byte_at(uint16_t port, uint32_t at)
{
	return (uint8_t)(((uint32_t)port * 2654435761u + at * 40503u) >> 9);
}

static uint16_t port_of(const struct sockaddr_storage *a)
{
	return ntohs(a->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)a)->sin6_port :
						((const struct sockaddr_in *)a)->sin_port);
}

static void set_port(struct sockaddr_storage *a, uint16_t port)
{
	if (a->ss_family == AF_INET6)
		((struct sockaddr_in6 *)a)->sin6_port = htons(port);
	else
		((struct sockaddr_in *)a)->sin_port = htons(port);
}

static struct connection *take(int fd)
{
	struct connection *c = free_list;

	if (c)
		free_list = c->next;
	else if (!(c = malloc(sizeof(*c))))
		die("malloc");
	*c = (struct connection){ .fd = fd, .since_ms = now_ms() };
	if (++now_open > most_open)
		most_open = now_open;
	return c;
}

static void watch(struct connection *c, int op, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = c };

	if (epoll_ctl(ep, op, c->fd, &e) < 0)
		die("epoll_ctl");
}

/* @err: 0: all was right */
static void finish(struct connection *c, int err)
{
	if (err) {
		failed++;
		errors[err < MAX_ERRNO ? err : 0]++;
		/* So that the other side learns of it, too. */
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
	}
	close(c->fd);
	done++;
	now_open--;
	c->next = free_list;
	free_list = c;
}

/* Reads what is there. Return: 1 the other side closed, 0 it did not, -1 it failed and is finished. */
static int receive(struct connection *c)
{
	uint8_t buf[16384];
	ssize_t n;

	while ((n = recv(c->fd, buf, sizeof(buf), 0)) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (c->got + (uint32_t)i >= opt.bytes || buf[i] != byte_at(c->port, c->got + (uint32_t)i)) {
				wrong++;
				finish(c, EBADMSG);
				return -1;
			}
		}
		c->got += (uint32_t)n;
		bytes_got += (uint64_t)n;
	}
	if (n < 0 && errno != EAGAIN) {
		finish(c, errno);
		return -1;
	}
	return n == 0;
}

/* Sends up to byte @limit. Return: 0, or -1: it failed and is finished. */
static int transmit(struct connection *c, uint32_t limit)
{
	uint8_t buf[16384];

	while (c->put < limit) {
		uint32_t n = limit - c->put < sizeof(buf) ? limit - c->put : (uint32_t)sizeof(buf);
		ssize_t sent;

		for (uint32_t i = 0; i < n; i++)
			buf[i] = byte_at(c->port, c->put + i);
		sent = send(c->fd, buf, n, MSG_NOSIGNAL);
		if (sent < 0 && errno == EAGAIN)
			break;
		if (sent < 0) {
			finish(c, errno);
			return -1;
		}
		c->put += (uint32_t)sent;
	}
	return 0;
}

static bool is_mptcp(int fd)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return !getsockopt(fd, IPPROTO_TCP, TCP_IS_MPTCP, &value, &len) && value;
}

/* ---- server ---- */

static void wait_to_speak(struct connection *c)
{
	c->next = NULL;
	*waiting_end = c;
	waiting_end = &c->next;
}

static void on_accept(int listener)
{
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	int fd;

	while ((fd = accept4(listener, (struct sockaddr *)&from, &len, SOCK_NONBLOCK)) >= 0) {
		struct connection *c = take(fd);

		c->port = port_of(&from);
		mptcp += is_mptcp(fd);
		begun++;
		len = sizeof(from);
		if (opt.greet) {
			watch(c, EPOLL_CTL_ADD, EPOLLIN);
			continue;
		}
		wait_to_speak(c);
		len = sizeof(from);
	}
	if (errno != EAGAIN && errno != ECONNABORTED)
		die("accept");
}

static void server_step(struct connection *c)
{
	int end;
	uint8_t byte;

	if (opt.greet && !c->greeted) {
		c->greeted = recv(c->fd, &byte, 1, 0) == 1;
		if (!c->greeted && errno != EAGAIN) {
			finish(c, EPIPE);
			return;
		}
		if (!c->greeted)
			return;
		if (opt.go || opt.wait_ms) {
			watch(c, EPOLL_CTL_DEL, 0);
			wait_to_speak(c);
			return;
		}
	}
	if (transmit(c, opt.bytes) < 0)
		return;
	end = receive(c);
	if (end > 0)
		finish(c, EPIPE);
	else if (!end && c->got == opt.bytes && c->put == opt.bytes)
		finish(c, 0);
	else if (!end)
		watch(c, EPOLL_CTL_MOD, EPOLLIN | (c->put < opt.bytes ? EPOLLOUT : 0));
}

static void speak(void)
{
	uint64_t now = now_ms();

	if (opt.go && waiting && !access(opt.go, F_OK))
		opt.go = NULL;
	while (waiting && !opt.go && now >= waiting->since_ms + opt.wait_ms) {
		struct connection *c = waiting;

		waiting = c->next;
		if (!waiting)
			waiting_end = &waiting;
		c->next = NULL;
		if (transmit(c, opt.bytes) < 0)
			continue;
		if (!c->put) {
			/* Seen on MPTCP: EAGAIN right after accept(), and no EPOLLOUT ever. */
			c->since_ms = now - opt.wait_ms + RETRY_MS;
			wait_to_speak(c);
			continue;
		}
		watch(c, EPOLL_CTL_ADD, EPOLLIN);
		server_step(c);
	}
}

static int listen_on(void)
{
	int fd = socket(opt.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK, opt.plain ? 0 : IPPROTO_MPTCP);
	int one = 1;

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&opt.address, opt.address_len) < 0 || listen(fd, 65535) < 0)
		die("listen");
	return fd;
}

/* ---- client ---- */

static void begin_one(void)
{
	int fd = socket(opt.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK, opt.plain ? 0 : IPPROTO_MPTCP);
	struct sockaddr_storage own = { .ss_family = opt.address.ss_family };
	struct connection *c;

	if (fd < 0)
		die("socket");
	c = take(fd);
	begun++;
	if (opt.port_max) {
		int one = 1;

		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		set_port(&own, (uint16_t)(opt.port_min + next_port++ % (opt.port_max - opt.port_min + 1u)));
		if (bind(fd, (struct sockaddr *)&own, opt.address_len) < 0) {
			finish(c, errno);
			return;
		}
	}
	if (connect(fd, (struct sockaddr *)&opt.address, opt.address_len) < 0 && errno != EINPROGRESS) {
		finish(c, errno);
		return;
	}
	watch(c, EPOLL_CTL_ADD, EPOLLOUT);
}

static void on_connected(struct connection *c)
{
	struct sockaddr_storage own;
	socklen_t len = sizeof(int);
	uint64_t took = now_ms() - c->since_ms;
	int err = 0;

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len);
	len = sizeof(own);
	if (!err && getsockname(c->fd, (struct sockaddr *)&own, &len) < 0)
		err = errno;
	if (err) {
		finish(c, err);
		return;
	}
	c->port = port_of(&own);
	mptcp += is_mptcp(c->fd);
	if (took > connect_ms_max)
		connect_ms_max = took;
	watch(c, EPOLL_CTL_MOD, EPOLLIN);
	if (opt.greet && send(c->fd, "", 1, MSG_NOSIGNAL) != 1)
		finish(c, errno);
}

static void client_step(struct connection *c)
{
	int end;

	if (!c->port) {
		on_connected(c);
		return;
	}
	end = receive(c);
	if (end < 0 || transmit(c, c->got) < 0)
		return;
	if (end)
		finish(c, c->got == opt.bytes && c->put == opt.bytes ? 0 : EPIPE);
	else
		watch(c, EPOLL_CTL_MOD, EPOLLIN | (c->put < c->got ? EPOLLOUT : 0));
}

/* Return: ms until the next one may begin. */
static int begin_more(uint64_t start_ms)
{
	uint64_t ms = now_ms() - start_ms;

	while (begun < opt.connections && now_open < opt.at_once && (!opt.rate || begun <= ms * opt.rate / 1000))
		begin_one();
	return begun < opt.connections && now_open < opt.at_once ? 1 : 1000;
}

/* ---- both ---- */

static void report(uint64_t start_ms)
{
	const char *comma = "";

	printf("{\"ok\": %s, \"begun\": %u, \"done\": %u, \"failed\": %u, \"wrong\": %u, \"open\": %u, \"most_open\": %u, "
	       "\"mptcp\": %u, \"bytes\": %" PRIu64 ", \"connect_ms_max\": %" PRIu64 ", \"ms\": %" PRIu64 ", \"errors\": {",
	       !failed && !now_open && done == (opt.server ? begun : opt.connections) ? "true" : "false", begun, done,
	       failed, wrong, now_open, most_open, mptcp, bytes_got, connect_ms_max, now_ms() - start_ms);
	for (int i = 0; i < MAX_ERRNO; i++) {
		if (errors[i]) {
			printf("%s\"%s\": %u", comma, strerror(i), errors[i]);
			comma = ", ";
		}
	}
	printf("}}\n");
	fflush(stdout);
}

static void on_signal(int number)
{
	(void)number;
	stop = 1;
}

static uint32_t number_of(const char *text)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (!*text || *end || v > UINT32_MAX) {
		fprintf(stderr, "many: not a number: %s\n", text);
		exit(2);
	}
	return (uint32_t)v;
}

static void parse(int argc, char **argv)
{
	static const struct {
		const char *name;
		uint32_t *value;
	} numbers[] = {
		{ "--connections", &opt.connections }, { "--at-once", &opt.at_once }, { "--rate", &opt.rate },
		{ "--bytes", &opt.bytes }, { "--wait-ms", &opt.wait_ms }, { "--deadline-s", &opt.deadline_s },
	};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&opt.address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&opt.address;
	int i = 2;

	opt.server = argc > 2 && !strcmp(argv[1], "server");
	if (argc < 3 || (!opt.server && (argc < 4 || strcmp(argv[1], "client")))) {
		fprintf(stderr, "usage: many server PORT | client ADDRESS PORT [options]\n");
		exit(2);
	}
	if (opt.server) {
		v6->sin6_family = AF_INET6; /* both families */
	} else if (inet_pton(AF_INET, argv[i], &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		i++;
	} else if (inet_pton(AF_INET6, argv[i], &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		i++;
	} else {
		fprintf(stderr, "many: not an address: %s\n", argv[i]);
		exit(2);
	}
	opt.address_len = opt.address.ss_family == AF_INET ? sizeof(*v4) : sizeof(*v6);
	set_port(&opt.address, (uint16_t)number_of(argv[i++]));
	for (; i < argc; i++) {
		size_t k = 0;
		unsigned int a, b;

		if (!strcmp(argv[i], "--plain")) {
			opt.plain = true;
			continue;
		}
		if (!strcmp(argv[i], "--greet")) {
			opt.greet = true;
			continue;
		}
		if (!strcmp(argv[i], "--go") && i + 1 < argc) {
			opt.go = argv[++i];
			continue;
		}
		if (!strcmp(argv[i], "--ports") && i + 1 < argc && sscanf(argv[i + 1], "%u-%u", &a, &b) == 2 && a && a <= b &&
		    b <= UINT16_MAX) {
			opt.port_min = (uint16_t)a;
			opt.port_max = (uint16_t)b;
			i++;
			continue;
		}
		while (k < sizeof(numbers) / sizeof(numbers[0]) && strcmp(argv[i], numbers[k].name))
			k++;
		if (k == sizeof(numbers) / sizeof(numbers[0]) || i + 1 == argc) {
			fprintf(stderr, "many: no option %s\n", argv[i]);
			exit(2);
		}
		*numbers[k].value = number_of(argv[++i]);
	}
	if (!opt.at_once)
		opt.at_once = opt.connections;
}

int main(int argc, char **argv)
{
	struct epoll_event events[MAX_EVENTS];
	struct rlimit files;
	uint64_t start_ms;
	int listener = -1;

	parse(argc, argv);
	getrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_max < 100000)
		files.rlim_max = 100000; /* works for root */
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	ep = epoll_create1(0);
	if (opt.server) {
		struct epoll_event e = { .events = EPOLLIN };

		listener = listen_on();
		if (epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e) < 0)
			die("epoll_ctl");
	}
	start_ms = now_ms();
	while (!stop && (opt.server || done < opt.connections)) {
		int wait = opt.server ? (waiting ? 10 : 1000) : begin_more(start_ms);
		int n = epoll_wait(ep, events, MAX_EVENTS, wait);

		for (int i = 0; i < n; i++) {
			if (!events[i].data.ptr)
				on_accept(listener);
			else if (opt.server)
				server_step(events[i].data.ptr);
			else
				client_step(events[i].data.ptr);
		}
		speak();
		if (!opt.server && now_ms() - start_ms > opt.deadline_s * 1000ull)
			break;
	}
	report(start_ms);
	return failed || (!opt.server && done < opt.connections);
}
