/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Questions and answers of one byte, for scripts/bench.
 *
 *     rr server PORT [--close]
 *     rr client ADDRESS PORT [--seconds S] [--connect] [--at-once N]
 *
 * The client asks over one connection, again and again. --connect (client) with --close (server): each question has a
 * connection of its own, which the server closes after its answer, so that it keeps what TCP remembers of it, and the
 * client's ports can be used again; N of them at once. The server runs until SIGTERM. The client ends with one line of
 * JSON; times are of an exchange, with --connect from connect() to the end of the connection. MPTCP: mptcpize.
 */
#include "tests/tools/common.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define MAX_EVENTS  256
#define MAX_SAMPLES (1u << 23)
#define MAX_AT_ONCE 10000
#define MAX_FDS	    65536
#define STUCK_S	    5 /* the client gives up on what takes so long after its time is over */

static struct {
	bool server, connect, close;
	uint32_t at_once;
	double seconds;
	struct sockaddr_storage address;
	socklen_t address_len;
} opt = { .at_once = 1, .seconds = 2 };

static volatile sig_atomic_t stop;
static uint32_t *samples, num_samples; /* ns */
static uint64_t exchanges, failed;
static int last_error;

static void on_signal(int number)
{
	(void)number;
	stop = 1;
}

static void no_delay(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static void add_sample(uint64_t ns)
{
	exchanges++;
	if (num_samples < MAX_SAMPLES)
		samples[num_samples++] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

/* ---- server ---- */

static void accept_all(int ep, int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };

		if (!opt.close)
			no_delay(fd);
		if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) < 0)
			die("epoll_ctl");
	}
	if (errno != EAGAIN && errno != ECONNABORTED)
		die("accept");
}

static void answer(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n != 1 || send(fd, &byte, 1, MSG_NOSIGNAL) != 1 || opt.close)
		close(fd);
}

static void serve(int ep)
{
	struct epoll_event events[MAX_EVENTS];
	int one = 1, listener = socket(opt.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct epoll_event e = { .events = EPOLLIN, .data.fd = listener };

	if (listener < 0)
		die("socket");
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&opt.address, opt.address_len) < 0 || listen(listener, 65535) < 0)
		die("listen");
	if (epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e) < 0)
		die("epoll_ctl");
	while (!stop) {
		int n = epoll_wait(ep, events, MAX_EVENTS, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listener)
				accept_all(ep, listener);
			else
				answer(events[i].data.fd);
		}
	}
}

/* ---- client: one connection ---- */

static void ask(void)
{
	struct timeval patience = { .tv_sec = STUCK_S };
	uint64_t end, before, after;
	char byte = 0;
	int fd = socket(opt.address.ss_family, SOCK_STREAM, 0);

	if (fd < 0)
		die("socket");
	if (connect(fd, (struct sockaddr *)&opt.address, opt.address_len) < 0)
		die("connect");
	no_delay(fd);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	before = now_ns();
	end = before + (uint64_t)(opt.seconds * (double)NS_PER_S);
	while (!stop && before < end) {
		if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1 || recv(fd, &byte, 1, 0) != 1) {
			failed++;
			last_error = errno;
			break;
		}
		after = now_ns();
		add_sample(after - before);
		before = after;
	}
	close(fd);
}

/* ---- client: a connection for each question ---- */

static uint64_t begun_ns[MAX_FDS];
static bool asked[MAX_FDS];
static uint32_t now_open;

static void give_up(int fd)
{
	failed++;
	last_error = errno;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
	close(fd);
	now_open--;
}

static void begin(int ep)
{
	int fd = socket(opt.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct epoll_event e = { .events = EPOLLOUT, .data.fd = fd };

	if (fd < 0 || fd >= MAX_FDS)
		die("socket");
	now_open++;
	asked[fd] = false;
	begun_ns[fd] = now_ns();
	if (connect(fd, (struct sockaddr *)&opt.address, opt.address_len) < 0 && errno != EINPROGRESS)
		give_up(fd);
	else if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) < 0)
		die("epoll_ctl");
}

static void go_on(int ep, int fd)
{
	struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };
	char bytes[2] = "";
	ssize_t n;

	if (!asked[fd]) {
		if (send(fd, bytes, 1, MSG_NOSIGNAL) != 1) {
			if (errno != EAGAIN)
				give_up(fd);
			return;
		}
		asked[fd] = true;
		if (epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e) < 0)
			die("epoll_ctl");
		return;
	}
	do {
		n = recv(fd, bytes, sizeof(bytes), 0);
	} while (n > 0);
	if (n < 0) {
		if (errno != EAGAIN)
			give_up(fd);
		return;
	}
	add_sample(now_ns() - begun_ns[fd]);
	close(fd);
	now_open--;
}

/* Return: seconds that it took. */
static double connect_often(int ep)
{
	struct epoll_event events[MAX_EVENTS];
	uint64_t start = now_ns(), end = start + (uint64_t)(opt.seconds * (double)NS_PER_S), over = 0;
	uint64_t in_time = 0;

	while (!stop) {
		uint64_t now = now_ns();
		int n;

		if (now >= end && !over) {
			over = now;
			in_time = exchanges;
		}
		/* Failures that come at once must not keep it here. */
		for (uint32_t i = 0; now < end && now_open < opt.at_once && i < opt.at_once; i++)
			begin(ep);
		if (now >= end && (!now_open || now > end + STUCK_S * NS_PER_S))
			break;
		n = epoll_wait(ep, events, MAX_EVENTS, 100);
		for (int i = 0; i < n; i++)
			go_on(ep, events[i].data.fd);
	}
	if (over) {
		failed += now_open;
		exchanges = in_time;
	}
	return (double)((over ? over : now_ns()) - start) / (double)NS_PER_S;
}

/* ---- both ---- */

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static double percentile_us(double share)
{
	uint32_t at = (uint32_t)((double)num_samples * share);

	if (!num_samples)
		return 0;
	return samples[at < num_samples ? at : num_samples - 1] / 1e3;
}

static void report(double seconds)
{
	qsort(samples, num_samples, sizeof(*samples), compare);
	printf("{\"exchanges\": %llu, \"failed\": %llu, \"error\": \"%s\", \"seconds\": %.3f, \"per_second\": %.1f, "
	       "\"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f}\n",
	       (unsigned long long)exchanges, (unsigned long long)failed, failed ? strerror(last_error) : "", seconds,
	       (double)exchanges / seconds, percentile_us(0.5), percentile_us(0.9), percentile_us(0.99),
	       percentile_us(0.999), percentile_us(1));
}

static void usage(void)
{
	fprintf(stderr, "usage: rr server PORT [--close]\n"
			"       rr client ADDRESS PORT [--seconds S] [--connect] [--at-once N]\n");
	exit(2);
}

static void parse(int argc, char **argv)
{
	int i = 3;

	if (argc < 3)
		usage();
	opt.server = !strcmp(argv[1], "server");
	if (opt.server) {
		opt.address_len = address_of("::", (uint16_t)atoi(argv[2]), &opt.address);
		if (!opt.address_len)
			usage();
	} else {
		if (argc < 4 || strcmp(argv[1], "client") != 0)
			usage();
		opt.address_len = address_of(argv[2], (uint16_t)atoi(argv[3]), &opt.address);
		if (!opt.address_len)
			usage();
		i = 4;
	}
	for (; i < argc; i++) {
		if (!strcmp(argv[i], "--close"))
			opt.close = true;
		else if (!strcmp(argv[i], "--connect"))
			opt.connect = true;
		else if (!strcmp(argv[i], "--seconds") && i + 1 < argc)
			opt.seconds = atof(argv[++i]);
		else if (!strcmp(argv[i], "--at-once") && i + 1 < argc)
			opt.at_once = (uint32_t)atoi(argv[++i]);
		else
			usage();
	}
	if (!opt.at_once || opt.at_once > MAX_AT_ONCE || opt.seconds <= 0)
		usage();
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct rlimit files;
	double seconds;
	int ep;

	parse(argc, argv);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max < MAX_FDS ? files.rlim_max : MAX_FDS;
	setrlimit(RLIMIT_NOFILE, &files);
	ep = epoll_create1(EPOLL_CLOEXEC);
	if (ep < 0)
		die("epoll_create1");
	if (opt.server) {
		serve(ep);
		return 0;
	}
	samples = malloc(MAX_SAMPLES * sizeof(*samples));
	if (!samples)
		die("malloc");
	seconds = opt.seconds;
	if (opt.connect)
		seconds = connect_often(ep);
	else
		ask();
	report(seconds);
	return exchanges ? 0 : 1;
}
