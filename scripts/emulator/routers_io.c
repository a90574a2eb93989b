/* SPDX-License-Identifier: Apache-2.0 */
#include "scripts/emulator/routers.h"

#include "shila/base/bytes.h"
#include "shila/wire/scion.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/*
 * A train that the kernel has merged on a socket (UDP_GRO) leaves as one (UDP_SEGMENT), so a packet
 * costs a fraction of a system call.
 *
 * Whether a link lives is found out as with BFD: each end says what it hears, so a link that is dead
 * in one direction is down at both ends.
 */

enum { TRAIN_LEN = 65536, TRAINS_AT_ONCE = 32, SOCKET_BUFFER = 16 << 20 };
enum { L4_BFD = 203, BFD_LEN = 24 };

#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

static int64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* ---- sockets ---- */

static int open_socket(const struct gate *p)
{
	int one = 1, size = SOCKET_BUFFER, err;
	int fd = socket(p->local.sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	if (setsockopt(fd, IPPROTO_UDP, UDP_GRO, &one, sizeof(one)) ||
	    bind(fd, &p->local.sa, sock_addr_len(&p->local)) ||
	    (p->id != ROUTER_INTERNAL && connect(fd, &p->remote.sa, sock_addr_len(&p->remote)))) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static int enter(const char *netns)
{
	char path[4096];
	int fd, err = 0;

	snprintf(path, sizeof(path), "%s%s", netns[0] == '/' ? "" : "/run/netns/", netns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (setns(fd, CLONE_NEWNET))
		err = -errno;
	close(fd);
	return err;
}

int node_open(struct routers *rs, struct node *n)
{
	char ia[ISD_AS_STRLEN];
	int err = enter(n->netns);

	for (unsigned int i = 0; !err && i < n->num_gates; i++) {
		struct gate *p = &n->gates[i];
		struct epoll_event ev = { .events = EPOLLIN, .data.ptr = p };

		p->fd = open_socket(p);
		p->hello = HELLO_DOWN;
		if (p->fd < 0)
			err = p->fd;
		else if (epoll_ctl(rs->epoll, EPOLL_CTL_ADD, p->fd, &ev))
			err = -errno;
	}
	if (setns(rs->home, CLONE_NEWNET) && !err)
		err = -errno;
	n->open = true;
	if (err) {
		fprintf(stderr, "router %s in %s: %s\n", isd_as_str(n->router.ia, ia), n->netns, strerror(-err));
		node_close(n);
	}
	return err;
}

static struct router_interface *interface_of(struct gate *p)
{
	return (struct router_interface *)router_interface(&p->node->router, p->id);
}

void node_close(struct node *n)
{
	for (unsigned int i = 0; i < n->num_gates; i++) {
		struct gate *p = &n->gates[i];

		if (p->fd >= 0)
			close(p->fd); /* which takes it out of epoll, too */
		p->fd = -1;
		if (p->id != ROUTER_INTERNAL)
			interface_of(p)->up = !p->bfd;
	}
	n->open = false;
}

/* ---- sending ---- */

static bool send_once(const struct gate *p, const union sock_addr *to, const uint8_t *data, size_t len, size_t seg_len)
{
	union {
		struct cmsghdr head;
		uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (to) {
		msg.msg_name = (void *)&to->sa;
		msg.msg_namelen = sock_addr_len(to);
	}
	if (seg_len < len) {
		uint16_t gso = (uint16_t)seg_len;

		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		control.head.cmsg_level = IPPROTO_UDP;
		control.head.cmsg_type = UDP_SEGMENT;
		control.head.cmsg_len = CMSG_LEN(sizeof(gso));
		memcpy(CMSG_DATA(&control.head), &gso, sizeof(gso));
	}
	return sendmsg(p->fd, &msg, MSG_NOSIGNAL) >= 0;
}

/*
 * A socket may first give back what an earlier packet met (ICMP port unreachable); then this one has
 * not been sent.
 */
static bool send_train(const struct gate *p, const union sock_addr *to, const uint8_t *data, size_t len, size_t seg_len)
{
	return send_once(p, to, data, len, seg_len) ||
	       ((errno == ECONNREFUSED || errno == EHOSTUNREACH) && send_once(p, to, data, len, seg_len));
}

static void gate_send(struct gate *p, const union sock_addr *to, const uint8_t *data, size_t len, size_t seg_len,
		      unsigned int count)
{
	if (p->fd < 0)
		return;
	if (send_train(p, to, data, len, seg_len)) {
		p->tx_packets += count;
		p->tx_bytes += len;
		return;
	}
	if (count == 1 || (errno != EINVAL && errno != EMSGSIZE && errno != EIO)) {
		p->tx_failed += count;
		return;
	}
	/* More than a device takes as a whole is cut into fragments one by one, as with the real ones. */
	for (size_t at = 0, n; at < len; at += n) {
		n = len - at < seg_len ? len - at : seg_len;
		gate_send(p, to, data + at, n, n, 1);
	}
}

static void emit(void *ctx, const struct router_result *res, const uint8_t *data, size_t len, size_t seg_len,
		 unsigned int count)
{
	struct gate *from = ctx;
	struct node *n = from->node;

	switch (res->verdict) {
	case ROUTER_FORWARD:
		for (unsigned int i = 1; i < n->num_gates; i++)
			if (n->gates[i].id == res->egress)
				gate_send(&n->gates[i], NULL, data, len, seg_len, count);
		break;
	case ROUTER_DELIVER:
		gate_send(&n->gates[0], &res->to, data, len, seg_len, count);
		break;
	case ROUTER_ANSWER:
		n->answers += count;
		gate_send(from, from->id == ROUTER_INTERNAL ? &from->from : NULL, data, len, seg_len, count);
		break;
	case ROUTER_DROP:
		n->drops[res->drop] += count;
		break;
	}
}

/* ---- hello ---- */

static size_t build_hello(const struct gate *p, uint8_t *buf)
{
	struct ip_addr local = sock_addr_ip(&p->local), remote = sock_addr_ip(&p->remote);
	struct scion_hdr h = {
		.flow_id = 1,
		.dst = { p->neighbour, remote },
		.src = { p->node->router.ia, local },
		.next_hdr = L4_BFD,
		.payload_len = BFD_LEN,
	};
	struct wr w = wr_init(buf, 128);
	size_t n = (size_t)scion_build_hdr(&w, &h);

	memset(buf + n, 0, BFD_LEN);
	buf[n] = 1 << 5; /* version */
	buf[n + 1] = (uint8_t)(p->hello << 6);
	buf[n + 2] = HELLO_TIMEOUT_MS / HELLO_INTERVAL_MS;
	buf[n + 3] = BFD_LEN;
	put_be16(buf + n + 6, p->id); /* my discriminator */
	put_be32(buf + n + 12, HELLO_INTERVAL_MS * 1000);
	put_be32(buf + n + 16, HELLO_INTERVAL_MS * 1000);
	return n + BFD_LEN;
}

static bool is_hello(const uint8_t *p, size_t len)
{
	return len >= 12 + BFD_LEN && p[4] == L4_BFD && p[8] == SCION_PATH_EMPTY && p[5] * 4u + BFD_LEN == len;
}

static void set_hello(struct gate *p, enum hello_state state)
{
	p->hello = state;
	interface_of(p)->up = state == HELLO_UP;
}

static void got_hello(struct gate *p, const uint8_t *data)
{
	enum hello_state theirs = data[data[5] * 4u + 1] >> 6;

	if (!p->bfd)
		return;
	p->heard_ms = clock_ns(CLOCK_MONOTONIC) / 1000000;
	if (p->hello == HELLO_DOWN && theirs == HELLO_DOWN)
		set_hello(p, HELLO_INIT);
	else if (p->hello != HELLO_UP && (theirs == HELLO_INIT || (theirs == HELLO_UP && p->hello == HELLO_INIT)))
		set_hello(p, HELLO_UP);
	else if (p->hello == HELLO_UP && theirs == HELLO_DOWN)
		set_hello(p, HELLO_DOWN);
}

void routers_hello(struct routers *rs, int64_t now_ms, bool send)
{
	uint8_t buf[128];

	for (unsigned int i = 0; i < rs->num; i++) {
		struct node *n = rs->nodes[i];

		for (unsigned int j = 1; n->open && j < n->num_gates; j++) {
			struct gate *p = &n->gates[j];

			if (!p->bfd)
				continue;
			if (p->hello != HELLO_DOWN && now_ms - p->heard_ms > HELLO_TIMEOUT_MS)
				set_hello(p, HELLO_DOWN);
			if (send)
				send_train(p, NULL, buf, build_hello(p, buf), sizeof(buf));
		}
	}
}

/* ---- receiving ---- */

static size_t gso_size(struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
			int n;

			memcpy(&n, CMSG_DATA(c), sizeof(n));
			return n > 0 ? (size_t)n : 0;
		}
	}
	return 0;
}

/* A hello that follows a train closely is merged with it, as its last and shorter packet. Return: its length */
static size_t take_hello(struct gate *p, const uint8_t *buf, size_t len, size_t seg_len)
{
	size_t last = len % seg_len ? len % seg_len : seg_len;

	if (!is_hello(buf + len - last, last))
		return 0;
	got_hello(p, buf + len - last);
	return last;
}

void gate_readable(struct gate *p)
{
	static uint8_t buf[TRAIN_LEN]; /* one thread */
	int64_t now_ns = clock_ns(CLOCK_REALTIME);

	for (int i = 0; i < TRAINS_AT_ONCE && p->fd >= 0; i++) {
		uint8_t control[CMSG_SPACE(sizeof(int))];
		struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
		struct msghdr msg = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_name = &p->from,
			.msg_namelen = sizeof(p->from),
			.msg_control = control,
			.msg_controllen = sizeof(control),
		};
		ssize_t n = recvmsg(p->fd, &msg, 0);
		size_t seg_len;

		if (n < 0 && (errno == ECONNREFUSED || errno == EINTR))
			continue;
		if (n <= 0)
			return;
		seg_len = gso_size(&msg);
		if (!seg_len)
			seg_len = (size_t)n;
		p->rx_packets += ((size_t)n + seg_len - 1) / seg_len;
		if (p->id != ROUTER_INTERNAL)
			n -= (ssize_t)take_hello(p, buf, (size_t)n, seg_len);
		if (n)
			router_train(&p->node->router, buf, (size_t)n, seg_len, p->id, now_ns, emit, p);
	}
}
