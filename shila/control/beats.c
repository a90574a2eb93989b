/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Paths without flows that are asked all the time while flows on another one carry much: what core/path_beat.h decides is
 * done here. Who asks is who moves flows: the client.
 */
#include "shila/control/control.h"

#define FLOWS_COUNTED	 256 /* of a path */
#define UNDERLAY_HDR_LEN 28  /* or 48: IP and UDP */

static uint64_t carried_bytes(struct control *c, const struct peer_path *pp)
{
	struct ctl_flow *f, *next;
	uint64_t bytes = 0;
	unsigned int n = 0;

	FLOW_LIST_FOREACH(c, pp->on, f, next, on) {
		const struct flow_stats *s;

		if (++n > FLOWS_COUNTED)
			break;
		if (f->state < FLOW_OPEN || !flow_conn(f))
			continue;
		s = worker_flow_stats(c->workers[f->worker], f->slot);
		bytes += flow_counter(&s->tx_bytes) + flow_counter(&s->rx_bytes);
	}
	return bytes;
}

/* The one that was not asked for longest. */
static struct peer_path *other_path(const struct peer_path *used)
{
	struct peer_path *best = NULL;

	for (struct peer_path *pp = used->peer->paths; pp; pp = pp->next)
		if (pp != used && pp->state == PATH_STATE_UP && !pp->gone && pp->tmpl && (!pp->flows || pp->resting) &&
		    path_beat_fits(pp->srtt_us, used->srtt_us) && (!best || pp->asked.asked_us < best->asked.asked_us))
			best = pp;
	return best;
}

uint64_t beats_look(struct control *c, struct peer_path *pp, uint64_t now_us)
{
	struct peer_path *other;
	uint64_t at_us = UINT64_MAX;
	uint32_t cost;

	if (!pp->flows || pp->resting || !pp->tmpl || pp->state != PATH_STATE_UP || pp->srtt_us < PATH_BEAT_FAR_US)
		return UINT64_MAX;
	if (now_us < pp->beat.next_us)
		return pp->beat.next_us;
	other = other_path(pp);
	if (!other)
		return UINT64_MAX;
	cost = 2 * (other->tmpl->len + FRAME_PROBE_LEN + UNDERLAY_HDR_LEN);
	if (path_beat_due(&pp->beat, pp->srtt_us, carried_bytes(c, pp), cost, now_us, &at_us)) {
		path_beat_asked(&other->asked, probing_send(c, other, now_us), now_us);
		c->n.beats++;
	}
	return at_us;
}

bool beats_reply(struct peer *p, const struct frame_probe *reply)
{
	uint64_t now_us = control_now_us();

	for (struct peer_path *pp = p->paths; pp; pp = pp->next)
		if (path_beat_answered(&pp->asked, reply->id, reply->sent_us, pp->srtt_us, now_us)) {
			pp->heard_us = now_us;
			peer_heard(p);
			return true;
		}
	return false;
}
