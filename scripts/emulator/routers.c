/* SPDX-License-Identifier: Apache-2.0 */
#include "scripts/emulator/routers.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* One thread, one epoll: sockets of routers, the tick of the hellos, the control socket, the end. */

enum { EVENTS = 64, COMMAND_TIMEOUT_S = 1 };

static const char usage[] =
	"usage: lab-routers [--control SOCKET] NAMESPACE DIRECTORY...\n"
	"\n"
	"Stands in for the border routers of a SCION network: one for each pair of a network namespace\n"
	"(name or path) and a directory with topology.json and keys/master0.key of the AS in it.\n"
	"scripts/lab up --routers emulated starts it; docs/lab.md tells what it does and what not.\n"
	"\n"
	"  --control SOCKET  takes commands, one line each, and answers in JSON: interfaces, counters,\n"
	"                    stop ISD-AS, start ISD-AS\n"
	"Says ready on stdout when all sockets are open, and ends with SIGTERM or SIGINT.\n";

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static int add(int epoll, int fd, void *ptr)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = ptr };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

static int open_control(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	strcpy(a.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	unlink(path);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 16)) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

/* Root asks, and has written its line when it has connected: that is waited for, shortly. */
static void serve_control(struct routers *rs, int listener)
{
	struct timeval patience = { .tv_sec = COMMAND_TIMEOUT_S };
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	char line[256];
	ssize_t n;
	FILE *f;

	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	n = recv(fd, line, sizeof(line) - 1, 0);
	f = n > 0 ? fdopen(fd, "w") : NULL;
	if (!f) {
		close(fd);
		return;
	}
	line[n] = '\0';
	routers_command(rs, line, f);
	fclose(f);
}

static int open_tick(void)
{
	struct timespec half = { .tv_nsec = HELLO_INTERVAL_MS / 2 * 1000000L };
	struct itimerspec every = { half, half };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

	if (fd >= 0)
		timerfd_settime(fd, 0, &every, NULL);
	return fd;
}

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

static void tick(struct routers *rs, int fd)
{
	static int64_t last;
	static unsigned int count;
	uint64_t expired;
	int64_t now = now_ms();

	if (read(fd, &expired, sizeof(expired)) < 0)
		return;
	/* What was not heard while this process did not run is no sign of a dead link. */
	for (unsigned int i = 0; last && now - last > HELLO_INTERVAL_MS && i < rs->num; i++)
		for (unsigned int j = 1; j < rs->nodes[i]->num_gates; j++)
			rs->nodes[i]->gates[j].heard_ms += now - last - HELLO_INTERVAL_MS / 2;
	last = now;
	routers_hello(rs, now, ++count % 2);
}

/* Descriptors are known by the addresses that main() has given to epoll. */
static void run(struct routers *rs, const int *control, const int *ticks, const int *signals)
{
	struct epoll_event ev[EVENTS];

	for (;;) {
		int n = epoll_wait(rs->epoll, ev, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			if (ev[i].data.ptr == signals)
				return;
			if (ev[i].data.ptr == ticks)
				tick(rs, *ticks);
			else if (ev[i].data.ptr == control)
				serve_control(rs, *control);
			else
				gate_readable(ev[i].data.ptr);
		}
		if (n < 0 && errno != EINTR)
			return;
	}
}

static int start(struct routers *rs, char **argv)
{
	for (; argv[0] && argv[1]; argv += 2) {
		struct node *n;
		int err;

		if (rs->num == ROUTERS_MAX) {
			fprintf(stderr, "more than %d routers\n", ROUTERS_MAX);
			return -E2BIG;
		}
		n = node_load(argv[0], argv[1]);
		if (!n)
			return -EINVAL;
		rs->nodes[rs->num++] = n;
		err = node_open(rs, n);
		if (err)
			return err;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "control", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct rlimit files = { 65536, 65536 };
	const char *control_path = NULL;
	struct routers rs = { 0 };
	int control = -1, ticks, signals, c, err;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c != 'c') {
			fputs(usage, c == 'h' ? stdout : stderr);
			return c == 'h' ? 0 : 2;
		}
		control_path = optarg;
	}
	if (optind == argc || (argc - optind) % 2) {
		fputs(usage, stderr);
		return 2;
	}
	setrlimit(RLIMIT_NOFILE, &files);
	rs.epoll = epoll_create1(EPOLL_CLOEXEC);
	rs.home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	ticks = open_tick();
	signals = open_signals();
	if (rs.epoll < 0 || rs.home < 0 || ticks < 0 || signals < 0) {
		perror("lab-routers");
		return 1;
	}
	err = start(&rs, argv + optind);
	if (!err && control_path) {
		control = open_control(control_path);
		err = control < 0 ? control : add(rs.epoll, control, &control);
		if (err)
			fprintf(stderr, "%s: %s\n", control_path, strerror(-err));
	}
	if (!err)
		err = add(rs.epoll, ticks, &ticks);
	if (!err)
		err = add(rs.epoll, signals, &signals);
	if (!err) {
		puts("ready");
		fflush(stdout);
		run(&rs, &control, &ticks, &signals);
	}
	for (unsigned int i = 0; i < rs.num; i++)
		node_free(rs.nodes[i]);
	if (control >= 0)
		close(control);
	close(ticks);
	close(signals);
	close(rs.home);
	close(rs.epoll);
	return err ? 1 : 0;
}
