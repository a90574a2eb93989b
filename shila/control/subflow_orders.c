/* SPDX-License-Identifier: Apache-2.0 */

/* Orders to the kernel about subflows. One that is ordered has a flow before its SYN is there: its ports are chosen here. */
#include "shila/control/subflows.h"

#include <errno.h>
#include <string.h>

#define EXPECT_MS	 2000 /* how long an ordered SYN may take from the kernel to us */
#define NOT_CONNECTED	 3    /* tries: the event may come a moment before the kernel takes subflows */
#define NOT_CONNECTED_MS 100
#define HELD_MS		 50   /* and up to twice that more: how long SYNs that are held may take to become fewer */
#define PORT_FIRST	 32768
#define PORT_COUNT	 28000
#define PORT_TRIES	 16

static struct mptcp_pm *pm_of(struct managed *m)
{
	return &m->control->s.pm[m->conn->side];
}

static const struct control_tun *pick_tun(struct managed *m, uint8_t family_len, uint8_t *index, struct ip_addr *address)
{
	struct control *c = m->control;
	const struct control_tun *best = NULL;
	const struct ctl_flow *f;
	unsigned int best_used = 0;

	for (unsigned int t = 0; t < c->s.num_tuns; t++) {
		const struct control_tun *tun = &c->s.tuns[t];
		unsigned int used = 0, a = 0;

		while (a < tun->num_addresses && tun->addresses[a].len != family_len)
			a++;
		if (tun->side != m->conn->side || a == tun->num_addresses)
			continue;
		CONN_FOREACH(c, m->conn, f)
			used += f->tun == t && subflow_is_there(f);
		if (best && used >= best_used)
			continue;
		best = tun;
		best_used = used;
		*index = (uint8_t)t;
		*address = tun->addresses[a];
	}
	return best;
}

static bool id_in_use(const struct control *c, const struct conn *n, uint8_t id)
{
	const struct ctl_flow *f;

	CONN_FOREACH(c, n, f)
		if (f->kind == FLOW_SUB && f->state < FLOW_LINGER && (f->address_id == id || !f->address_id))
			return true;
	return false;
}

/* The next number for an address; the kernel keeps each with its address and port until it is told to forget it. */
static uint8_t next_id(struct managed *m)
{
	struct mptcp_pm_subflow s = { .token = m->key.token };
	char why[MPTCP_PM_WHY_LEN];

	m->ids_used |= m->last_id == UINT8_MAX;
	m->last_id = m->last_id == UINT8_MAX ? 1 : (uint8_t)(m->last_id + 1);
	s.id = m->last_id;
	if (m->ids_used && !id_in_use(m->control, m->conn, s.id))
		mptcp_pm_do(pm_of(m), MPTCP_PM_REMOVE, &s, why);
	return s.id;
}

static void say_refused(struct control *c, const struct ctl_flow *f, int err, const char *why)
{
	char text[256];

	if (!c->subflows.said_refused && (err == -EPERM || err == -EACCES))
		log_warn("the kernel does not let shilad manage subflows (%s): lost ones do not come back; it needs CAP_NET_ADMIN, "
			 "or egress.path_manager: kernel", strerror(-err));
	else
		log_debug("%s: the kernel does not create it: %s%s%s", flow_str(f, text), strerror(-err), *why ? ": " : "", why);
	c->subflows.said_refused |= err == -EPERM || err == -EACCES;
}

bool subflows_have_main(const struct control *c, const struct conn *n)
{
	const struct ctl_flow *f;

	CONN_FOREACH(c, n, f)
		if (subflow_is_there(f) && subflow_is_main(f))
			return true;
	return false;
}

/* A flow that waits for the SYN; NULL: no room. */
static struct ctl_flow *expect(struct managed *m, struct peer_path *pp, const struct flow_key *key, uint8_t tun)
{
	struct control *c = m->control;
	const struct ctl_flow *oldest = flow_of(c, c->lingering[control_worker_of(c, key->local_port, key->remote_port)]);
	struct ctl_flow *f;

	/* Not in the place of what may be the last flow of this connection. */
	if (!oldest || flow_conn(oldest) != m->conn)
		flow_make_room(c, key->local_port, key->remote_port);
	f = flow_new(c, key, key->local_port, key->remote_port);
	if (!f)
		return NULL;
	f->kind = FLOW_SUB;
	f->expected = true;
	f->tun = tun;
	f->peer = conn_peer(c, m->conn);
	f->stands_in = !subflows_have_main(c, m->conn);
	f->backup = conn_route(c, m->conn)->backup && !f->stands_in;
	limits_count(f);
	conn_add(m->conn, f);
	f->token = m->conn->token;
	f->has_token = true;
	flow_use_path(f, pp);
	flow_timer(f, EXPECT_MS);
	return f;
}

/* Also if the kernel does not take it: what @f is worth then is counted by subflows_left(). */
static int order(struct managed *m, struct ctl_flow *f, int ifindex)
{
	struct mptcp_pm_subflow s = {
		.token = m->key.token, .local = f->key.local, .remote = f->key.remote, .local_port = f->key.local_port,
		.remote_port = f->key.remote_port, .ifindex = ifindex, .backup = f->backup,
	};
	char why[MPTCP_PM_WHY_LEN];
	int err = -EEXIST;

	/* After a restart it is not known which the kernel still keeps of subflows that are gone. */
	for (int i = 0; i < UINT8_MAX && err == -EEXIST; i++) {
		s.id = next_id(m);
		err = mptcp_pm_do(pm_of(m), MPTCP_PM_CREATE, &s, why);
	}
	f->address_id = s.id;
	if (err < 0)
		say_refused(m->control, f, err, why);
	return err;
}

/* Where the connection goes to: all its flows name the same. */
static const struct ctl_flow *any_flow(const struct control *c, const struct conn *n)
{
	const struct ctl_flow *f;

	CONN_FOREACH(c, n, f)
		if (f->kind == FLOW_MAIN)
			return f;
	return flow_of(c, n->flows);
}

/* 0: one more may be created now. Thousands that were lost at once leave room for the SYNs of programs. */
static uint64_t must_wait_ms(struct control *c)
{
	uint64_t now = control_now_ms(c), second = now / 1000;

	if (c->held > c->cfg->limits.held_syns / 2)
		return HELD_MS + control_random() % (2 * HELD_MS);
	if (c->subflows.second != second) {
		c->subflows.second = second;
		c->subflows.in_second = 0;
	}
	return c->subflows.in_second++ < c->cfg->limits.subflows_per_second ? 0 : 1000 - now % 1000;
}

/* Return: 0; -EAGAIN: later, as @m says; -ENOTCONN, -ESRCH, ...: @m says what follows from that. */
static int create(struct managed *m, struct peer_path *pp)
{
	struct control *c = m->control;
	const struct ctl_flow *like = any_flow(m->control, m->conn);
	struct flow_key key = {
		.side = like->key.side, .proto = INET_PROTO_TCP, .remote = like->key.remote, .remote_port = like->key.remote_port,
	};
	const struct control_tun *tun;
	struct ctl_flow *f = NULL;
	uint64_t now = control_now_ms(c);
	uint8_t index = 0;
	int err = -EADDRINUSE;

	m->plan.not_before_ms = now + must_wait_ms(c);
	if (m->plan.not_before_ms > now)
		return -EAGAIN;
	tun = pick_tun(m, key.remote.len, &index, &key.local);
	if (!tun)
		return -EADDRNOTAVAIL;
	for (int i = 0; i < PORT_TRIES && err == -EADDRINUSE; i++) {
		key.local_port = (uint16_t)(PORT_FIRST + control_random() % PORT_COUNT);
		if (flow_by_key(c, &key))
			continue;
		f = expect(m, pp, &key, index);
		if (!f)
			return -ENOMEM;
		err = order(m, f, tun->ifindex);
		if (err < 0) {
			f->given_up = true; /* so that it is not taken for one that failed */
			flow_free(f);
		}
	}
	if (err < 0)
		return err;
	conn_plan_also(c, m->conn, pp);
	f->replaces = m->missing > 0;
	m->missing -= f->replaces;
	c->n.subflows_created++;
	return 0;
}

void subflow_create(struct managed *m, struct peer_path *pp)
{
	struct control *c = m->control;
	uint64_t now = control_now_ms(c);
	int err = create(m, pp);

	switch (err) {
	case 0:
		m->not_connected = 0;
		return;
	case -EAGAIN:
		return;
	case -ENOTCONN: /* not yet, which an event will tell; or no longer */
		m->over = ++m->not_connected >= NOT_CONNECTED;
		m->plan.not_before_ms = now + NOT_CONNECTED_MS;
		return;
	case -ESRCH:
	case -EOPNOTSUPP: /* its socket is older than our being the path manager */
		m->over = true;
		return;
	default:
		c->n.subflows_failed++;
		subflow_plan_lost(&m->plan, now, 0);
	}
}

static struct mptcp_pm_subflow subflow_of(const struct managed *m, const struct ctl_flow *f)
{
	return (struct mptcp_pm_subflow){
		.token = m->key.token, .local = f->key.local, .remote = f->key.remote, .local_port = f->key.local_port,
		.remote_port = f->key.remote_port,
	};
}

void subflow_destroy(struct managed *m, struct ctl_flow *f)
{
	struct mptcp_pm_subflow s = subflow_of(m, f);
	char why[MPTCP_PM_WHY_LEN], text[256];
	int err;

	if (f->parked)
		parking_wake(f); /* its FINs need a path */
	err = mptcp_pm_do(pm_of(m), MPTCP_PM_DESTROY, &s, why);
	log_debug("%s: one too many on its path: %s%s%s", flow_str(f, text), err ? strerror(-err) : "ended", *why ? ": " : "",
		  why);
	f->given_up = !err;
	if (!err) {
		m->control->n.subflows_destroyed++;
		event_flow(EVENT_SUBFLOW_ENDED, f);
	}
	if (err == -ESRCH)
		m->over = true;
}

void subflow_set_priority(struct managed *m, struct ctl_flow *f, bool backup)
{
	struct mptcp_pm_subflow s = subflow_of(m, f);
	char why[MPTCP_PM_WHY_LEN], text[256];
	int err;

	s.backup = backup;
	err = mptcp_pm_do(pm_of(m), MPTCP_PM_PRIORITY, &s, why);
	f->backup = backup; /* else it would be tried for ever */
	if (!err) {
		m->control->n.priorities++;
		event_flow(backup ? EVENT_SUBFLOW_BACKUP : EVENT_SUBFLOW_NORMAL, f);
	}
	if (err)
		log_debug("%s: its priority stays: %s%s%s", flow_str(f, text), strerror(-err), *why ? ": " : "", why);
	else if (flow_may_log(m->control))
		log_info("%s: %s", flow_str(f, text), backup ? "for backup only" : "carries data again");
}
