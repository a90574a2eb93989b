/* SPDX-License-Identifier: Apache-2.0 */

/* A UDP program that asks until it is answered, and one that answers. */
#include "tests/model/sim.h"

#include <stdlib.h>
#include <string.h>

#define AGAIN_US (400 * MS)

static void build(const struct conn_plan *p, int from_server, const struct ip_addr *src, const struct ip_addr *dst,
		  uint32_t nr, uint8_t *pkt, size_t *len)
{
	uint32_t data = 8 + p->bytes[from_server];
	uint8_t *udp = pkt + 20;
	struct ip_pkt ip;
	uint16_t csum;

	*len = 20 + 8 + data;
	memset(pkt, 0, 28);
	pkt[0] = 0x45;
	put_be16(pkt + 2, (uint16_t)*len);
	pkt[8] = 64;
	pkt[9] = INET_PROTO_UDP;
	memcpy(pkt + 12, src->b, 4);
	memcpy(pkt + 16, dst->b, 4);
	csum = csum_finish(csum_add(0, pkt, 20));
	memcpy(pkt + 10, &csum, 2);
	put_be16(udp, from_server ? p->server_port : p->client_port);
	put_be16(udp + 2, from_server ? p->client_port : p->server_port);
	put_be16(udp + 4, (uint16_t)(8 + data));
	put_be32(udp + 8, p->id);
	put_be32(udp + 12, nr);
	for (uint32_t i = 0; i < data - 8; i++)
		udp[16 + i] = conn_byte(p, from_server, i + nr);
	if (!ip_parse(pkt, *len, &ip))
		inet_l4_csum_set(pkt, &ip);
}

static void ask(uv_timer_t *t)
{
	struct conn_plan *p = t->data;
	struct ip_addr src = kernel_client_addr(p->client, p->tun), dst = kernel_target(p->client);
	struct vnet_hdr vnet = { 0 };
	uint8_t pkt[4096];
	size_t len;

	build(p, 0, &src, &dst, p->udp_next, pkt, &len);
	sim_trace("%s program: conn %u sends datagram %u", p->client ? "right" : "left", p->id, p->udp_next);
	kernel_send(p->client, p->tun, &vnet, pkt, len);
	sim_timer_us(&p->timer, ask, AGAIN_US);
}

void udp_start(struct conn_plan *p)
{
	p->started = true;
	p->started_us = sim_now_us;
	ask(&p->timer);
}

static bool right_bytes(const struct conn_plan *p, int from_server, const uint8_t *data, size_t len)
{
	uint32_t nr = get_be32(data + 4);

	if (len != 8 + p->bytes[from_server])
		return false;
	for (size_t i = 8; i < len; i++)
		if (data[i] != conn_byte(p, from_server, (uint32_t)i - 8 + nr))
			return false;
	return true;
}

void udp_packet(int end, const uint8_t *pkt, const struct ip_pkt *ip)
{
	const uint8_t *udp = pkt + ip->l4_off, *data = udp + 8;
	uint16_t src = get_be16(udp), dst = get_be16(udp + 2);
	size_t len = ip->len - ip->l4_off - 8u;
	struct conn_plan *p = NULL;
	struct vnet_hdr vnet = { 0 };
	struct ip_addr from = ip_pkt_src(ip), to = ip_pkt_dst(ip);
	uint8_t out[4096];
	size_t n;

	for (unsigned int i = 0; len >= 8 && i < num_conns; i++)
		if (conns[i].kind == CONN_UDP && conns[i].id == get_be32(data))
			p = &conns[i];
	if (!p) {
		if (len < 8 || get_be32(data) >= conns[0].id)
			sim_fail("a datagram that nobody has sent");
		return; /* of a schedule before this one */
	}
	sim_trace("%s program: conn %u gets datagram %u", end ? "right" : "left", p->id, get_be32(data + 4));
	if (end == p->client ? src != p->server_port || dst != p->client_port : dst != p->server_port || src != p->client_port) {
		sim_fail("conn %u: a datagram with ports %u > %u", p->id, src, dst);
		return;
	}
	if (!right_bytes(p, end == p->client, data, len) || get_be32(data + 4) > p->udp_next) {
		sim_fail("conn %u: a datagram that was not sent so", p->id);
		return;
	}
	if (end != p->client) {
		build(p, 1, &to, &from, get_be32(data + 4), out, &n);
		kernel_send(end, 0, &vnet, out, n);
		return;
	}
	if (p->outcome != RUNNING || get_be32(data + 4) != p->udp_next)
		return;
	if (++p->udp_next == p->udp_count) {
		uv_timer_stop(&p->timer);
		p->outcome = FINISHED;
		p->over_us = sim_now_us;
		sim_trace("conn %u is over: finished", p->id);
	} else {
		sim_timer_us(&p->timer, ask, p->speak_us[0]);
	}
}

/* The simulated network has room for everything. */
uint32_t underlay_dropped(int fd)
{
	(void)fd;
	return 0;
}

uint32_t underlay_receive_bytes(int fd)
{
	(void)fd;
	return UNDERLAY_RECEIVE_BYTES;
}
