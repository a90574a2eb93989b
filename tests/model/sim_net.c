/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Sockets, TUN devices, and the network between the ends. A datagram goes the path that its bytes say and
 * is lost, doubled, late or overtaken as the schedule wants it.
 */
#include "tests/model/sim.h"

#include "shila/io/underlay.h"
#include "shila/wire/scmp.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define FIRST_FD 10000
#define MAX_FDS	 64
#define RX_BYTES 2048

struct packet {
	struct packet *next, *prev; /* on the way: of all; in a queue: of that */
	uv_timer_t timer;
	int to;			    /* end */
	uint16_t port;
	union sock_addr from;
	bool counted;
	size_t len;
	uint8_t bytes[];
};

struct sim_fd {
	bool used, is_tun;
	int end;
	uint16_t port;	     /* socket */
	uint8_t tun;
	unsigned int worker; /* TUN */
	struct packet *head, *tail;
	uv_poll_t *poll;
};

struct net net;

static struct sim_fd fds[MAX_FDS];
static struct packet *flying;
static unsigned int num_flying;
static bool alive[NUM_ENDS] = { true, true };

bool sim_fd_has(int fd);
void sim_fd_polled(int fd, uv_poll_t *p);
void sim_poll_ready(uv_poll_t *p);

const struct scion_addr *sim_addr(int end)
{
	static struct scion_addr addrs[NUM_ENDS];

	if (!addrs[0].host.len) {
		isd_as_parse("1-64512", &addrs[LEFT].ia);
		isd_as_parse("1-64513", &addrs[RIGHT].ia);
		ip_addr_parse("10.0.0.1", &addrs[LEFT].host);
		ip_addr_parse("10.1.0.1", &addrs[RIGHT].host);
	}
	return &addrs[end];
}

/* ---- descriptors ---- */

static struct sim_fd *fd_of(int fd)
{
	return fd >= FIRST_FD && fd < FIRST_FD + MAX_FDS && fds[fd - FIRST_FD].used ? &fds[fd - FIRST_FD] : NULL;
}

static int open_fd(const struct sim_fd *what)
{
	for (int i = 0; i < MAX_FDS; i++) {
		if (fds[i].used)
			continue;
		fds[i] = *what;
		fds[i].used = true;
		return FIRST_FD + i;
	}
	abort();
}

int sim_socket(int end, uint16_t port)
{
	return open_fd(&(struct sim_fd){ .end = end, .port = port });
}

int sim_tun(int end, uint8_t tun, unsigned int worker)
{
	return open_fd(&(struct sim_fd){ .end = end, .is_tun = true, .tun = tun, .worker = worker });
}

static struct packet *pop(struct sim_fd *f)
{
	struct packet *p = f->head;

	if (p) {
		f->head = p->next;
		if (!f->head)
			f->tail = NULL;
	}
	return p;
}

void sim_close_all(int end)
{
	for (int i = 0; i < MAX_FDS; i++) {
		if (!fds[i].used || fds[i].end != end)
			continue;
		for (struct packet *p; (p = pop(&fds[i]));)
			free(p);
		fds[i].used = false;
	}
}

bool sim_fd_has(int fd)
{
	const struct sim_fd *f = fd_of(fd);

	return f && f->head;
}

void sim_fd_polled(int fd, uv_poll_t *p)
{
	struct sim_fd *f = fd_of(fd);

	if (f)
		f->poll = p;
}

void sim_readable(int fd)
{
	struct sim_fd *f = fd_of(fd);

	if (f && f->poll && f->head)
		sim_poll_ready(f->poll);
}

static void push(struct sim_fd *f, struct packet *p)
{
	p->next = NULL;
	if (f->tail)
		f->tail->next = p;
	else
		f->head = p;
	f->tail = p;
	sim_readable(FIRST_FD + (int)(f - fds));
}

static struct packet *packet_new(size_t len)
{
	struct packet *p = malloc(sizeof(*p) + len);

	if (!p)
		abort();
	memset(p, 0, sizeof(*p));
	p->len = len;
	return p;
}

/* ---- what the daemon calls ---- */

ssize_t __real_read(int fd, void *buf, size_t len);
ssize_t __wrap_read(int fd, void *buf, size_t len);
ssize_t __wrap_read(int fd, void *buf, size_t len)
{
	struct sim_fd *f = fd_of(fd);
	struct packet *p;
	size_t n;

	if (!f)
		return __real_read(fd, buf, len);
	p = pop(f);
	if (!p) {
		errno = EAGAIN;
		return -1;
	}
	n = p->len < len ? p->len : len;
	memcpy(buf, p->bytes, n);
	free(p);
	return (ssize_t)n;
}

ssize_t __real_writev(int fd, const struct iovec *iov, int n);
ssize_t __wrap_writev(int fd, const struct iovec *iov, int n);
ssize_t __wrap_writev(int fd, const struct iovec *iov, int n)
{
	static uint8_t buf[70000];
	struct sim_fd *f = fd_of(fd);
	struct vnet_hdr vnet;
	size_t len = 0;

	if (!f)
		return __real_writev(fd, iov, n);
	for (int i = 0; i < n; i++) {
		if (len + iov[i].iov_len > sizeof(buf)) {
			errno = EINVAL;
			return -1;
		}
		memcpy(buf + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	memcpy(&vnet, buf, sizeof(vnet));
	kernel_packet(f->end, f->tun, &vnet, buf + TRAIN_VNET_HDR_LEN, len - TRAIN_VNET_HDR_LEN);
	return (ssize_t)len;
}

int __real_poll(struct pollfd *p, nfds_t n, int timeout);
int __wrap_poll(struct pollfd *p, nfds_t n, int timeout);
int __wrap_poll(struct pollfd *p, nfds_t n, int timeout)
{
	if (n != 1 || !fd_of(p->fd))
		return __real_poll(p, n, timeout);
	p->revents = sim_fd_has(p->fd) ? POLLIN : 0;
	return p->revents != 0;
}

static void taken(const struct sim_fd *f, const uint8_t *bytes, size_t len)
{
	struct scion_pkt pkt;
	struct scion_udp udp;

	if (!scion_parse(bytes, len, &pkt) && pkt.l4_proto == SCION_L4_UDP && !scion_udp_parse(&pkt, &udp))
		watch_got(f->end, &pkt, &udp);
}

int underlay_rx_init(struct underlay_rx *rx)
{
	memset(rx, 0, sizeof(*rx));
	rx->bytes = malloc((size_t)UNDERLAY_RX_BUFFERS * RX_BYTES);
	return rx->bytes ? 0 : -ENOMEM;
}

void underlay_rx_fini(struct underlay_rx *rx)
{
	free(rx->bytes);
	rx->bytes = NULL;
}

int underlay_twin(int fd)
{
	(void)fd;
	return -EOPNOTSUPP;
}

int underlay_recv(int fd, struct underlay_rx *rx, unsigned int most)
{
	struct sim_fd *f = fd_of(fd);
	int n = 0;

	for (struct packet *p; n < (int)most && (p = pop(f)); n++) {
		rx->iov[n] = (struct iovec){ rx->bytes + (size_t)n * RX_BYTES, RX_BYTES };
		memcpy(rx->iov[n].iov_base, p->bytes, p->len);
		rx->msgs[n].msg_hdr.msg_iov = &rx->iov[n];
		rx->msgs[n].msg_len = (unsigned int)p->len;
		rx->from[n] = p->from;
		taken(f, p->bytes, p->len);
		free(p);
	}
	return n;
}

size_t underlay_rx_segment(const struct underlay_rx *rx, unsigned int i)
{
	return rx->msgs[i].msg_len;
}

/* ---- on the way ---- */

static void arrive(uv_timer_t *t)
{
	struct packet *p = t->data;
	struct sim_fd *to = NULL;

	if (p->next)
		p->next->prev = p->prev;
	if (p->prev)
		p->prev->next = p->next;
	else
		flying = p->next;
	num_flying--;
	sim_timer_fini(t);
	for (int i = 0; i < MAX_FDS; i++)
		if (fds[i].used && !fds[i].is_tun && fds[i].end == p->to && fds[i].port == p->port)
			to = &fds[i];
	if (to && alive[p->to])
		push(to, p);
	else
		free(p); /* nobody is there */
}

static void fly(int to, uint16_t port, const union sock_addr *from, const uint8_t *bytes, size_t len, uint64_t us)
{
	struct packet *p = packet_new(len);

	memcpy(p->bytes, bytes, len);
	p->to = to;
	p->port = port;
	p->from = *from;
	p->next = flying;
	if (flying)
		flying->prev = p;
	flying = p;
	num_flying++;
	uv_timer_init(sim_world(), &p->timer);
	p->timer.data = p;
	sim_timer_us(&p->timer, arrive, us);
}

unsigned int net_in_flight(void)
{
	return num_flying;
}

void net_forget(void)
{
	while (flying) {
		struct packet *p = flying;

		flying = p->next;
		sim_timer_fini(&p->timer);
		free(p);
	}
	num_flying = 0;
}

void net_reset(void)
{
	memset(&net, 0, sizeof(net));
	net.fair = true;
	sim_paths_reset();
}

bool sim_net_alive(int end)
{
	return alive[end];
}

void sim_net_set_alive(int end, bool on)
{
	alive[end] = on;
}

/* A router of the sender's AS says what was wrong with its packet. */
static void tell_sender(int end, uint16_t port, int path, uint8_t type, uint8_t code, const uint8_t *bytes, size_t len)
{
	struct ip_addr router = { .len = 4, .b = { 10, (uint8_t)end, 0, (uint8_t)(100 + path) } };
	union sock_addr from = sock_addr_make(&router, 50000);
	struct scion_hdr h = { .flow_id = 1, .dst = *sim_addr(end), .src = { sim_addr(end)->ia, router } };
	uint16_t ifids[8];
	struct scion_pkt pkt;
	struct scmp_msg m = { .type = type, .code = code, .ia = sim_addr(end)->ia, .data = bytes, .len = len };
	uint8_t out[2048];
	int n;

	if (scion_parse_quote(bytes, len, &pkt) < 0 || scion_path_interfaces(pkt.path, pkt.path_len, ifids, 8) < 1)
		return;
	m.egress = ifids[0];
	n = scmp_build(out, 1232, &h, &m);
	if (n > 0)
		fly(end, port, &from, out, (size_t)n, 500);
}

/* A traceroute request: the router at the far end of the path answers, if the path works. Return: false, it is none. */
static bool ask_last_router(struct sim_fd *f, const uint8_t *bytes, size_t len)
{
	struct ip_addr near = { .len = 4, .b = { 10, (uint8_t)f->end, 0, 100 } }, far = { .len = 4, .b = { 10, (uint8_t)!f->end, 0, 1 } };
	struct scmp_msg m = { .type = SCMP_TRACEROUTE_REPLY, .ia = sim_addr(!f->end)->ia };
	uint8_t request[2048], out[256];
	struct scion_hdr h;
	struct scion_pkt pkt;
	union sock_addr from;
	uint16_t ifids[8];
	uint8_t *last;
	int dir = f->end, path, n;

	if (len > sizeof(request))
		return false;
	memcpy(request, bytes, len);
	if (scion_parse_quote(request, len, &pkt) < 0 || pkt.l4_proto != SCION_L4_SCMP || pkt.l4_len != 24 ||
	    pkt.l4[0] != SCMP_TRACEROUTE_REQUEST)
		return false;
	last = request + (pkt.path - request) + pkt.path_len - 12;
	if (!*last)
		return false; /* nobody is asked */
	*last = 0;
	m.id = get_be16(pkt.l4 + 4);
	m.seq = get_be16(pkt.l4 + 6);
	path = sim_path_find(pkt.path, pkt.path_len, &dir);
	n = scion_path_interfaces(pkt.path, pkt.path_len, ifids, 8);
	if (path < 0 || dir != f->end || n < 1 || m.id != f->port)
		return false;
	if (sim_paths[path].down[0] || sim_paths[path].down[1] || sim_path_expired(pkt.path, pkt.path_len, path))
		return true;
	m.ingress = ifids[n - 1];
	h = (struct scion_hdr){ .flow_id = pkt.flow_id, .dst = *sim_addr(f->end), .src = { sim_addr(!f->end)->ia, far } };
	n = scmp_build(out, sizeof(out), &h, &m);
	near.b[3] = (uint8_t)(100 + path);
	from = sock_addr_make(&near, 50000);
	if (n > 0)
		fly(f->end, f->port, &from, out, (size_t)n, 2 * sim_paths[path].delay_us);
	return true;
}

static void choose_fate(int from, uint8_t type, struct fate *fate)
{
	struct rng *r = &sim_rng;

	if (net.drop_first[type] && type < 16) {
		net.drop_first[type]--;
		fate->copies = 0;
		return;
	}
	if (rng_permille(r, net.loss)) {
		fate->copies = 0;
		return;
	}
	if (rng_permille(r, net.dup))
		fate->copies = 2;
	for (unsigned int i = 0; i < fate->copies; i++) {
		if (net.jitter_us)
			fate->delay_us[i] += rng_next(r) % net.jitter_us;
		if (rng_permille(r, net.late))
			fate->delay_us[i] += rng_next(r) % net.late_us;
		if (net.delay_first[type] && !i) {
			net.delay_first[type]--;
			fate->delay_us[i] += net.late_us ? rng_next(r) % net.late_us : 300 * MS;
		}
	}
	(void)from;
}

static void forward(struct sim_fd *f, const union sock_addr *to, const uint8_t *bytes, size_t len)
{
	int dir = f->end, path;
	struct scion_pkt pkt;
	struct scion_udp udp;
	struct scion_path_meta meta;
	struct fate fate = { .copies = 1 };
	struct ip_addr router, hop = sock_addr_ip(to);
	union sock_addr from;
	uint8_t type, copy[2048];

	if (!alive[f->end] || ask_last_router(f, bytes, len))
		return;
	if (scion_parse_quote(bytes, len, &pkt) < 0 || pkt.l4_proto != SCION_L4_UDP || scion_udp_parse(&pkt, &udp) < 0 ||
	    len > sizeof(copy)) {
		sim_fail("a packet that is none was sent");
		return;
	}
	path = sim_path_find(pkt.path, pkt.path_len, &dir);
	if (path < 0 || dir != f->end || pkt.dst_ia.v != sim_addr(!f->end)->ia.v ||
	    pkt.src_ia.v != sim_addr(f->end)->ia.v) {
		sim_fail("a packet with a path that is none was sent");
		return;
	}
	if (hop.b[3] != 100 + path || hop.b[1] != f->end) {
		sim_fail("a packet of path %d was sent to another path's router", path);
		return;
	}
	if (len > sim_paths[path].mtu) {
		sim_fail("%zu bytes for a path of %u", len, sim_paths[path].mtu);
		return;
	}
	if (udp.src_port != f->port)
		sim_fail("a packet with source port %u left from port %u", udp.src_port, f->port);
	watch_sent(f->end, &pkt, &udp);
	type = udp.len ? udp.data[0] & 0xf : 0;
	fate.delay_us[0] = fate.delay_us[1] = sim_paths[path].delay_us;
	if (sim_path_expired(pkt.path, pkt.path_len, path)) {
		sim_trace("   router: path %d has expired", path);
		tell_sender(f->end, f->port, path, SCMP_PARAMETER_PROBLEM, SCMP_CODE_PATH_EXPIRED, bytes, len);
		return;
	}
	if (sim_paths[path].down[f->end]) {
		sim_trace("   lost: path %d is down", path);
		if (sim_paths[path].tells)
			tell_sender(f->end, f->port, path, SCMP_EXT_IF_DOWN, 0, bytes, len);
		return;
	}
	if (!net.fair && (!net.decide || !net.decide(f->end, type, &fate)))
		choose_fate(f->end, type, &fate);
	router = (struct ip_addr){ .len = 4, .b = { 10, (uint8_t)!f->end, 0, (uint8_t)(100 + path) } };
	from = sock_addr_make(&router, 50000);
	memcpy(copy, bytes, len);
	scion_path_check(pkt.path, pkt.path_len, &meta);
	copy[pkt.path - bytes] = (uint8_t)((meta.num_inf - 1) << 6 | (meta.num_hf - 1)); /* at its last hop */
	if (!fate.copies)
		sim_trace("   %s lost", watch_type(type));
	for (unsigned int i = 0; i < fate.copies; i++) {
		sim_trace("   %s arrives in %.1f ms%s", watch_type(type), (double)fate.delay_us[i] / 1000, i ? ", too" : "");
		fly(!f->end, udp.dst_port, &from, copy, len, fate.delay_us[i]);
	}
}

enum verdict underlay_sendto(int fd, const union sock_addr *to, const void *p, size_t len)
{
	forward(fd_of(fd), to, p, len);
	return VERDICT_PASS;
}

void underlay_send(int fd, const struct underlay_msg *msgs, unsigned int n, uint64_t *verdicts)
{
	uint8_t buf[65536];

	(void)verdicts;
	for (unsigned int i = 0; i < n; i++) {
		size_t len = 0, seg;

		for (uint32_t k = 0; k < msgs[i].num_iov; k++) {
			memcpy(buf + len, msgs[i].iov[k].iov_base, msgs[i].iov[k].iov_len);
			len += msgs[i].iov[k].iov_len;
		}
		seg = msgs[i].num_segs > 1 ? msgs[i].seg_bytes : len;
		for (size_t at = 0; at < len; at += seg)
			forward(fd_of(fd), msgs[i].to, buf + at, len - at < seg ? len - at : seg);
	}
}

void sim_tun_give(int end, uint8_t tun, unsigned int worker, const struct vnet_hdr *vnet, const uint8_t *pkt,
		  size_t len)
{
	for (int i = 0; i < MAX_FDS; i++) {
		struct packet *p;

		if (!fds[i].used || !fds[i].is_tun || fds[i].end != end || fds[i].tun != tun || fds[i].worker != worker)
			continue;
		p = packet_new(TRAIN_VNET_HDR_LEN + len);
		memcpy(p->bytes, vnet, TRAIN_VNET_HDR_LEN);
		memcpy(p->bytes + TRAIN_VNET_HDR_LEN, pkt, len);
		push(&fds[i], p);
		return;
	}
}
