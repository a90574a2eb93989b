/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the workers find out about paths by the frames of their flows (core/liveness.h): a record for each own port, peer
 * port and path, found by templates when they are made. A worker that gets no answers says so, and the path is tried
 * (trials.c): a machine that has too much to do is silent, too.
 */
#include "shila/control/control.h"

#include <stdlib.h>
#include <string.h>

#define LIVING_MAX	1024		/* records of a peer */
#define LIVING_FORGET_US (60 * 1000000ull)
#define LIVING_REST_US	 1000000 /* without frames */

struct living {
	struct living *next;
	struct liveness *live; /* one reference */
	struct path *path;     /* one reference: as it was when the record was made */
	uint16_t local_port, peer_port;
};

static uint64_t answer_us(const struct living *v)
{
	return atomic_load_explicit(&v->live->answer_us, memory_order_relaxed);
}

static void living_put(struct living *v)
{
	liveness_put(v->live);
	path_put(v->path);
	free(v);
}

/* ---- records ---- */

static void forget_old(struct peer *p)
{
	uint64_t now_us = control_now_us();
	struct living **at = &p->living, *v;

	while ((v = *at)) {
		if (atomic_load(&v->live->refs) > 1 || now_us - answer_us(v) < LIVING_FORGET_US) {
			at = &v->next;
			continue;
		}
		*at = v->next;
		p->num_living--;
		living_put(v);
	}
}

static struct living *living_new(struct control *c, struct peer *p, const struct tmpl *t)
{
	struct living *v = calloc(1, sizeof(*v));

	if (v)
		v->live = liveness_new((uint8_t)(c->next_living += 41)); /* a record that follows another begins elsewhere */
	if (!v || !v->live) {
		free(v);
		control_no_memory(c);
		return NULL;
	}
	v->local_port = t->local_port;
	v->peer_port = t->peer_port;
	v->path = path_get(t->path);
	v->next = p->living;
	p->living = v;
	p->num_living++;
	return v;
}

void living_join(struct control *c, struct tmpl *t)
{
	struct peer *p = peer_find(c, &t->peer);
	struct living *v;

	if (!p || t->live || t->local_port == c->cfg->contact.port || t->peer_port == p->contact_port)
		return;
	for (v = p->living; v; v = v->next)
		if (v->local_port == t->local_port && v->peer_port == t->peer_port && path_same_interfaces(v->path, t->path))
			break;
	if (!v && p->num_living >= LIVING_MAX / 2)
		forget_old(p);
	if (!v && p->num_living < LIVING_MAX)
		v = living_new(c, p, t);
	if (v)
		t->live = liveness_get(v->live);
}

void living_free(struct peer *p)
{
	struct living *v;

	while ((v = p->living)) {
		p->living = v->next;
		living_put(v);
	}
	p->num_living = 0;
}

/* ---- what they say ---- */

const struct liveness *living_newest(const struct peer *p, const struct path *path)
{
	const struct living *newest = NULL;

	for (const struct living *v = p->living; v; v = v->next)
		if (path_same_interfaces(v->path, path) && answer_us(v) && (!newest || answer_us(v) > answer_us(newest)))
			newest = v;
	return newest ? newest->live : NULL;
}

uint64_t living_answered_us(const struct peer *p, const struct path *path)
{
	const struct liveness *l = living_newest(p, path);

	return l ? atomic_load_explicit(&l->answer_us, memory_order_relaxed) : 0;
}

uint64_t living_heard_us(const struct peer *p, const struct path *path)
{
	uint64_t heard_us = 0, us;

	for (const struct living *v = p->living; v; v = v->next) {
		us = atomic_load_explicit(&v->live->frame_us, memory_order_relaxed);
		if (us > heard_us && path_same_interfaces(v->path, path))
			heard_us = us;
	}
	return heard_us;
}

/* An older version of the peer answers nothing: then nothing is known of rest either. */
static bool never_answered(const struct liveness *l)
{
	return atomic_load_explicit(&l->asked, memory_order_relaxed) &&
	       !atomic_load_explicit(&l->answered, memory_order_relaxed);
}

bool living_rests(const struct peer *p, const struct path *path, uint64_t now_us)
{
	bool known = false;

	for (const struct living *v = p->living; v; v = v->next) {
		if (!path_same_interfaces(v->path, path))
			continue;
		if (liveness_state(v->live) != LIVENESS_REST || now_us < answer_us(v) + LIVING_REST_US || never_answered(v->live))
			return false;
		known = true;
	}
	return known;
}

/* A worker has no answers over the path of a flow. */
void living_suspect(struct control *c, const struct up_msg *m)
{
	struct ctl_flow *f = flow_by_name(c, &m->flow);
	struct peer_path *pp = f ? f->path : NULL;

	c->n.suspects++;
	if (!f || !f->tmpl || !f->tmpl->live || f->epoch != m->saw)
		return;
	if (!pp) /* of a server; but we may have flows of our own there */
		for (pp = f->peer->paths; pp && !path_same_interfaces(pp->path, f->tmpl->path);)
			pp = pp->next;
	if (!pp)
		return;
	trials_suspect(c, pp);
}
