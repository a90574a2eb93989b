/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a configuration file. What is accepted is written out as YAML again, by hand and
 * with every key, and must then be accepted again and mean the same.
 */
#include "config/config.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

static void put_prefixes(FILE *f, const struct ip_prefix *list, size_t n)
{
	char text[IP_PREFIX_STRLEN];

	for (size_t i = 0; i < n; i++)
		fprintf(f, "%s\"%s\"", i ? ", " : "[", ip_prefix_str(&list[i], text));
	fprintf(f, "]\n");
}

static void put_egress(FILE *f, const struct config_egress *e)
{
	MUST(e->interfaces >= 1 && e->interfaces <= CONFIG_MAX_INTERFACES && e->num_addresses);
	MUST(memchr(e->namespace, '\0', sizeof(e->namespace)) && *e->namespace);
	for (size_t i = 0; i < e->num_addresses; i++)
		MUST(ip_addr_nth(&e->addresses[i], e->interfaces).len);
	fprintf(f, "- namespace: \"%s\"\n  interfaces: %u\n  path_manager: %s\n  addresses: ", e->namespace,
		e->interfaces,
		e->path_manager == PATH_MANAGER_AUTO ? "auto" :
		e->path_manager == PATH_MANAGER_OWN  ? "own" :
						       "kernel");
	put_prefixes(f, e->addresses, e->num_addresses);
}

static void put_serve(FILE *f, const struct config_serve *s)
{
	char text[IP_ADDR_STRLEN];

	MUST(s->port_min <= s->port_max);
	MUST(s->proto == 1 || s->proto == 6 || s->proto == 17);
	fprintf(f, "\"%s", s->proto == 1 ? "icmp" : s->proto == 6 ? "tcp/" : "udp/");
	if (s->proto != 1 && !s->port_min)
		fprintf(f, "*");
	else if (s->proto != 1)
		fprintf(f, "%u-%u", s->port_min, s->port_max);
	if (s->address.len)
		fprintf(f, "@%s", ip_addr_str(&s->address, text));
	fprintf(f, "\"");
}

static void put_ingress(FILE *f, const struct config_ingress *in)
{
	char text[SCION_ADDR_STRLEN];

	MUST(in->num_addresses && in->num_addresses <= 2 && in->num_pool);
	fprintf(f, "ingress:\n  namespace: \"%s\"\n  address: [", in->namespace);
	for (size_t i = 0; i < in->num_addresses; i++)
		fprintf(f, "%s\"%s\"", i ? ", " : "", ip_addr_str(&in->addresses[i], text));
	fprintf(f, "]\n  pool: ");
	put_prefixes(f, in->pool, in->num_pool);
	fprintf(f, "  allow: [");
	for (size_t i = 0; i < in->num_allow; i++) {
		const struct scion_addr a = {in->allow[i].ia, in->allow[i].host};

		fprintf(f, "%s\"%s\"", i ? ", " : "",
			a.host.len ? scion_addr_str(&a, text) : isd_as_str(a.ia, text));
	}
	fprintf(f, "]\n  serve: [");
	for (size_t i = 0; i < in->num_serve; i++) {
		fprintf(f, "%s", i ? ", " : "");
		put_serve(f, &in->serve[i]);
	}
	fprintf(f, "]\n");
}

static void put_paths(FILE *f, const char *indent, const struct config_paths *p)
{
	static const char *const metrics[] = {"latency", "hops", "mtu", "bandwidth"};

	MUST(p->metric <= METRIC_BANDWIDTH && p->share >= 1 && p->share <= CONFIG_MAX_INTERFACES);
	fprintf(f, "%spaths:\n%s  metric: %s\n%s  share: %u\n%s  replay: %s\n%s  policy: [", indent,
		indent, metrics[p->metric], indent, p->share, indent, p->replay ? "on" : "off",
		indent);
	for (size_t i = 0; i < p->num_policy; i++)
		fprintf(f, "%s\"%s\"", i ? ", " : "", p->policy[i]);
	fprintf(f, "]\n");
}

static void put_route(FILE *f, const struct config_route *r)
{
	char text[SCION_ENDPOINT_STRLEN];

	MUST(r->num_via && r->num_via <= CONFIG_MAX_VIA && r->mode == MODE_FORWARD);
	fprintf(f, "- to: \"%s\"\n  via: [", ip_prefix_str(&r->to, text));
	for (size_t i = 0; i < r->num_via; i++) {
		MUST(r->via[i].port);
		fprintf(f, "%s\"%s\"", i ? ", " : "", scion_endpoint_str(&r->via[i], text));
	}
	fprintf(f, "]\n  backup: %s\n", r->backup ? "on" : "off");
	if (r->as.len)
		fprintf(f, "  as: \"%s\"\n", ip_addr_str(&r->as, text));
	if (r->subflows)
		fprintf(f, "  subflows: %u\n", r->subflows);
	put_paths(f, "  ", &r->paths);
}

static void put_sock(FILE *f, const union sock_addr *sa)
{
	const struct ip_addr a = sock_addr_ip(sa);
	char text[IP_ADDR_STRLEN];

	fprintf(f, a.len == 16 ? "\"[%s]:%u\"" : "\"%s:%u\"", ip_addr_str(&a, text),
		sock_addr_port(sa));
}

/* All of a path is printable and needs no escapes, or else this file cannot be written by hand. */
static bool plain_file(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f || *text == '"' ||
		    *text == '\\')
			return false;
	return true;
}

static void put_config(FILE *f, const struct config *c)
{
	const struct config_limits *l = &c->limits;
	char text[IP_ADDR_STRLEN];

	MUST(c->version == 1 && (c->num_egress || c->ingress.enabled));
	MUST(c->workers <= CONFIG_MAX_WORKERS && c->num_egress <= CONFIG_MAX_EGRESS);
	MUST(!c->contact.num_traffic || c->contact.num_traffic == c->workers);
	fprintf(f, "version: 1\nscion:\n  daemon: ");
	put_sock(f, &c->scion.daemon);
	fprintf(f, "\n  address: \"%s\"\n",
		c->scion.address.len ? ip_addr_str(&c->scion.address, text) : "auto");
	fprintf(f, "contact:\n  port: %u\n  open_deadline_ms: %u\n", c->contact.port,
		c->contact.open_deadline_ms);
	for (size_t i = 0; i < c->contact.num_traffic; i++)
		fprintf(f, i ? "  - %u\n" : "  traffic:\n  - %u\n", c->contact.traffic[i]);
	if (c->num_egress)
		fprintf(f, "egress:\n");
	for (size_t i = 0; i < c->num_egress; i++)
		put_egress(f, &c->egress[i]);
	if (c->ingress.enabled)
		put_ingress(f, &c->ingress);
	put_paths(f, "", &c->paths);
	if (c->num_routes)
		fprintf(f, "routes:\n");
	for (size_t i = 0; i < c->num_routes; i++)
		put_route(f, &c->routes[i]);
	if (c->workers)
		fprintf(f, "workers: %u\n", c->workers);
	fprintf(f, "steering: %s\n",
		c->steering == STEERING_AUTO	? "auto" :
		c->steering == STEERING_PROGRAM ? "program" :
						  "rings");
	fprintf(f, "busy_poll_us: %u\n", c->busy_poll_us);
	fprintf(f,
		"limits: {flows: %u, flows_per_peer: %u, half_open_per_peer: %u, "
		"opens_per_second_per_peer: %u,\n"
		"  pool_addresses_per_peer: %u, flows_per_as: %u, half_open_per_as: %u,\n"
		"  opens_per_second_per_as: %u, pool_addresses_per_as: %u, peers_per_as: %u, park_after_s: %u, linger_s: %u,\n"
		"  frames_per_second_peers: %u, frames_per_second_as: %u,\n"
		"  frames_per_second_strangers: %u, scmp_per_second: %u,\n"
		"  control_queue: %u, held_syns: %u, subflows_per_second: %u, peers: %u, paths_per_as: %u, kept_paths: %u,\n"
		"  replay_kib_per_flow: %u, replay_mib_per_worker: %u, control_clients: %u}\n",
		l->flows, l->flows_per_peer, l->half_open_per_peer, l->opens_per_second_per_peer,
		l->pool_addresses_per_peer, l->flows_per_as, l->half_open_per_as,
		l->opens_per_second_per_as, l->pool_addresses_per_as, l->peers_per_as, l->park_after_s, l->linger_s,
		l->frames_per_second_peers, l->frames_per_second_as,
		l->frames_per_second_strangers, l->scmp_per_second,
		l->control_queue, l->held_syns, l->subflows_per_second, l->peers, l->paths_per_as, l->kept_paths,
		l->replay_kib_per_flow, l->replay_mib_per_worker, l->control_clients);
	fprintf(f, "state: \"%s\"\ncontrol: \"%s\"\n", c->state, c->control);
}

static char *to_yaml(const struct config *c)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	MUST(f);
	put_config(f, c);
	fclose(f);
	return text;
}

static void check_messages(const struct config_messages *msgs, int err)
{
	bool errors = false;

	for (size_t i = 0; i < msgs->count; i++) {
		const struct config_message *m = &msgs->list[i];

		MUST(m->line >= 1 && m->column >= 1 && *m->text);
		MUST(memchr(m->text, '\0', sizeof(m->text)));
		MUST(!i || m[-1].line < m->line ||
		     (m[-1].line == m->line && m[-1].column <= m->column));
		errors |= !m->warning;
	}
	MUST(errors == (err == -EINVAL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *cfg = NULL, *again = NULL;
	struct config_messages msgs;
	char *text, *text_again;
	int err;

	err = config_parse((const char *)data, size, NULL, &cfg, &msgs);
	MUST(!err || err == -EINVAL);
	MUST(!err == !!cfg);
	check_messages(&msgs, err);
	config_messages_free(&msgs);
	if (err)
		return 0;
	if (plain_file(cfg->state) && plain_file(cfg->control)) {
		text = to_yaml(cfg);
		err = config_parse(text, strlen(text), "ignored", &again, &msgs);
		if (err)
			config_messages_print(&msgs, text, stderr);
		MUST(!err);
		config_messages_free(&msgs);
		text_again = to_yaml(again);
		MUST(!strcmp(text, text_again));
		free(text_again);
		free(text);
		config_free(again);
	}
	config_free(cfg);
	return 0;
}
