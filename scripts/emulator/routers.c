/* SPDX-License-Identifier: Apache-2.0 */
#include "scripts/emulator/control.h"
#include "scripts/emulator/routers.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

/* One thread, one loop: sockets of routers, links, the tick of the hellos, the control sockets, the end. */

enum { COMMAND_TIMEOUT_S = 1 };

/* As of the emulator of links (main.c), which this is then: who is late would be a slow link. */
enum { LINKS_NICE = -10, LINKS_TIMER_SLACK_NS = 1000 };

static const char usage[] =
	"usage: lab-routers [--control SOCKET] [--links FILE] NAMESPACE DIRECTORY...\n"
	"\n"
	"Stands in for the border routers of a SCION network: one for each pair of a network namespace\n"
	"(name or path) and a directory with topology.json and keys/master0.key of the AS in it.\n"
	"scripts/lab up --routers emulated starts it; docs/lab.md tells what it does and what not.\n"
	"\n"
	"  --control SOCKET  takes commands, one line each, and answers in JSON: interfaces, counters,\n"
	"                    stop ISD-AS, start ISD-AS\n"
	"  --links FILE      links between these routers that are in this process (scripts/emulator/network.h); the\n"
	"                    interfaces that are none of their ends have sockets\n"
	"Says ready on stdout when all sockets are open, and ends with SIGTERM or SIGINT.\n";

/* The links inside, and the socket that changes them. */
struct links {
	struct network_inside inside;
	struct network *network;
	struct control *control;
};

/* What else the loop looks after. */
struct service {
	struct loop_source source;
	struct routers *routers;
};

static struct service *service_of(struct loop_source *source)
{
	return (struct service *)((char *)source - offsetof(struct service, source));
}

static int serve(struct service *service, struct routers *rs, int fd,
		 void (*readable)(struct loop_source *source, uint64_t now_ns))
{
	service->routers = rs;
	service->source = (struct loop_source){ .fd = fd, .readable = readable };
	return fd < 0 ? fd : loop_add(rs->loop, &service->source);
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
static void on_command(struct loop_source *source, uint64_t now_ns)
{
	struct timeval patience = { .tv_sec = COMMAND_TIMEOUT_S };
	int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC);
	char line[256];
	ssize_t n;
	FILE *f;

	(void)now_ns;
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
	routers_command(service_of(source)->routers, line, f);
	fclose(f);
}

static int open_tick(void)
{
	struct timespec half = { .tv_nsec = HELLO_INTERVAL_MS / 2 * 1000000L };
	struct itimerspec every = { half, half };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	timerfd_settime(fd, 0, &every, NULL);
	return fd;
}

static void on_tick(struct loop_source *source, uint64_t now_ns)
{
	struct routers *rs = service_of(source)->routers;
	int64_t now = (int64_t)(now_ns / 1000000);
	static int64_t last;
	static unsigned int count;
	uint64_t expired;

	if (read(source->fd, &expired, sizeof(expired)) < 0)
		return;
	/* What was not heard while this process did not run is no sign of a dead link. */
	for (unsigned int i = 0; last && now - last > HELLO_INTERVAL_MS && i < rs->num; i++)
		for (unsigned int j = 1; j < rs->nodes[i]->num_gates; j++)
			rs->nodes[i]->gates[j].heard_ms += now - last - HELLO_INTERVAL_MS / 2;
	last = now;
	routers_hello(rs, now, ++count % 2);
}

static int open_signals(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static void on_signal(struct loop_source *source, uint64_t now_ns)
{
	(void)now_ns;
	loop_stop(service_of(source)->routers->loop);
}

static json_t *answer(void *ctx, const json_t *request)
{
	return network_call(ctx, request);
}

/* Before the routers are open: an interface with a link in this process has no socket. */
static int open_links(struct routers *rs, struct links *links, const char *path)
{
	char why[NETWORK_WHY_LEN] = "no socket in it";
	const char *socket_path;
	json_error_t where;
	json_t *config = json_load_file(path, 0, &where);
	int err = -EINVAL;

	if (!config) {
		fprintf(stderr, "%s:%d: %s\n", path, where.line, where.text);
		return err;
	}
	links->inside = (struct network_inside){ .attach = routers_attach, .ctx = rs };
	links->network = network_open(rs->loop, config, &links->inside, why);
	socket_path = json_string_value(json_object_get(config, "socket"));
	if (links->network && socket_path) {
		err = control_open(rs->loop, socket_path, answer, links->network, &links->control);
		snprintf(why, sizeof(why), "%s: %s", socket_path, strerror(-err));
	}
	json_decref(config);
	if (err)
		fprintf(stderr, "%s: %s\n", path, why);
	prctl(PR_SET_TIMERSLACK, (unsigned long)LINKS_TIMER_SLACK_NS);
	setpriority(PRIO_PROCESS, 0, LINKS_NICE);
	return err;
}

static int load(struct routers *rs, char **argv)
{
	for (; argv[0] && argv[1]; argv += 2) {
		struct node *n;

		if (rs->num == ROUTERS_MAX) {
			fprintf(stderr, "more than %d routers\n", ROUTERS_MAX);
			return -E2BIG;
		}
		n = node_load(argv[0], argv[1]);
		if (!n)
			return -EINVAL;
		n->routers = rs;
		rs->nodes[rs->num++] = n;
	}
	return 0;
}

struct options {
	const char *control, *links;
	char **routers;
};

static int run(struct routers *rs, struct links *links, const struct options *o)
{
	struct service control, tick, signals;
	int err = load(rs, o->routers);

	if (!err && o->links)
		err = open_links(rs, links, o->links);
	for (unsigned int i = 0; !err && i < rs->num; i++)
		err = node_open(rs, rs->nodes[i]);
	if (err)
		return err; /* has been said */
	err = o->control ? serve(&control, rs, open_control(o->control), on_command) : 0;
	if (!err)
		err = serve(&tick, rs, open_tick(), on_tick);
	if (!err)
		err = serve(&signals, rs, open_signals(), on_signal);
	if (!err) {
		puts("ready");
		fflush(stdout);
		err = loop_run(rs->loop);
	}
	if (err)
		fprintf(stderr, "lab-routers: %s\n", strerror(-err));
	return err; /* descriptors of services are closed with the process */
}

static void parse(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
		{ "control", required_argument, NULL, 'c' },
		{ "links", required_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'c') {
			o->control = optarg;
		} else if (c == 'l') {
			o->links = optarg;
		} else {
			fputs(usage, c == 'h' ? stdout : stderr);
			exit(c == 'h' ? 0 : 2);
		}
	}
	if (optind == argc || (argc - optind) % 2) {
		fputs(usage, stderr);
		exit(2);
	}
	o->routers = argv + optind;
}

int main(int argc, char **argv)
{
	struct rlimit files = { 65536, 65536 };
	struct options o = { 0 };
	struct routers rs = { 0 };
	struct links links = { 0 };
	int err = -ENOMEM;

	parse(argc, argv, &o);
	setrlimit(RLIMIT_NOFILE, &files);
	rs.home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	rs.pool = parcel_pool_new(NETWORK_MEMORY_BYTES);
	rs.loop = rs.pool ? loop_new(rs.pool) : NULL;
	if (rs.home < 0 || !rs.loop)
		perror("lab-routers");
	else
		err = run(&rs, &links, &o);
	control_close(links.control);
	for (unsigned int i = 0; i < rs.num; i++)
		node_free(rs.nodes[i]);
	network_close(links.network);
	loop_free(rs.loop);
	parcel_pool_free(rs.pool);
	close(rs.home);
	return err ? 1 : 0;
}
