/* SPDX-License-Identifier: Apache-2.0 */

/* What a local program gets to hear when its packet goes nowhere. */
#include "shila/control/control.h"

static void write_answer(struct control *c, unsigned int worker, uint8_t tun, int len)
{
	if (len > 0)
		worker_write(c->workers[worker], tun, NULL, c->packet, (uint32_t)len);
}

void answer_unreachable(struct control *c, unsigned int worker, const struct held_packet *h, enum inet_unreach why)
{
	struct ip_addr from;
	struct ip_pkt ip;

	if (ip_parse(h->bytes, h->len, &ip) < 0)
		return;
	from = ip_pkt_dst(&ip); /* the destination itself: it is local to nobody else here */
	write_answer(c, worker, h->tun,
		     inet_build_unreach(c->packet, sizeof(c->packet), h->bytes, &ip, why, &from));
	c->n.unreachables++;
}

void answer_reset(struct control *c, unsigned int worker, const struct held_packet *h, int mptcp_reason)
{
	struct ip_pkt ip;

	if (ip_parse(h->bytes, h->len, &ip) < 0)
		return;
	write_answer(c, worker, h->tun,
		     inet_build_tcp_rst(c->packet, sizeof(c->packet), h->bytes, &ip, mptcp_reason));
	c->n.resets++;
}

void answer_too_big(struct control *c, unsigned int worker, const struct up_msg *m, const struct ip_pkt *ip, uint16_t mtu)
{
	struct ip_addr from = ip_pkt_dst(ip);

	write_answer(c, worker, m->tun,
		     inet_build_too_big(c->packet, sizeof(c->packet), m->bytes, ip, mtu, &from));
	c->drops[VERDICT_TOO_BIG]++;
}
