/* SPDX-License-Identifier: Apache-2.0 */

/* What a local program gets to hear when its packet goes nowhere. */
#include "shila/control/control.h"

#define REFUSALS_LOGGED_PER_S 20

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

void answer_too_big(struct control *c, unsigned int worker, uint8_t tun, const uint8_t *bytes, uint32_t len,
		    uint16_t mtu)
{
	struct ip_addr from;
	struct ip_pkt ip;

	c->drops[VERDICT_TOO_BIG]++;
	if (ip_parse(bytes, len, &ip) < 0)
		return;
	from = ip_pkt_dst(&ip);
	write_answer(c, worker, tun, inet_build_too_big(c->packet, sizeof(c->packet), bytes, &ip, mtu, &from));
}

/* ---- refusing ---- */

/* A program that tries again and again must not fill the log. */
bool answer_may_log(struct control *c)
{
	uint64_t second = control_now_ms(c) / 1000;

	if (c->refusal_log_s != second) {
		if (c->refusals_unlogged)
			log_info("%u more refusals in that second", c->refusals_unlogged);
		c->refusal_log_s = second;
		c->refusals_logged = c->refusals_unlogged = 0;
	}
	if (c->refusals_logged++ < REFUSALS_LOGGED_PER_S)
		return true;
	c->refusals_unlogged++;
	return false;
}

static void log_refused(struct ctl_flow *f, const char *sentence)
{
	char text[256];

	/* A join is the kernel's own idea, and no program asked for an invited flow: nobody notices. */
	if (f->kind == FLOW_SUB || f->invited)
		log_debug("%s: refused: %s", flow_str(f, text), sentence);
	else if (answer_may_log(f->control))
		log_info("%s: refused: %s", flow_str(f, text), sentence);
}

/* Answers the local program, says why once, and forgets the flow. */
void flow_refuse(struct ctl_flow *f, enum verdict v, enum inet_unreach why, const char *sentence)
{
	struct control *c = f->control;

	c->drops[v]++;
	log_refused(f, sentence);
	for (const struct held_packet *h = f->held; h; h = h->next)
		answer_unreachable(c, f->worker, h, why);
	flow_step(f, FLOW_EV_REFUSED);
	flow_free(f);
}

void flow_refuse_reset(struct ctl_flow *f, int mptcp_reason, const char *sentence)
{
	struct control *c = f->control;

	log_refused(f, sentence);
	for (const struct held_packet *h = f->held; h; h = h->next) {
		if (f->tcp)
			answer_reset(c, f->worker, h, mptcp_reason);
		else
			answer_unreachable(c, f->worker, h, INET_UNREACH_PORT);
	}
	flow_step(f, FLOW_EV_REFUSED);
	flow_free(f);
}

/* For a packet that no flow will be made for. */
void packet_refuse(struct control *c, const struct up_msg *m, enum verdict v, enum inet_unreach why,
			  const char *sentence)
{
	struct held_packet *h = control_hold(c, m);
	char dst[IP_ADDR_STRLEN];
	struct ip_pkt ip;
	struct ip_addr to = { 0 };

	c->drops[v]++;
	if (!ip_parse(m->bytes, m->len, &ip))
		to = ip_pkt_dst(&ip);
	if (answer_may_log(c))
		log_info("connection to %s refused: %s", ip_addr_str(&to, dst), sentence);
	if (h)
		answer_unreachable(c, 0, h, why);
	control_unhold(c, h);
}

void packet_reset(struct control *c, const struct up_msg *m, int mptcp_reason)
{
	struct held_packet *h = control_hold(c, m);

	if (h)
		answer_reset(c, 0, h, mptcp_reason);
	control_unhold(c, h);
}
