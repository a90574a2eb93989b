/* SPDX-License-Identifier: Apache-2.0 */

/* Path sets: all paths to one AS, asked for when first needed, refreshed before anything expires. */
#include "shila/control/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_MIN_MS     200	 /* between two questions while there is no answer */
#define ASK_MAX_MS     10000	 /* back-off */
#define REFRESH_MS     (60 * 1000)
#define EXPIRY_MARGIN_S 120	 /* a path that expires earlier than this is renewed now */
#define RENEW_MIN_MS   (10 * 1000)
#define RENEW_LAST_MS  1000 /* the same for what would expire before that */
#define LOOK_MIN_MS    2000	 /* a path that dies is a reason to ask, but not with every path */
#define NO_MEMORY_MS   1000

static void on_timer(uv_timer_t *t);

struct path_set *path_set_get(struct control *c, struct isd_as ia)
{
	struct path_set *s;

	HASH_FIND(hh, c->sets, &ia, sizeof(ia), s);
	if (s)
		return s;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->ia = ia;
	s->control = c;
	HASH_ADD(hh, c->sets, ia, sizeof(s->ia), s);
	if (!s->hh.tbl) {
		free(s);
		return NULL;
	}
	uv_timer_init(c->loop, &s->timer);
	s->timer.data = s;
	return s;
}

/* ---- what peers see of it ---- */

static struct tmpl *contact_tmpl(struct control *c, const struct peer *p, struct path *path)
{
	return tmpl_new(path, &c->s.local, c->cfg->contact.port, &p->addr, p->contact_port);
}

struct peer_path *peer_path_new(struct control *c, struct peer *p, struct path *path)
{
	struct tmpl *t = contact_tmpl(c, p, path);
	struct peer_path *pp = t ? calloc(1, sizeof(*pp)) : NULL;

	if (!pp) {
		tmpl_put(t);
		return NULL;
	}
	pp->peer = p;
	pp->path = path_get(path);
	pp->tmpl = t;
	event_path(EVENT_PATH_NEW, pp);
	probing_wake(c);
	return pp;
}

/* False: no memory, and nothing has changed. */
static bool peer_take_path(struct control *c, struct peer *p, struct path *path)
{
	struct peer_path **at = &p->paths, *pp;
	struct tmpl *t;

	for (; *at; at = &(*at)->next) {
		pp = *at;
		if (!path_same(pp->path, path))
			continue;
		pp->gone = false;
		if (path->expiry_unix_s <= pp->path->expiry_unix_s && pp->state != PATH_STATE_DOWN)
			return true; /* nothing newer than what is in use */
		t = contact_tmpl(c, p, path);
		if (!t)
			return false;
		path_put(pp->path);
		pp->path = path_get(path);
		tmpl_put(pp->tmpl);
		pp->tmpl = t;
		event_path(EVENT_PATH_RENEWED, pp);
		moves_path_renewed(c, pp);
		return true;
	}
	*at = peer_path_new(c, p, path);
	return *at != NULL;
}

/* False: there was no memory for all of them. */
static bool peer_take_set(struct control *c, struct peer *p)
{
	struct path_set *s = p->set;
	struct peer_path *pp, *next;
	bool all = true;

	for (pp = p->paths; pp; pp = pp->next)
		pp->gone = true;
	for (size_t i = 0; i < s->num_paths; i++)
		all &= peer_take_path(c, p, s->paths[i]);
	if (!all)
		control_no_memory(c);
	/* What left the set stays as long as flows use it: the paths may be good until they expire. */
	for (pp = p->paths; pp; pp = next) {
		next = pp->next;
		if (pp->gone && !pp->flows) {
			event_path(EVENT_PATH_GONE, pp);
			peer_path_free(pp);
		}
	}
	return all;
}

static void take_again(struct path_set *s)
{
	uv_timer_start(&s->timer, on_timer, NO_MEMORY_MS, 0);
}

void path_set_join(struct path_set *s, struct peer *p)
{
	if (!s)
		return;
	p->set = s;
	p->next_of_set = s->peers;
	s->peers = p;
	if (!s->known)
		path_set_ask(s, false);
	else if (!peer_take_set(s->control, p))
		take_again(s);
}

size_t peer_candidates(struct control *c, struct peer *p, const struct path_policy *policy, struct path_candidate *out,
		       struct peer_path **pps, size_t max)
{
	int64_t now = wall_clock_earliest(&c->clock);
	size_t n = 0;

	/* First those that are not known to be dead; if there is none, any. */
	for (int dead = 0; dead < 2 && !n; dead++) {
		for (struct peer_path *pp = p->paths; pp && n < max; pp = pp->next) {
			if ((pp->state == PATH_STATE_DOWN || pp->left) != dead || pp->path->expiry_unix_s <= now ||
			    !path_policy_allows(policy, pp->path))
				continue;
			out[n] = (struct path_candidate){
				.path = pp->path,
				.latency_us = pp->srtt_us ? pp->srtt_us / 2 : pp->path->latency_us,
				.in_use = pp->flows,
			};
			pps[n++] = pp;
		}
	}
	return n;
}

struct path *path_set_match(const struct path_set *s, const struct path *reversed)
{
	for (size_t i = 0; s && i < s->num_paths; i++) {
		if (path_same_interfaces(s->paths[i], reversed))
			return s->paths[i];
	}
	return NULL;
}

void path_set_want(struct control *c, struct isd_as ia)
{
	struct path_set *s;

	HASH_FIND(hh, c->sets, &ia, sizeof(ia), s);
	if (s || HASH_COUNT(c->sets) >= c->cfg->limits.peers)
		return;
	s = path_set_get(c, ia);
	if (s)
		path_set_ask(s, false);
}

struct path *path_set_nth(struct control *c, struct isd_as ia, unsigned int n)
{
	struct path_set *s;

	HASH_FIND(hh, c->sets, &ia, sizeof(ia), s);
	return s && s->num_paths ? s->paths[n % s->num_paths] : NULL;
}

const struct path *path_known(struct control *c, struct isd_as ia, const struct path *reversed)
{
	struct path_set *s;

	HASH_FIND(hh, c->sets, &ia, sizeof(ia), s);
	return path_set_match(s, reversed);
}

/* ---- asking ---- */

/* Do flows wait on a dead path? Where routers have moved, only fresh paths help. */
static bool has_stranded(const struct path_set *s)
{
	for (const struct peer *p = s->peers; p; p = p->next_of_set)
		for (const struct peer_path *pp = p->paths; pp; pp = pp->next)
			if (pp->flows && pp->state == PATH_STATE_DOWN)
				return true;
	return false;
}

static uint64_t next_refresh_ms(const struct path_set *s)
{
	int64_t now = wall_clock_latest(&s->control->clock), left = (has_stranded(s) ? RENEW_MIN_MS : REFRESH_MS) / 1000;

	for (size_t i = 0; i < s->num_paths; i++) {
		int64_t until = s->paths[i]->expiry_unix_s - now - EXPIRY_MARGIN_S;

		if (s->paths[i]->expiry_unix_s != INT64_MAX && until < left)
			left = until;
	}
	if (left * 1000 >= RENEW_MIN_MS)
		return (uint64_t)left * 1000;
	/* Segments that were old when they came: there may be newer ones before they expire. */
	left = (left + EXPIRY_MARGIN_S) * 1000 / 2;
	if (left <= 0 || left > RENEW_MIN_MS)
		return RENEW_MIN_MS;
	return left < RENEW_LAST_MS ? RENEW_LAST_MS : (uint64_t)left;
}

static uint64_t back_off_ms(const struct path_set *s)
{
	uint64_t ms = ASK_MIN_MS << (s->failures < 7 ? s->failures : 7);

	return ms < ASK_MAX_MS ? ms : ASK_MAX_MS;
}

static bool in_use(const struct path_set *s, const struct path *path)
{
	for (const struct peer *p = s->peers; p; p = p->next_of_set)
		for (const struct peer_path *pp = p->paths; pp; pp = pp->next)
			if (pp->flows && path_same(pp->path, path))
				return true;
	return false;
}

/* limits.paths_per_as: what flows use stays, then what the source named first. Return: how many are left. */
static size_t keep_within_limit(struct path_set *s, struct path **paths, size_t n)
{
	size_t max = s->control->cfg->limits.paths_per_as, front = 0;

	for (size_t i = 0; n > max && i < n && front < max; i++) {
		struct path *p = paths[i];

		if (!in_use(s, p))
			continue;
		memmove(paths + front + 1, paths + front, (i - front) * sizeof(*paths));
		paths[front++] = p;
	}
	while (n > max)
		path_put(paths[--n]);
	return n;
}

static void forget_answer(struct path_set *s)
{
	path_set_keep_no_more(s);
	for (size_t i = 0; i < s->num_paths; i++)
		path_put(s->paths[i]);
	free(s->paths);
	s->paths = NULL;
	s->num_paths = 0;
}

/* Takes the references. False: no memory, and what was known stays. */
static bool take_answer(struct path_set *s, struct path **paths, size_t n)
{
	struct path **list = calloc(n ? n : 1, sizeof(*list));

	for (size_t i = 0; i < n; i++) {
		if (list)
			list[i] = paths[i];
		else
			path_put(paths[i]);
	}
	if (!list)
		return false;
	forget_answer(s);
	s->paths = list;
	s->num_paths = n;
	path_set_keep(s);
	return true;
}

/* Before any peer has joined the set, and before the first answer of the path source. */
void path_set_resume(struct path_set *s, struct path *path)
{
	struct path **more = s ? realloc(s->paths, (s->num_paths + 1) * sizeof(*more)) : NULL;

	if (!more)
		return;
	path_set_keep_no_more(s);
	s->paths = more;
	s->paths[s->num_paths++] = path_get(path);
	path_set_keep(s);
	if (!s->known)
		uv_timer_start(&s->timer, on_timer, 0, 0); /* it may be long out of date */
	s->known = true;
}

/* Paths that are good until they expire, whatever the source says now. */
static bool has_unexpired(const struct path_set *s)
{
	int64_t now = wall_clock_earliest(&s->control->clock);

	for (size_t i = 0; i < s->num_paths; i++)
		if (s->paths[i]->expiry_unix_s > now)
			return true;
	return false;
}

static void on_paths(void *ctx, int err, const char *why, struct path **paths, size_t n)
{
	struct path_set *s = ctx;
	struct control *c = s->control;
	bool failed = s->err < 0, keep;
	char ia[ISD_AS_STRLEN];
	size_t before, told = n;

	if (c->stopping) { /* the peers are gone; the path source is closed right behind us */
		for (size_t i = 0; i < n; i++)
			path_put(paths[i]);
		return;
	}
	s->asking = false;
	before = s->num_paths + s->left_out;
	/* No paths at all, where there were some: a source that lost its memory, or cannot reach its own source. */
	keep = err < 0 || (!n && has_unexpired(s));
	if (!keep)
		n = keep_within_limit(s, paths, n);
	if (!keep && !take_answer(s, paths, n)) {
		control_no_memory(c);
		err = -ENOMEM;
		why = "no memory for the answer";
		keep = true;
	}
	s->err = err;
	snprintf(s->why, sizeof(s->why), "%s", why ? why : "");
	if (err < 0) {
		/* Known paths are kept: a daemon that is down stops nothing. */
		if (!s->failures++)
			log_warn("paths to %s: %s", isd_as_str(s->ia, ia), s->why);
		uv_timer_start(&s->timer, on_timer, back_off_ms(s), 0);
	} else if (keep) {
		if (!s->failures++)
			log_warn("the SCION daemon knows no path to %s any more: those that were known are kept "
				 "until they expire", isd_as_str(s->ia, ia));
		uv_timer_start(&s->timer, on_timer, back_off_ms(s), 0);
	} else {
		if (failed || !s->known || (n && s->failures) || before != told)
			log_info("%zu path%s to %s%s", told, told == 1 ? "" : "s", isd_as_str(s->ia, ia),
				 n < told ? ", more than limits.paths_per_as: the rest is left out" : "");
		s->left_out = told - n;
		s->failures = n ? 0 : s->failures + 1;
		s->known = true;
		s->answered_ms = control_now_ms(c);
		moves_set_renewed(c, s);
		uv_timer_start(&s->timer, on_timer, n ? next_refresh_ms(s) : back_off_ms(s), 0);
	}
	for (struct peer *p = s->peers, *next; p; p = next) {
		next = p->next_of_set;
		if (!keep && !peer_take_set(c, p))
			take_again(s);
		opening_paths_known(p);
		if (!err && n && p->configured && !p->num_workers)
			peer_hello(c, p);
		if (!err && n && p->configured)
			probing_now(c, p);
	}
	control_kick(c);
}

void path_set_ask(struct path_set *s, bool refresh)
{
	uint64_t now = control_now_ms(s->control);

	if (s->asking || s->control->stopping || (s->asked_ms && now - s->asked_ms < ASK_MIN_MS))
		return;
	s->asked_ms = now;
	s->asking = path_source_paths(s->control->s.source, s->ia, refresh, on_paths, s) == 0;
	if (!s->asking)
		uv_timer_start(&s->timer, on_timer, back_off_ms(s), 0);
}

void path_set_look(struct path_set *s)
{
	uint64_t since = control_now_ms(s->control) - s->asked_ms;
	uint64_t in = since < LOOK_MIN_MS ? LOOK_MIN_MS - since : 0;

	if (!s->asking && !s->control->stopping && uv_timer_get_due_in(&s->timer) > in)
		uv_timer_start(&s->timer, on_timer, in, 0);
}

static void on_timer(uv_timer_t *t)
{
	struct path_set *s = t->data;

	path_set_ask(s, true);
	if (!s->asking && !uv_is_active((uv_handle_t *)t))
		uv_timer_start(t, on_timer, ASK_MIN_MS, 0);
}

/* ---- end ---- */

/* The sets themselves stay: questions that are still under way hold pointers to them. */
void path_sets_stop(struct control *c)
{
	struct path_set *s, *next;

	HASH_ITER(hh, c->sets, s, next) {
		s->peers = NULL;
		uv_close((uv_handle_t *)&s->timer, NULL);
	}
}

void path_sets_free(struct control *c)
{
	struct path_set *s, *next;

	HASH_ITER(hh, c->sets, s, next) {
		HASH_DEL(c->sets, s);
		forget_answer(s);
		free(s);
	}
}
