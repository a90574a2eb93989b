/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/control/control.h"

#include "tests/unit/check.h"

#include <stdlib.h>
#include <string.h>

static uv_loop_t loop;
static struct control *c;
static struct config *cfg;
static struct ctl_flow *flows[4096];
static unsigned int num_flows;

static void begin(const char *limits)
{
	struct config_messages msgs = { 0 };
	char text[1024];

	snprintf(text, sizeof(text),
		 "version: 1\ningress: {pool: 10.64.0.0/16, allow: [\"1-64512\", \"1-64513\"]}\nlimits: {%s}\n", limits);
	CHECK("the configuration is right", !config_parse(text, strlen(text), NULL, &cfg, &msgs));
	config_messages_free(&msgs);
	uv_loop_init(&loop);
	c = calloc(1, sizeof(*c));
	c->cfg = cfg;
	c->loop = &loop;
	c->pool = pool_new(cfg->ingress.pool, cfg->ingress.num_pool);
	num_flows = 0;
}

static void end_flow(unsigned int i)
{
	struct ctl_flow *f = flows[i];

	if (!f)
		return;
	limits_pool_put(c, f->peer, &f->key.remote);
	limits_uncount(f);
	free(f);
	flows[i] = NULL;
}

static void end(void)
{
	for (unsigned int i = 0; i < num_flows; i++)
		end_flow(i);
	CHECK("all addresses are back", !pool_used(c->pool));
	CHECK("all peers are idle", c->num_idle == HASH_COUNT(c->peers));
	for (struct peer *p = c->peers; p; p = p->hh.next)
		CHECK("nothing is counted", !p->flows && !p->use.flows && !p->use.half_open && !p->use.addresses &&
		      !p->as->use.flows && !p->as->use.half_open && !p->as->use.addresses && !p->as->busy);
	peers_free(c);
	CHECK("no AS is left", !c->ases && !c->idle);
	pool_free(c->pool);
	free(c);
	config_free(cfg);
	uv_loop_close(&loop);
}

/* An OPEN of a client at a host of an AS: what is said to it, and if it may, a half-open flow. */
static enum verdict open_from(unsigned int as, unsigned int host, unsigned int client)
{
	struct scion_addr addr = { .host = { .len = 4, .b = { 10, 0, (uint8_t)(host >> 8), (uint8_t)host } } };
	struct ip_addr inner = { .len = 4, .b = { 10, 7, (uint8_t)(client >> 8), (uint8_t)client } };
	struct ctl_flow *f;
	enum verdict v;
	char ia[16];

	snprintf(ia, sizeof(ia), "1-%u", 64512 + as);
	isd_as_parse(ia, &addr.ia);
	v = limits_check(c, &addr, &inner);
	if (v != VERDICT_PASS)
		return v;
	f = calloc(1, sizeof(*f));
	f->control = c;
	f->server = true;
	f->state = FLOW_OFFERED;
	f->peer = peer_get(c, &addr);
	limits_count_open(c, f->peer);
	CHECK("an address", !limits_pool_get(c, f->peer, &inner, &f->key.remote));
	limits_count(f);
	flows[num_flows++] = f;
	return VERDICT_PASS;
}

/* How many of @hosts hosts with @each OPENs each got in; the last refusal. */
static unsigned int flood(unsigned int as, unsigned int hosts, unsigned int each, enum verdict *why)
{
	unsigned int in = 0;

	*why = VERDICT_PASS;
	for (unsigned int k = 0; k < each; k++) {
		for (unsigned int h = 1; h <= hosts; h++) {
			enum verdict v = open_from(as, h, k);

			in += v == VERDICT_PASS;
			*why = v == VERDICT_PASS ? *why : v;
		}
	}
	return in;
}

static struct limit_use use_of(const char *name)
{
	struct limit_use u;

	for (size_t i = 0; limits_next(c, i, &u); i++)
		if (!strcmp(u.name, name))
			return u;
	return (struct limit_use){ 0 };
}


static void test_each(void)
{
	static const struct {
		const char *why, *name;
		const char *limits;
		unsigned int in;
		enum verdict v;
	} rows[] = {
		{ "flows", "flows_per_as", "flows_per_as: 25, flows_per_peer: 4", 25, VERDICT_LIMIT_AS_FLOWS },
		{ "half open", "half_open_per_as", "half_open_per_as: 12, half_open_per_peer: 4", 12, VERDICT_LIMIT_AS_HALF_OPEN },
		{ "rate", "opens_per_second_per_as", "opens_per_second_per_as: 30, opens_per_second_per_peer: 4", 30,
		  VERDICT_LIMIT_AS_OPENS },
		{ "pool", "pool_addresses_per_as", "pool_addresses_per_as: 8, pool_addresses_per_peer: 2", 8,
		  VERDICT_LIMIT_AS_POOL },
		{ "hosts", "peers_per_as", "peers_per_as: 20", 40, VERDICT_LIMIT_AS_PEERS },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum verdict why;
		struct limit_use u;

		begin(rows[i].limits);
		CHECK(rows[i].why, flood(0, 1000, 2, &why) == rows[i].in);
		CHECK("for that reason", why == rows[i].v);
		CHECK("each refusal is counted", c->drops[rows[i].v] == 2000 - rows[i].in);
		u = use_of(rows[i].name);
		CHECK("shown", u.verdict == rows[i].v && u.used == u.limit && u.worst == u.limit);
		CHECK("another AS has its own share", open_from(1, 1, 1) == VERDICT_PASS);
		end();
	}
}

static void test_peer(void)
{
	enum verdict why;

	begin("flows_per_peer: 4");
	CHECK("flows", flood(0, 1, 9, &why) == 4 && why == VERDICT_LIMIT_PEER_FLOWS);
	CHECK("its neighbour", open_from(0, 2, 1) == VERDICT_PASS);
	flows[0]->state = FLOW_LINGER;
	limits_count(flows[0]);
	CHECK("what lingers does not count", open_from(0, 1, 20) == VERDICT_PASS && open_from(0, 1, 21) == VERDICT_LIMIT_PEER_FLOWS);
	end();
	begin("half_open_per_peer: 4");
	CHECK("half open", flood(0, 1, 9, &why) == 4 && why == VERDICT_LIMIT_HALF_OPEN);
	flows[0]->confirmed = true;
	limits_count(flows[0]);
	CHECK("once one was heard", open_from(0, 1, 20) == VERDICT_PASS);
	end();
	begin("opens_per_second_per_peer: 4");
	CHECK("rate", flood(0, 1, 9, &why) == 4 && why == VERDICT_LIMIT_OPENS);
	loop.time += 1000;
	CHECK("the next second", open_from(0, 1, 20) == VERDICT_PASS);
	CHECK("now and at most", use_of("opens_per_second_per_peer").used == 1 && use_of("opens_per_second_per_peer").worst == 4);
	end();
	begin("pool_addresses_per_peer: 4");
	CHECK("pool", flood(0, 1, 9, &why) == 4 && why == VERDICT_LIMIT_PEER_POOL);
	CHECK("a client that has one", open_from(0, 1, 0) == VERDICT_PASS);
	end_flow(1);
	CHECK("one that is free again", open_from(0, 1, 20) == VERDICT_PASS && open_from(0, 1, 21) == VERDICT_LIMIT_PEER_POOL);
	end();
}

static void test_peers(void)
{
	enum verdict why;

	begin("peers: 10");
	CHECK("peers", flood(0, 20, 1, &why) == 10 && why == VERDICT_LIMIT_PEERS);
	CHECK("one that is known", open_from(0, 1, 7) == VERDICT_PASS);
	end_flow(2);
	CHECK("an idle one makes room", open_from(1, 30, 1) == VERDICT_PASS && open_from(1, 31, 1) == VERDICT_LIMIT_PEERS);
	CHECK("and is forgotten", HASH_COUNT(c->peers) == 10);
	end();
}

const struct unit_test unit_tests[] = {
	{ "an AS of 1000 hosts", test_each },
	{ "a peer", test_peer },
	{ "peers", test_peers },
	{ 0 },
};
