/* SPDX-License-Identifier: Apache-2.0 */
#include "scripts/emulator/routers.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/*
 * A train that the kernel has merged on a socket (UDP_GRO) leaves as one (UDP_SEGMENT), so a packet costs a fraction of
 * a system call. Where the link is in this process, the train itself is handed on: what comes out of the lane goes to
 * the next router before anything else happens, unless the link holds it back.
 */

enum { TRAINS_AT_ONCE = 32, SOCKET_BUFFER = 16 << 20 };
enum { IPV4_UDP = 28, IPV6_UDP = 48 };

#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

static void on_readable(struct loop_source *source, uint64_t now_ns);

static int64_t unix_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
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

		p->hello = HELLO_DOWN;
		if (p->end)
			continue;
		p->source = (struct loop_source){ .fd = open_socket(p), .readable = on_readable };
		err = p->source.fd < 0 ? p->source.fd : loop_add(rs->loop, &p->source);
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

void node_close(struct node *n)
{
	for (unsigned int i = 0; i < n->num_gates; i++) {
		struct gate *p = &n->gates[i];

		if (p->source.fd >= 0) {
			loop_remove(n->routers->loop, &p->source);
			close(p->source.fd);
		}
		p->source.fd = -1;
		if (p->id != ROUTER_INTERNAL)
			gate_interface(p)->up = !p->bfd;
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
	return sendmsg(p->source.fd, &msg, MSG_NOSIGNAL) >= 0;
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

static unsigned int packets_of(size_t len, size_t seg_len)
{
	return seg_len < len ? (unsigned int)((len + seg_len - 1) / seg_len) : 1;
}

static bool send_by_socket(struct gate *p, const union sock_addr *to, const uint8_t *data, size_t len, size_t seg_len)
{
	unsigned int count = packets_of(len, seg_len);

	if (p->source.fd < 0)
		return false;
	if (send_train(p, to, data, len, seg_len)) {
		p->tx_packets += count;
		p->tx_bytes += len;
		return true;
	}
	if (count == 1 || (errno != EINVAL && errno != EMSGSIZE && errno != EIO)) {
		p->tx_failed += count;
		return false;
	}
	/* More than a device takes as a whole is cut into fragments one by one, as with the real ones. */
	for (size_t at = 0, n; at < len; at += n) {
		n = len - at < seg_len ? len - at : seg_len;
		send_by_socket(p, to, data + at, n, n);
	}
	return true;
}

/* @out is given to the link; what is at its @data is the payload of @seg_len bytes a packet. */
static void send_by_link(struct gate *p, struct parcel *out, size_t len, size_t seg_len)
{
	uint64_t now_ns = loop_now();

	p->tx_packets += packets_of(len, seg_len);
	p->tx_bytes += len;
	out->len = (uint32_t)len;
	out->seg = seg_len < len ? (uint16_t)seg_len : 0;
	out->counted = p->local.sa.sa_family == AF_INET ? IPV4_UDP : IPV6_UDP;
	out->overhead = PORT_ETHERNET + out->counted;
	loop_send(&p->end->lane, out, now_ns);
	loop_drain(&p->end->lane, now_ns);
}

static bool copy_to_link(struct gate *p, const uint8_t *data, size_t len, size_t seg_len)
{
	struct parcel *out = parcel_get(p->node->routers->pool, (uint32_t)len);

	if (!out) {
		p->tx_failed += packets_of(len, seg_len);
		return false;
	}
	memcpy(out->data, data, len);
	send_by_link(p, out, len, seg_len);
	return true;
}

bool gate_send(struct gate *p, const union sock_addr *to, const uint8_t *data, size_t len, size_t seg_len)
{
	return p->end ? copy_to_link(p, data, len, seg_len) : send_by_socket(p, to, data, len, seg_len);
}

/* A train on its way through a router. */
struct passage {
	struct gate *from;
	struct parcel *parcel; /* NULL: given to a link */
};

static void forward(struct passage *t, struct gate *p, const uint8_t *data, size_t len, size_t seg_len)
{
	struct parcel *whole = t->parcel;

	if (p->end && data == whole->data && len == whole->len) {
		t->parcel = NULL;
		send_by_link(p, whole, len, seg_len);
	} else {
		gate_send(p, NULL, data, len, seg_len);
	}
}

static void emit(void *ctx, const struct router_result *res, const uint8_t *data, size_t len, size_t seg_len,
		 unsigned int count)
{
	struct passage *t = ctx;
	struct gate *from = t->from;
	struct node *n = from->node;

	switch (res->verdict) {
	case ROUTER_FORWARD:
		for (unsigned int i = 1; i < n->num_gates; i++)
			if (n->gates[i].id == res->egress)
				forward(t, &n->gates[i], data, len, seg_len);
		break;
	case ROUTER_DELIVER:
		gate_send(&n->gates[0], &res->to, data, len, seg_len);
		break;
	case ROUTER_ANSWER:
		n->answers += count;
		gate_send(from, from->id == ROUTER_INTERNAL ? &from->from : NULL, data, len, seg_len);
		break;
	case ROUTER_DROP:
		n->drops[res->drop] += count;
		break;
	}
}

/* ---- receiving ---- */

/* What has come in by @from; takes @p. */
static void handle(struct gate *from, struct parcel *p)
{
	struct passage t = { from, p };
	size_t seg_len = p->seg ? p->seg : p->len;

	from->rx_packets += packets_of(p->len, seg_len);
	if (from->id != ROUTER_INTERNAL)
		p->len -= (uint32_t)gate_take_hello(from, p->data, p->len, seg_len);
	if (p->len)
		router_train(&from->node->router, p->data, p->len, seg_len, from->id, unix_ns(), emit, &t);
	if (t.parcel)
		parcel_put(from->node->routers->pool, t.parcel);
}

static void take(void *taker, struct parcel *p, uint64_t now_ns)
{
	struct gate *to = taker;

	(void)now_ns;
	if (to->node->open)
		handle(to, p);
	else
		parcel_put(to->node->routers->pool, p);
}

int routers_attach(void *ctx, const json_t *config, struct network_end *end)
{
	const char *text = json_string_value(json_object_get(config, "isd_as"));
	json_int_t id = json_integer_value(json_object_get(config, "interface"));
	struct routers *rs = ctx;
	struct isd_as ia;

	if (!text || isd_as_parse(text, &ia))
		return -EINVAL;
	for (unsigned int i = 0; i < rs->num; i++) {
		struct node *n = rs->nodes[i];

		for (unsigned int j = 1; n->router.ia.v == ia.v && j < n->num_gates; j++) {
			if (n->gates[j].id != id || n->gates[j].end)
				continue;
			n->gates[j].end = end;
			end->take = take;
			end->taker = &n->gates[j];
			return 0;
		}
	}
	return -ENOENT;
}

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

/* Return: 0, -EAGAIN when there is no more, or what is to be tried again. */
static int receive(struct gate *from, struct parcel *p)
{
	uint8_t control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { .iov_base = p->data, .iov_len = p->room };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_name = &from->from,
		.msg_namelen = sizeof(from->from),
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(from->source.fd, &msg, 0);
	size_t seg_len;

	if (n < 0)
		return -errno;
	if (!n)
		return -EINTR; /* a datagram of nothing */
	seg_len = gso_size(&msg);
	p->len = (uint32_t)n;
	p->seg = seg_len && seg_len < (size_t)n ? (uint16_t)seg_len : 0;
	return 0;
}

static void on_readable(struct loop_source *source, uint64_t now_ns)
{
	struct gate *from = (struct gate *)((char *)source - offsetof(struct gate, source));
	struct parcel_pool *pool = from->node->routers->pool;
	static uint8_t sink[PARCEL_MAX_BYTES];

	(void)now_ns;
	for (int i = 0; i < TRAINS_AT_ONCE && source->fd >= 0; i++) {
		struct parcel *p = parcel_get(pool, PARCEL_MAX_BYTES);
		struct parcel lost = { .data = sink, .room = sizeof(sink) };
		int err = receive(from, p ? p : &lost);

		if (!err && p) {
			handle(from, p);
			continue;
		}
		if (!err)
			from->tx_failed += packets_of(lost.len, lost.seg ? lost.seg : lost.len);
		if (p)
			parcel_put(pool, p);
		if (err != -ECONNREFUSED && err != -EINTR)
			return;
	}
}
