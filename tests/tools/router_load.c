/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the routers between two hosts carry, when nothing but ready-made packets is sent: the most that any
 * tunnel through them could reach. One program has a socket at both ends, so that it can look for the rate.
 *
 *     router_load DAEMON SOURCE TARGET TARGET_NETNS OVERHEAD SECONDS LOSS_PERMILLE [BURST WINDOW]
 *
 *     DAEMON	IP:PORT of the SCION daemon of the source's AS; run this in the network namespace of the source
 *     SOURCE	ISD-AS,ADDRESS, and TARGET
 *     OVERHEAD	bytes of SCION/UDP payload that a tunnel takes for its headers: goodput is what is left
 *     LOSS_PERMILLE  packets in 1000 that may get lost
 *     BURST	packets that are sent at once; WINDOW: packets that are under way at most. Unless given, each
 *		of some is tried for a moment, and that is taken which brought most without losing more than that.
 *
 * Every packet is as long as the MTU of the path (the first of those with the fewest hops). A sender at a fixed rate
 * finds less: when it was not running for a moment, what it has to catch up overflows the queues of the routers. This one
 * is clocked by what arrives, as TCP is. Prints JSON.
 */
#include "shila/base/bytes.h"
#include "shila/io/path_source.h"
#include "shila/wire/scion.h"

#include "tests/tools/common.h"

#include <fcntl.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <unistd.h>

#define MAX_BURST	 64
#define MAX_DATAGRAM	 65507
#define MAX_PACKET	 9216
#define RECEIVE_BATCH	 64
#define RECEIVE_BUFFER	 (32 << 20) /* this end is not to be what loses packets */
#define SETTLE_NS	 80000000ull /* until all that is under way has arrived or is lost */
#define OVERDUE_NS	 5000000ull  /* what does not come while nothing else comes either is lost */
#define POLL_NS		 20000ull
#define STEP_NS		 250000000ull
#define MAX_SECONDS	 60

struct load {
	struct path_source *ps;
	struct scion_addr src, dst;
	struct path *path;
	const char *target_netns;
	int tx, rx;
	uint16_t rx_port;
	uint8_t packets[MAX_BURST * MAX_PACKET];
	size_t packet_len;
	unsigned int burst, window; /* packets at once, and under way; 0: to be found */
	double max_loss;
	atomic_ulong received;
	atomic_bool stop;
};

struct result {
	unsigned long received;
	double received_per_s, loss;
};

/* ---- the path ---- */

static void give_up(struct load *l, int err, const char *why)
{
	fprintf(stderr, "router_load: %s (%s)\n", why ? why : "not asked", strerror(-err));
	path_source_close(l->ps, NULL, NULL);
}

static void on_paths(void *ctx, int err, const char *why, struct path **paths, size_t n)
{
	struct load *l = ctx;

	if (err < 0) {
		give_up(l, err, why);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (!l->path || paths[i]->num_hops < l->path->num_hops) {
			path_put(l->path);
			l->path = paths[i];
		} else {
			path_put(paths[i]);
		}
	}
	path_source_close(l->ps, NULL, NULL);
}

static int find_path(struct load *l, const union sock_addr *daemon)
{
	uv_loop_t loop;
	int err;

	uv_loop_init(&loop);
	err = path_source_open(&loop, daemon, &l->ps);
	if (err < 0)
		return err;
	err = path_source_paths(l->ps, l->dst.ia, false, on_paths, l);
	if (err < 0)
		give_up(l, err, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
	return l->path ? 0 : -ENETUNREACH;
}

/* ---- both sockets ---- */

static int udp_socket(const struct ip_addr *host, uint16_t *port)
{
	union sock_addr own = sock_addr_make(host, 0);
	socklen_t len = sizeof(own);
	int fd = socket(own.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (bind(fd, &own.sa, len) < 0 || getsockname(fd, &own.sa, &len) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	*port = sock_addr_port(&own);
	return fd;
}

static int build_packets(struct load *l, uint16_t tx_port)
{
	struct scion_hdr h = {
		.flow_id = 1, .dst = l->dst, .src = l->src, .path = l->path->raw, .path_len = l->path->raw_len,
	};
	size_t hdr_len = scion_hdr_len(&l->dst, &l->src, l->path->raw_len) + SCION_UDP_HDR_LEN;
	static const uint8_t pattern[MAX_PACKET];
	int len;

	if (l->path->mtu_bytes <= hdr_len || l->path->mtu_bytes > MAX_PACKET)
		return -EMSGSIZE;
	len = scion_udp_build(l->packets, MAX_PACKET, &h, tx_port, l->rx_port, pattern,
			      l->path->mtu_bytes - hdr_len);
	if (len < 0)
		return len;
	l->packet_len = (size_t)len;
	for (unsigned int i = 1; i < MAX_BURST; i++)
		memcpy(l->packets + i * l->packet_len, l->packets, l->packet_len);
	return (int)hdr_len;
}

/* Enters the namespace of the target; everything else stays where it is. */
static void *receiver(void *ctx)
{
	static uint8_t bytes[RECEIVE_BATCH][MAX_PACKET];
	struct mmsghdr msgs[RECEIVE_BATCH] = { 0 };
	struct iovec iov[RECEIVE_BATCH];
	struct load *l = ctx;
	struct timeval wait = { .tv_usec = 50000 };
	int ns = open(l->target_netns, O_RDONLY | O_CLOEXEC), size = RECEIVE_BUFFER, fd = -EINVAL;

	if (ns >= 0 && setns(ns, CLONE_NEWNET) == 0)
		fd = udp_socket(&l->dst.host, &l->rx_port);
	if (ns >= 0)
		close(ns);
	if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0 ||
			setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0)) {
		close(fd);
		fd = -errno;
	}
	l->rx = fd;
	atomic_store(&l->received, 1); /* ready, or failed */
	if (fd < 0)
		return NULL;
	for (int i = 0; i < RECEIVE_BATCH; i++) {
		iov[i] = (struct iovec){ bytes[i], sizeof(bytes[i]) };
		msgs[i].msg_hdr.msg_iov = &iov[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	while (!atomic_load_explicit(&l->stop, memory_order_relaxed)) {
		int n = recvmmsg(fd, msgs, RECEIVE_BATCH, MSG_WAITFORONE, NULL);
		unsigned long good = 0;

		for (int i = 0; i < n; i++)
			good += msgs[i].msg_len == l->packet_len;
		atomic_fetch_add_explicit(&l->received, good, memory_order_relaxed);
	}
	close(fd);
	return NULL;
}

/* ---- sending ---- */

static int send_burst(struct load *l)
{
	struct iovec iov = { l->packets, l->burst * l->packet_len };
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
	} control = { 0 };
	struct msghdr msg = {
		.msg_name = &l->path->next_hop,
		.msg_namelen = sock_addr_len(&l->path->next_hop),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	uint16_t size = (uint16_t)l->packet_len;

	c->cmsg_level = SOL_UDP;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(sizeof(size));
	memcpy(CMSG_DATA(c), &size, sizeof(size));
	return sendmsg(l->tx, &msg, 0) < 0 ? -errno : 0;
}

/* Sends while less than l->window packets are under way: those that have neither arrived nor are overdue. */
static int run_for(struct load *l, uint64_t for_ns, struct result *out)
{
	unsigned long start_count = atomic_load(&l->received), sent = 0, lost = 0, seen = 0;
	uint64_t start = now_ns(), now = start, heard = start;

	while (now < start + for_ns) {
		unsigned long arrived = atomic_load_explicit(&l->received, memory_order_relaxed) - start_count;
		int err;

		if (arrived != seen) {
			seen = arrived;
			heard = now;
		} else if (now - heard > OVERDUE_NS) {
			lost = sent - arrived;
			heard = now;
		}
		if (sent + l->burst > arrived + lost + l->window) {
			sleep_until(now + POLL_NS);
		} else {
			err = send_burst(l);
			if (err < 0 && err != -ENOBUFS && err != -EAGAIN && err != -ECONNREFUSED)
				return err;
			sent += l->burst;
		}
		now = now_ns();
	}
	sleep_until(now + SETTLE_NS);
	out->received = atomic_load(&l->received) - start_count;
	if (!sent)
		return -EIO;
	out->received_per_s = (double)out->received * 1e9 / (double)(now - start);
	out->loss = out->received < sent ? 1.0 - (double)out->received / (double)sent : 0;
	return 0;
}

/* Tries all ways: what got most through without losing too much. */
static int find_way(struct load *l)
{
	static const unsigned int bursts[] = { 8, 16, 32 }, windows[] = { 32, 48, 64, 96, 128 };
	unsigned int best_burst = 0, best_window = 0;
	double best = 0;

	for (size_t i = 0; i < sizeof(bursts) / sizeof(bursts[0]); i++) {
		l->burst = bursts[i];
		for (size_t k = 0; k < sizeof(windows) / sizeof(windows[0]); k++) {
			struct result r;
			int err;

			l->window = windows[k];
			if (l->burst * l->packet_len > MAX_DATAGRAM)
				continue;
			err = run_for(l, STEP_NS, &r);
			if (err < 0)
				return err;
			if (r.loss <= l->max_loss && r.received_per_s > best) {
				best = r.received_per_s;
				best_burst = l->burst;
				best_window = l->window;
			}
		}
	}
	l->burst = best_burst;
	l->window = best_window;
	return best_burst ? 0 : -EIO;
}

static int measure(struct load *l, size_t payload, unsigned int seconds)
{
	struct result r;
	int err = l->burst ? 0 : find_way(l);

	if (err < 0)
		return err;
	err = run_for(l, seconds * 1000000000ull, &r);
	if (err < 0)
		return err;
	printf("{\"packets_per_second\": %.0f, \"received\": %lu, \"loss\": %.5f, \"packet_bytes\": %zu, "
	       "\"payload_bytes\": %zu, \"burst\": %u, \"window\": %u, \"bits_per_second\": %.0f}\n",
	       r.received_per_s, r.received, r.loss, l->packet_len, payload, l->burst, l->window,
	       r.received_per_s * (double)payload * 8);
	return 0;
}

int main(int argc, char **argv)
{
	static struct load l = { .tx = -1, .rx = -1 };
	unsigned long overhead, seconds;
	union sock_addr daemon;
	pthread_t thread;
	uint16_t tx_port;
	int err, hdr_len;

	if ((argc != 8 && argc != 10) || sock_addr_parse(argv[1], &daemon) < 0 || scion_addr_parse(argv[2], &l.src) < 0 ||
	    scion_addr_parse(argv[3], &l.dst) < 0) {
		fprintf(stderr, "usage: router_load DAEMON SOURCE TARGET TARGET_NETNS OVERHEAD SECONDS "
				"LOSS_PERMILLE [BURST WINDOW]\n");
		return 2;
	}
	l.target_netns = argv[4];
	overhead = strtoul(argv[5], NULL, 10);
	seconds = strtoul(argv[6], NULL, 10);
	l.max_loss = strtod(argv[7], NULL) / 1000;
	if (argc > 8) {
		l.burst = (unsigned int)strtoul(argv[8], NULL, 10);
		l.window = (unsigned int)strtoul(argv[9], NULL, 10);
	}
	if (!seconds || seconds > MAX_SECONDS || l.burst > MAX_BURST || l.burst > l.window)
		return 2;

	err = find_path(&l, &daemon);
	if (err < 0)
		return 1;
	if (pthread_create(&thread, NULL, receiver, &l))
		return 1;
	while (!atomic_load(&l.received))
		usleep(1000);
	err = l.rx;
	if (err >= 0)
		err = l.tx = udp_socket(&l.src.host, &tx_port);
	if (err >= 0)
		err = hdr_len = build_packets(&l, tx_port);
	if (err >= 0) {
		prctl(PR_SET_TIMERSLACK, 1000);
		if (l.packet_len <= (size_t)hdr_len + overhead || l.burst * l.packet_len > MAX_DATAGRAM)
			err = -EMSGSIZE;
		else
			err = measure(&l, l.packet_len - hdr_len - overhead, seconds);
	}
	if (err < 0)
		fprintf(stderr, "router_load: %s\n", strerror(-err));
	atomic_store(&l.stop, true);
	pthread_join(thread, NULL);
	path_put(l.path);
	if (l.tx >= 0)
		close(l.tx);
	return err < 0;
}
