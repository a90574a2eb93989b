/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_TESTS_UNIT_CONTROL_ENDS_H
#define SHILA_TESTS_UNIT_CONTROL_ENDS_H

/*
 * Two control threads' worth of shila in one process: real workers, real UDP on loopback (empty path, one AS),
 * sockets that keep message borders in place of TUN devices, and a path source that answers at once.
 */
#include "shila/control/control.h"

#include "shila/io/underlay.h"
#include "tests/unit/check.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static uv_loop_t loop;

/* ---- a path source: the empty path to everybody ---- */

struct path_source {
	int dummy;
};

int path_source_open(uv_loop_t *l, const union sock_addr *daemon, struct path_source **out)
{
	(void)l;
	(void)daemon;
	(void)out;
	return -ENOSYS;
}

void path_source_close(struct path_source *ps, void (*done)(void *ctx), void *ctx)
{
	(void)ps;
	(void)done;
	(void)ctx;
}

int path_source_local_as(struct path_source *ps, path_source_as_cb cb, void *ctx)
{
	(void)ps;
	(void)cb;
	(void)ctx;
	return -ENOSYS;
}

struct request {
	uv_timer_t timer;
	path_source_paths_cb cb;
	void *ctx;
	struct isd_as dst;
};

static void free_request(uv_handle_t *h)
{
	free(h->data);
}

static void answer(uv_timer_t *t)
{
	struct request *r = t->data;
	static int64_t later; /* each answer has paths that live longer than those of the one before */
	struct path *p = path_new(NULL, 0, NULL, 0);

	if (p) {
		p->dst_ia = r->dst;
		p->mtu_bytes = 1472;
		p->expiry_unix_s = INT64_MAX - 1000000 + later++;
		r->cb(r->ctx, 0, NULL, &p, 1);
	} else {
		r->cb(r->ctx, -ENOMEM, "no memory", NULL, 0);
	}
	uv_close((uv_handle_t *)t, free_request);
}

int path_source_paths(struct path_source *ps, struct isd_as dst, bool refresh, path_source_paths_cb cb, void *ctx)
{
	struct request *r = calloc(1, sizeof(*r));

	(void)ps;
	(void)refresh;
	if (!r)
		return -ENOMEM;
	*r = (struct request){ .cb = cb, .ctx = ctx, .dst = dst };
	uv_timer_init(&loop, &r->timer);
	r->timer.data = r;
	return uv_timer_start(&r->timer, answer, 1, 0);
}

void path_source_interface_down(struct path_source *ps, struct isd_as ia, uint64_t ifid)
{
	(void)ps;
	(void)ia;
	(void)ifid;
}

uint64_t path_source_rejected(const struct path_source *ps)
{
	(void)ps;
	return 0;
}

/* ---- one end ---- */

struct end {
	struct config *cfg;
	struct control *c;
	int kernel[2];		     /* our side of the ingress and the egress TUN */
	int fds[2][CONFIG_MAX_WORKERS]; /* shila's side */
	struct control_setup s;
};

static struct end left, right;

/* Addresses of this run alone: the ports are fixed, and somebody else may run these tests at the same time. */
static void loopback(char *text, size_t size, int n)
{
	unsigned int pid = (unsigned int)getpid();

	snprintf(text, size, "127.%u.%u.%d", 1 + pid / 256 % 250, pid % 256, n);
}

/* All but the control thread itself. */
static void end_prepare(struct end *e, int n)
{
	static const char *const yaml =
		"version: 1\ncontact: {port: %d}\n"
		"egress: {namespace: e%d, interfaces: 1, addresses: [10.7.%d.0/24]}\n"
		"ingress: {namespace: i%d, address: 10.70.%d.1, pool: 10.64.0.0/16, serve: [tcp/80, udp/53]}\n"
		"routes: [{to: 10.70.%d.0/24, via: \"[1-64512,%s]:%d\"}]\n";
	struct config_messages msgs = { 0 };
	char text[1024], ip[32], other[32];
	uint16_t contact = (uint16_t)(41000 + n);
	int pair[2];

	loopback(other, sizeof(other), 3 - n);
	snprintf(text, sizeof(text), yaml, contact, n, n, n, n, 3 - n, other, 41000 + 3 - n);
	CHECK("the configuration is right", !config_parse(text, strlen(text), NULL, &e->cfg, &msgs));
	config_messages_free(&msgs);
	loopback(ip, sizeof(ip), n);
	e->s = (struct control_setup){
		.loop = &loop, .cfg = e->cfg, .num_workers = 1, .num_tuns = 2, .tun_fds = e->fds, .boot_id = (uint64_t)n,
	};
	isd_as_parse("1-64512", &e->s.local.ia);
	ip_addr_parse(ip, &e->s.local.host);
	e->s.as.ia = e->s.local.ia;
	e->s.as.mtu_bytes = 1472;
	e->s.worker_fds[0] = underlay_open(&e->s.local.host, &e->s.worker_ports[0], 41100, 41199);
	e->s.contact_fd = underlay_open(&e->s.local.host, &contact, 0, 0);
	for (uint8_t side = 0; side < 2; side++) {
		CHECK("sockets for a TUN", !socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair));
		e->s.tuns[side].side = side;
		e->kernel[side] = pair[0];
		e->fds[side][0] = pair[1];
	}
}

static void end_up(struct end *e, int n)
{
	end_prepare(e, n);
	CHECK("control", !control_new(&e->s, &e->c));
}

static void end_free(struct end *e)
{
	control_free(e->c);
	config_free(e->cfg);
	close(e->s.worker_fds[0]);
	close(e->s.contact_fd);
	for (int i = 0; i < 2; i++) {
		close(e->kernel[i]);
		close(e->fds[i][0]);
	}
}

static void run_ms(int ms)
{
	uint64_t end = uv_hrtime() + (uint64_t)ms * 1000000;

	do {
		uv_run(&loop, UV_RUN_NOWAIT);
		usleep(500);
	} while (uv_hrtime() < end);
}

static void give(int fd, const char *src, const char *dst, const struct tcp_build *proto)
{
	uint8_t buf[2048] = { 0 };
	struct ip_addr from, to;
	struct tcp_build b = *proto;
	int len;

	ip_addr_parse(src, &from);
	ip_addr_parse(dst, &to);
	b.src = &from;
	b.dst = &to;
	len = inet_build_tcp(buf + TRAIN_VNET_HDR_LEN, sizeof(buf) - TRAIN_VNET_HDR_LEN, &b);
	CHECK("a packet", len > 0 && write(fd, buf, TRAIN_VNET_HDR_LEN + (size_t)len) > 0);
}

/* MSS 1460 and MP_CAPABLE; as a SYN has it, and as a SYN/ACK has it, with a key whose token is 4a7ef1fd. */
static const uint8_t syn_opts[] = { 2, 4, 0x05, 0xb4, 0x1e, 4, 1, 1 };
static const uint8_t synack_opts[] = { 2, 4, 0x05, 0xb4, 0x1e, 12, 1, 1, 0x35, 0xd0, 0x84, 0xe1, 0x85, 0x1a, 0xfa, 0x0d };

#endif
