/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whose frames get how far: what the configuration says of hosts and ASes, for the ports (shila/core/admit.h) and for
 * the programs on their sockets (bpf/sieve.h), which do the same before a flood wakes anybody.
 */
#include "shila/control/control.h"

#include "bpf/sieve.h"

#include <errno.h>
#include <string.h>

/* What passes the programs is not counted a second time with the same measure: it would lose what is repeated. */
#define BEHIND_SIEVE 4

static void add_host(struct control *c, const struct scion_addr *addr)
{
	struct sieve_host h = { .host_len = addr->host.len };

	admit_set_add(&c->known, addr);
	for (int i = 0; i < 8; i++)
		h.ia[i] = (uint8_t)(addr->ia.v >> (56 - 8 * i));
	memcpy(h.host, addr->host.b, addr->host.len);
	for (unsigned int i = 0; i < c->num_sieves; i++)
		sieve_add(c->sieves[i], &h);
}

static size_t num_hosts(const struct config *cfg)
{
	size_t n = cfg->ingress.num_allow;

	for (size_t i = 0; i < cfg->num_routes; i++)
		n += cfg->routes[i].num_via;
	return n;
}

/* One for each socket, or none: the daemon alone does it as well, but a flood costs more then. */
static void open_sieves(struct control *c)
{
	const struct config_limits *l = &c->cfg->limits;
	struct sieve_rates rates = {
		.per_second = { l->frames_per_second_peers, l->frames_per_second_as, l->frames_per_second_strangers },
		.scmp_per_second = l->scmp_per_second,
	};
	int err = 0;

	for (unsigned int i = 0; !err && c->s.sieve && i <= c->s.num_workers; i++) {
		err = sieve_open(&rates, num_hosts(c->cfg), &c->sieves[i]);
		if (err)
			break;
		c->num_sieves = i + 1;
		err = sieve_attach(c->sieves[i], control_fd(c, i));
	}
	if (!err)
		return;
	log_info("the kernel refuses the program that keeps floods away (%s): shilad does it itself", strerror(-err));
	while (c->num_sieves)
		sieve_close(c->sieves[--c->num_sieves]);
}

int admission_start(struct control *c)
{
	const struct config_ingress *in = &c->cfg->ingress;
	const struct config_limits *l = &c->cfg->limits;
	struct admit_rates rates = {
		.per_second = { l->frames_per_second_peers, l->frames_per_second_as, l->frames_per_second_strangers },
		.scmp_per_second = l->scmp_per_second,
	};
	int err = admit_set_init(&c->known, num_hosts(c->cfg));

	if (err < 0)
		return err;
	open_sieves(c);
	for (size_t i = 0; in->enabled && i < in->num_allow; i++)
		add_host(c, &(struct scion_addr){ in->allow[i].ia, in->allow[i].host });
	for (size_t i = 0; i < c->cfg->num_routes; i++)
		for (size_t v = 0; v < c->cfg->routes[i].num_via; v++)
			add_host(c, &c->cfg->routes[i].via[v].addr);
	if (c->num_sieves) {
		for (int i = 0; i < ADMIT_NUM_WHO; i++)
			rates.per_second[i] *= BEHIND_SIEVE;
		rates.scmp_per_second *= BEHIND_SIEVE;
	}
	return admit_init(&c->at_contact, &c->known, &rates);
}

uint64_t admission_dropped(const struct control *c, enum verdict v)
{
	static const struct {
		enum verdict v;
		enum sieve_reason why;
	} rows[] = {
		{ VERDICT_SCION_MALFORMED, SIEVE_MALFORMED },
		{ VERDICT_LIMIT_FRAMES_PEERS, (enum sieve_reason)(SIEVE_FRAMES + SIEVE_PEER) },
		{ VERDICT_LIMIT_FRAMES_AS, (enum sieve_reason)(SIEVE_FRAMES + SIEVE_AS) },
		{ VERDICT_LIMIT_FRAMES_STRANGERS, (enum sieve_reason)(SIEVE_FRAMES + SIEVE_STRANGER) },
		{ VERDICT_LIMIT_SCMP, SIEVE_SCMP },
	};
	uint64_t n = 0;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (unsigned int s = 0; rows[i].v == v && s < c->num_sieves; s++)
			n += sieve_dropped(c->sieves[s], rows[i].why);
	return n;
}

void admission_free(struct control *c)
{
	while (c->num_sieves)
		sieve_close(c->sieves[--c->num_sieves]);
	admit_fini(&c->at_contact);
	admit_set_fini(&c->known);
}

/*
 * The kernel counts what the programs drop as well, which has counters of its own. Never less than before: both
 * are read one after the other.
 */
uint64_t control_socket_drops(struct control *c)
{
	uint64_t all = 0, sieved = 0;

	for (unsigned int s = 0; s <= c->s.num_workers; s++)
		all += underlay_dropped(control_fd(c, s));
	if (all == c->socket_drops_all)
		return c->socket_drops;
	for (unsigned int s = 0; s < c->num_sieves; s++)
		for (unsigned int why = 0; why < SIEVE_NUM_REASONS; why++)
			sieved += sieve_dropped(c->sieves[s], (enum sieve_reason)why);
	c->socket_drops_all = all;
	if (all > sieved && all - sieved > c->socket_drops)
		c->socket_drops = all - sieved;
	return c->socket_drops;
}
