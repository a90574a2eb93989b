/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What others may take of this daemon. An ISD-AS has limits of its own beside those of each peer in it: who can
 * send from inside of an AS can send under the name of every host there. The table is the specification, for
 * what is checked before anything is kept for an OPEN, and for what `shila status` shows.
 */
#include "shila/control/control.h"

#include <stdlib.h>

/* So long a client has to answer an ACCEPT, before its place goes to another OPEN of its peer or AS. */
#define HALF_OPEN_MIN_MS 1000

/* Who asks. */
struct asker {
	struct control *c;
	const struct as_use *as; /* NULL: nothing is known of that AS */
	const struct peer *peer; /* NULL: nor of that host */
	uint64_t second;
};

static uint32_t opens_in(const struct usage *u, uint64_t second)
{
	return u->opens_s == second ? u->opens : 0;
}

#define OF_PEER(member)                                                                            \
	static uint32_t peer_##member(const struct asker *a)                                       \
	{                                                                                          \
		return a->peer ? a->peer->use.member : 0;                                          \
	}                                                                                          \
	static uint32_t as_##member(const struct asker *a)                                         \
	{                                                                                          \
		return a->as ? a->as->use.member : 0;                                              \
	}
OF_PEER(flows)
OF_PEER(half_open)
OF_PEER(addresses)
#undef OF_PEER

static uint32_t peer_opens(const struct asker *a)
{
	return a->peer ? opens_in(&a->peer->use, a->second) : 0;
}

static uint32_t as_opens(const struct asker *a)
{
	return a->as ? opens_in(&a->as->use, a->second) : 0;
}

static uint32_t as_peers(const struct asker *a)
{
	return a->as ? a->as->busy : 0;
}

/* Those that are only there because they once opened a flow make room. */
static uint32_t all_peers(const struct asker *a)
{
	return HASH_COUNT(a->c->peers) - a->c->num_idle;
}

enum when { ALWAYS, NEW_ADDRESS, NEW_PEER };

static const struct limit {
	const char *name;
	enum verdict verdict;
	size_t at; /* in struct config_limits */
	uint32_t (*used)(const struct asker *a);
	enum when when; /* it is asked for one more */
} limits[] = {
#define LIMIT(name, verdict, ...) { #name, VERDICT_##verdict, offsetof(struct config_limits, name), __VA_ARGS__ }
	LIMIT(opens_per_second_per_peer, LIMIT_OPENS, peer_opens, ALWAYS),
	LIMIT(opens_per_second_per_as, LIMIT_AS_OPENS, as_opens, ALWAYS),
	LIMIT(half_open_per_peer, LIMIT_HALF_OPEN, peer_half_open, ALWAYS),
	LIMIT(half_open_per_as, LIMIT_AS_HALF_OPEN, as_half_open, ALWAYS),
	LIMIT(flows_per_peer, LIMIT_PEER_FLOWS, peer_flows, ALWAYS),
	LIMIT(flows_per_as, LIMIT_AS_FLOWS, as_flows, ALWAYS),
	LIMIT(pool_addresses_per_peer, LIMIT_PEER_POOL, peer_addresses, NEW_ADDRESS),
	LIMIT(pool_addresses_per_as, LIMIT_AS_POOL, as_addresses, NEW_ADDRESS),
	LIMIT(peers_per_as, LIMIT_AS_PEERS, as_peers, NEW_PEER),
	LIMIT(peers, LIMIT_PEERS, all_peers, NEW_PEER),
#undef LIMIT
};

_Static_assert(sizeof(limits) / sizeof(limits[0]) == LIMITS_CHECKED, "one peak each");

static uint32_t value_of(const struct control *c, const struct limit *l)
{
	uint32_t v;

	memcpy(&v, (const char *)&c->cfg->limits + l->at, sizeof(v));
	return v;
}

static struct as_use *as_find(struct control *c, struct isd_as ia)
{
	struct as_use *as;

	HASH_FIND(hh, c->ases, &ia, sizeof(ia), as);
	return as;
}

enum verdict limits_check(struct control *c, const struct scion_addr *addr, const struct ip_addr *client)
{
	struct asker a = {
		.c = c, .as = as_find(c, addr->ia), .peer = peer_find(c, addr), .second = control_now_ms(c) / 1000,
	};
	bool new_peer = !a.peer || a.peer->idle, new_address = !pool_has(c->pool, addr, client);

	for (size_t i = 0; i < LIMITS_CHECKED; i++) {
		const struct limit *l = &limits[i];
		uint32_t used = l->used(&a);

		if ((l->when == NEW_PEER && !new_peer) || (l->when == NEW_ADDRESS && !new_address))
			continue;
		if (used >= value_of(c, l)) {
			c->drops[l->verdict]++;
			return l->verdict;
		}
		if (used + 1 > c->limit_peaks[i])
			c->limit_peaks[i] = used + 1;
	}
	return VERDICT_PASS;
}

bool limits_forget_half_open(struct control *c, const struct scion_addr *addr, enum verdict limit)
{
	const struct peer *p = peer_find(c, addr);
	const struct as_use *as = as_find(c, addr->ia);
	struct ctl_flow *oldest = NULL;

	if (limit == VERDICT_LIMIT_HALF_OPEN)
		oldest = p ? flow_of(c, p->use.half) : NULL;
	else if (limit == VERDICT_LIMIT_AS_HALF_OPEN || limit == VERDICT_LIMIT_AS_PEERS)
		oldest = as ? flow_of(c, as->use.half) : NULL;

	if (!oldest || control_now_ms(c) - oldest->created_ms < HALF_OPEN_MIN_MS)
		return false;
	flow_free(oldest);
	return true;
}

bool limits_next(struct control *c, size_t i, struct limit_use *out)
{
	const struct limit *l = &limits[i];
	struct asker a = { .c = c, .second = control_now_ms(c) / 1000 };
	struct peer *p, *next;

	if (i >= LIMITS_CHECKED)
		return false;
	*out = (struct limit_use){
		.name = l->name, .limit = value_of(c, l), .used = l->used(&a), .worst = c->limit_peaks[i],
		.verdict = l->verdict,
	};
	HASH_ITER(hh, c->peers, p, next) {
		uint32_t used;

		a.peer = p;
		a.as = p->as;
		used = l->used(&a);
		if (used > out->used)
			out->used = used;
	}
	return true;
}

/* ---- counting ---- */

bool limits_peer_new(struct control *c, struct peer *p)
{
	struct as_use *as = as_find(c, p->addr.ia);

	if (!as) {
		as = calloc(1, sizeof(*as));
		if (!as)
			return false;
		as->ia = p->addr.ia;
		HASH_ADD(hh, c->ases, ia, sizeof(as->ia), as);
		if (!as->hh.tbl) {
			free(as);
			return false;
		}
	}
	as->peers++;
	p->as = as;
	p->idle = true;
	DL_APPEND2(c->idle, p, idle_prev, idle_next);
	c->num_idle++;
	return true;
}

void limits_peer_busy(struct control *c, struct peer *p)
{
	if (!p->idle)
		return;
	p->idle = false;
	p->as->busy++;
	DL_DELETE2(c->idle, p, idle_prev, idle_next);
	c->num_idle--;
}

static void peer_idle(struct control *c, struct peer *p)
{
	if (p->idle || p->configured)
		return;
	p->idle = true;
	p->as->busy--;
	DL_APPEND2(c->idle, p, idle_prev, idle_next);
	c->num_idle++;
}

void limits_peer_gone(struct control *c, struct peer *p)
{
	struct as_use *as = p->as;

	limits_peer_busy(c, p);
	as->busy--;
	if (--as->peers)
		return;
	HASH_DEL(c->ases, as);
	free(as);
}

static void count_open(struct usage *u, uint64_t second)
{
	if (u->opens_s != second) {
		u->opens_s = second;
		u->opens = 0;
	}
	u->opens++;
}

void limits_count_open(struct control *c, struct peer *p)
{
	uint64_t second = control_now_ms(c) / 1000;

	count_open(&p->use, second);
	count_open(&p->as->use, second);
}

static void set_counted(struct ctl_flow *f, uint8_t now)
{
	struct usage *both[] = { &f->peer->use, &f->peer->as->use };
	uint8_t before = f->counted;

	for (int i = 0; i < 2; i++) {
		struct usage *u = both[i];

		u->flows += !!(now & COUNTED_FLOW) - !!(before & COUNTED_FLOW);
		u->half_open += !!(now & COUNTED_HALF_OPEN) - !!(before & COUNTED_HALF_OPEN);
		if (now & ~before & COUNTED_HALF_OPEN)
			FLOW_LIST_ADD(u->half, f, half[i]);
		else if (before & ~now & COUNTED_HALF_OPEN)
			FLOW_LIST_DEL(u->half, f, half[i]);
	}
	f->peer->opening += !!(now & COUNTED_OPENING) - !!(before & COUNTED_OPENING);
	f->counted = now;
}

void limits_count(struct ctl_flow *f)
{
	uint8_t now = 0;

	if (!f->peer)
		return;
	/* What lingers goes as soon as somebody needs its place. */
	if (f->state != FLOW_LINGER)
		now |= COUNTED_FLOW;
	if (f->server && !f->confirmed && f->state != FLOW_LINGER)
		now |= COUNTED_HALF_OPEN;
	if (f->state == FLOW_OPENING)
		now |= COUNTED_OPENING;
	if (!(f->counted & COUNTED_PEER)) {
		if (!f->peer->flows++)
			probing_wake(f->control); /* its paths are looked at more often */
		limits_peer_busy(f->control, f->peer);
	}
	set_counted(f, now | COUNTED_PEER);
}

void limits_uncount(struct ctl_flow *f)
{
	if (!(f->counted & COUNTED_PEER))
		return;
	set_counted(f, 0);
	if (!--f->peer->flows)
		peer_idle(f->control, f->peer);
}

/* The pool tells by its size whether an address came into use, or is free again. */
static void count_addresses(struct control *c, struct peer *p, uint64_t before)
{
	uint32_t more = (uint32_t)(pool_used(c->pool) - before);

	p->use.addresses += more;
	p->as->use.addresses += more;
}

int limits_pool_get(struct control *c, struct peer *p, const struct ip_addr *client, struct ip_addr *out)
{
	uint64_t before = pool_used(c->pool);
	int err = pool_get(c->pool, &p->addr, client, out);

	count_addresses(c, p, before);
	return err;
}

int limits_pool_restore(struct control *c, struct peer *p, const struct ip_addr *client, const struct ip_addr *address)
{
	uint64_t before = pool_used(c->pool);
	int err = pool_restore(c->pool, &p->addr, client, address);

	count_addresses(c, p, before);
	return err;
}

void limits_pool_put(struct control *c, struct peer *p, const struct ip_addr *address)
{
	uint64_t before = pool_used(c->pool);

	pool_put(c->pool, address);
	count_addresses(c, p, before); /* one less, or none */
}
