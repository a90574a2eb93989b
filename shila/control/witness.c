/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whose fault it is that a peer does not answer over a path: core/witness.h decides, here its last router is asked. Where only
 * the peer is the matter, its flows stay: every other path leads to it, too.
 */
#include "shila/control/control.h"

#include "shila/wire/traceroute.h"

#define ASKED_PER_SECOND 200 /* routers, all together */
#define LATE_US		 100000 /* an answer, at least */

static uint32_t late_us(const struct peer_path *pp)
{
	return path_rtt_late_us(pp->srtt_us, pp->var_us, LATE_US, WITNESS_LATEST_US, WITNESS_LATEST_US / 2);
}

static enum witness_word says(const struct peer_path *pp)
{
	enum witness_word word = witness_says(&pp->witness, late_us(pp), control_now_us());

	/* The peer answers, here or elsewhere: then this path loses much, or it is about to be up. */
	if (pp->probes.good || (word == WITNESS_PATH_WORKS && pp->peer->heard_us >= pp->witness.doubt_us))
		return WITNESS_NOTHING;
	return word;
}

static bool may_ask(struct control *c, uint64_t now_us)
{
	if (c->witnesses.second != now_us / 1000000) {
		c->witnesses.second = now_us / 1000000;
		c->witnesses.asked = 0;
	}
	return c->witnesses.asked < ASKED_PER_SECOND;
}

/* Routers send the answer to the port that is its identifier; the other numbers nobody can guess. */
static void ask(struct control *c, struct peer_path *pp, uint64_t now_us)
{
	uint64_t r = control_random();
	struct traceroute t = {
		.flow_id = (uint32_t)(r % 0xfffff) + 1, .id = c->cfg->contact.port, .seq = (uint16_t)(r >> 32),
	};
	uint8_t packet[TRACEROUTE_MAX_LEN];
	int len = traceroute_build(packet, sizeof(packet), pp->path, &c->s.local, &pp->peer->addr, &t);
	enum verdict v;

	witness_asked(&pp->witness, t.flow_id, t.seq, now_us);
	if (len < 0)
		return;
	c->witnesses.asked++;
	c->n.traceroutes_tx++;
	v = underlay_sendto(c->s.contact_fd, &pp->path->next_hop, packet, (size_t)len);
	if (v != VERDICT_PASS)
		c->drops[v]++;
}

static void tell(struct peer_path *pp)
{
	enum witness_word word = says(pp);
	char fp[PATH_FINGERPRINT_STRLEN];

	if (pp->state != PATH_STATE_DOWN || word == pp->witness.said || word == WITNESS_NOTHING)
		return;
	pp->witness.said = word;
	path_fingerprint_str(pp->path, fp);
	fp[8] = '\0';
	switch (word) {
	case WITNESS_PATH_WORKS:
		event_path(EVENT_PATH_PEER_SILENT, pp);
		log_warn("path %s to %s works as far as its AS, %.1f ms: the peer is silent, not the path", fp, pp->peer->text,
			 pp->witness.rtt_us / 1000.0);
		return;
	case WITNESS_PATH_DEAD:
		event_path(EVENT_PATH_DEAD, pp);
		log_warn("path %s to %s is dead: its last router does not answer either", fp, pp->peer->text);
		return;
	case WITNESS_MUTE:
		log_info("path %s to %s: its last router does not answer either, but never did", fp, pp->peer->text);
		return;
	case WITNESS_NOTHING:
		return;
	}
}

void witness_look(struct control *c, struct peer_path *pp, uint64_t now_us)
{
	if (!pp->path->num_hops)
		return; /* no router in between */
	tell(pp);
	if (witness_due(&pp->witness, late_us(pp), now_us) && may_ask(c, now_us))
		ask(c, pp, now_us);
}

bool witness_reply(struct control *c, const struct arrival *a, const struct scmp_msg *m)
{
	uint64_t now_us = control_now_us();
	struct peer *p, *next;

	if (a->socket != c->s.num_workers)
		return false;
	HASH_ITER(hh, c->peers, p, next) {
		for (struct peer_path *pp = p->paths; pp; pp = pp->next) {
			struct traceroute t = { pp->witness.flow_id, c->cfg->contact.port, pp->witness.seq };

			if (!pp->witness.waits || !traceroute_is_answer(&a->pkt, m, pp->path, &t) ||
			    !witness_answered(&pp->witness, t.flow_id, t.seq, now_us))
				continue;
			c->n.traceroute_replies_rx++;
			tell(pp);
			return true;
		}
	}
	return false;
}

/*
 * It has been silent over this path for three PROBEs, and said nothing over any other meanwhile, while the path works: then it
 * is not the path. The other paths are looked at now, and if one answers the flows go there.
 */
bool witness_blames_peer(struct peer_path *pp)
{
	struct peer *p = pp->peer;

	if (says(pp) != WITNESS_PATH_WORKS)
		return false;
	if (!p->outage)
		log_warn("peer %s does not answer, but the network works as far as its AS: its flows stay where they are", p->text);
	p->outage = true;
	if (p->state != PEER_SILENT)
		event_peer(EVENT_PEER_SILENT, p);
	p->state = PEER_SILENT;
	for (struct peer_path *o = p->paths; o; o = o->next)
		if (o != pp)
			probing_suspect(p->control, o);
	return true;
}

/* ---- for reports ---- */

static enum witness_word word_of(const struct path_set *s, const struct path *path)
{
	enum witness_word word = WITNESS_NOTHING;

	for (const struct peer *p = s->peers; p; p = p->next_of_set)
		for (const struct peer_path *pp = p->paths; pp && word == WITNESS_NOTHING; pp = pp->next)
			if (pp->state == PATH_STATE_DOWN && path_same(pp->path, path))
				word = says(pp);
	return word;
}

const char *witness_str(const struct path_set *s, const struct path *path)
{
	static const char *const names[] = { NULL, "peer_silent", "path_dead", "mute" };

	return names[word_of(s, path)];
}

const char *witness_why(const struct path_set *s, const struct path *path)
{
	static const char *const sentences[] = {
		"",
		", but its last router does: the peer is silent, not the path",
		", nor does its last router: the path is dead",
		"; its last router does not answer either, but never did",
	};

	return sentences[word_of(s, path)];
}
