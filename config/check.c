/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a single value cannot tell: whether the values fit each other. Values that were refused
 * already are zero here and skipped, so that one mistake gives one message.
 */
#include "config/walk.h"

#include <string.h>

#define NAME_STRLEN 32 /* "routes[4095]" */

struct check {
	const struct node *root;
	struct report *report;
	struct config *cfg;
};

/* The @i-th item of a list that was read well; a single value is the list of itself. */
static const struct node *nth_good(const struct node *list, size_t i)
{
	if (!list || list->kind != NODE_LIST)
		return list;
	for (size_t j = 0; j < list->count; j++)
		if (!list->items[j]->bad && !i--)
			return list->items[j];
	return list;
}

/* The @i-th item of a list of maps, bad or not. */
static const struct node *nth_map(const struct node *list, size_t i)
{
	return list && list->kind == NODE_LIST ? list->items[i] : list;
}

/* "routes[2]", or "routes" where the file has one without a list. */
static const char *map_name(const struct node *list, const char *key, size_t i, char *buf)
{
	if (list && list->kind == NODE_LIST)
		snprintf(buf, NAME_STRLEN, "%s[%zu]", key, i);
	else
		snprintf(buf, NAME_STRLEN, "%s", key);
	return buf;
}

/* @n, or what stands for it where the file leaves it out. */
static const struct node *or_else(const struct node *n, const struct node *other)
{
	return n ? n : other;
}

static const char *family_str(const struct ip_addr *a)
{
	return a->len == 4 ? "IPv4" : "IPv6";
}

static bool has_family(const struct ip_prefix *list, size_t n, uint8_t len)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].addr.len == len)
			return true;
	return false;
}

/* A prefix, without the /32 or /128 of a single address. */
static char *prefix_str(const struct ip_prefix *p, char *buf)
{
	return p->bits == p->addr.len * 8 ? ip_addr_str(&p->addr, buf) : ip_prefix_str(p, buf);
}

static void check_roles(struct check *c)
{
	const struct config *cfg = c->cfg;
	const struct node *egress = node_find(c->root, "egress");
	const struct node *ingress = node_find(c->root, "ingress");
	const struct node *serve = node_find(ingress, "serve");

	if (!cfg->num_egress && !ingress && (!egress || !egress->bad))
		node_error(c->report, c->root, "egress, ingress: at least one of them is needed");
	if (cfg->num_egress && !cfg->num_routes && !node_find(c->root, "routes"))
		node_warning(c->report, or_else(egress, c->root),
			     "routes: none, so nothing can be reached from the egress");
	if (ingress && !cfg->ingress.num_allow && !cfg->num_routes &&
	    !node_find(ingress, "allow") && !node_find(c->root, "routes"))
		node_warning(c->report, ingress,
			     "ingress.allow: empty and no routes, so nobody may connect");
	if (serve && serve->kind == NODE_LIST && !serve->count)
		node_warning(c->report, serve, "ingress.serve: empty, so peers reach nothing");
}

/* A namespace that is given, whether in the file or by default; false if it is unknown. */
static bool known_namespace(const struct node *section)
{
	const struct node *n = node_find(section, "namespace");

	return section && !section->bad && (!n || !n->bad);
}

static void check_namespaces(struct check *c)
{
	const struct config *cfg = c->cfg;
	const struct node *list = node_find(c->root, "egress");
	const struct node *ingress = node_find(c->root, "ingress");
	char name[NAME_STRLEN], other[NAME_STRLEN];

	for (size_t i = 0; i < cfg->num_egress; i++) {
		const struct node *at = nth_map(list, i);
		const char *ns = cfg->egress[i].namespace;

		if (!known_namespace(at))
			continue;
		for (size_t j = 0; j < i; j++)
			if (known_namespace(nth_map(list, j)) &&
			    !strcmp(ns, cfg->egress[j].namespace)) {
				node_error(c->report, or_else(node_find(at, "namespace"), at),
					   "%s.namespace: \"%s\" is the namespace of %s already",
					   map_name(list, "egress", i, name), ns,
					   map_name(list, "egress", j, other));
				break;
			}
		if (*ns && known_namespace(ingress) && !strcmp(ns, cfg->ingress.namespace))
			node_error(c->report,
				   or_else(node_find(ingress, "namespace"),
					   or_else(node_find(at, "namespace"), at)),
				   "ingress.namespace: \"%s\" is the namespace of %s too, they "
				   "must differ",
				   ns, map_name(list, "egress", i, name));
	}
}

/* Something that owns addresses. */
struct owner {
	struct ip_prefix prefix;
	const struct node *at;
	char key[KEY_STRLEN];
};

#define MAX_OWNERS (CONFIG_MAX_EGRESS * CONFIG_MAX_PREFIXES + 2 * CONFIG_MAX_PREFIXES)

/* Every address has one meaning: no prefix of egress or pool and no ingress address in another. */
static void check_overlaps(struct check *c)
{
	const struct config *cfg = c->cfg;
	const struct node *egress = node_find(c->root, "egress");
	const struct node *ingress = node_find(c->root, "ingress");
	char a[IP_PREFIX_STRLEN], b[IP_PREFIX_STRLEN], name[NAME_STRLEN];
	struct owner list[MAX_OWNERS];
	size_t n = 0;

	for (size_t i = 0; i < cfg->num_egress; i++) {
		const struct node *at = nth_map(egress, i), *addrs = node_find(at, "addresses");

		for (size_t j = 0; j < cfg->egress[i].num_addresses; j++, n++) {
			list[n].prefix = cfg->egress[i].addresses[j];
			list[n].at = or_else(nth_good(addrs, j), at);
			snprintf(list[n].key, KEY_STRLEN, "%s.addresses",
				 map_name(egress, "egress", i, name));
		}
	}
	for (size_t j = 0; j < cfg->ingress.num_addresses; j++, n++) {
		const struct ip_addr *addr = &cfg->ingress.addresses[j];

		list[n].prefix = (struct ip_prefix){.addr = *addr, .bits = addr->len * 8};
		list[n].at = or_else(nth_good(node_find(ingress, "address"), j), ingress);
		strcpy(list[n].key, "ingress.address");
	}
	for (size_t j = 0; j < cfg->ingress.num_pool; j++, n++) {
		list[n].prefix = cfg->ingress.pool[j];
		list[n].at = or_else(nth_good(node_find(ingress, "pool"), j), ingress);
		strcpy(list[n].key, "ingress.pool");
	}
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < i; j++)
			if (ip_prefix_overlap(&list[i].prefix, &list[j].prefix)) {
				node_error(c->report, list[i].at, "%s: %s overlaps %s of %s",
					   list[i].key, prefix_str(&list[i].prefix, a),
					   prefix_str(&list[j].prefix, b), list[j].key);
				break;
			}
}

static void check_egress_size(struct check *c)
{
	const struct node *list = node_find(c->root, "egress");
	char name[NAME_STRLEN], text[IP_PREFIX_STRLEN];

	for (size_t i = 0; i < c->cfg->num_egress; i++) {
		const struct config_egress *e = &c->cfg->egress[i];
		const struct node *at = nth_map(list, i), *addrs = node_find(at, "addresses");

		for (size_t j = 0; j < e->num_addresses; j++)
			if (!ip_addr_nth(&e->addresses[j], e->interfaces).len)
				node_error(c->report, or_else(nth_good(addrs, j), at),
					   "%s.addresses: %s is too small for %u interfaces",
					   map_name(list, "egress", i, name),
					   prefix_str(&e->addresses[j], text), e->interfaces);
	}
}

static void check_ingress(struct check *c)
{
	const struct config_ingress *in = &c->cfg->ingress;
	const struct node *section = node_find(c->root, "ingress");
	const struct node *address = node_find(section, "address"),
			  *pool = node_find(section, "pool");
	char text[IP_PREFIX_STRLEN];
	bool address_ok = !address || !address->bad, pool_ok = !pool || !pool->bad;
	unsigned int seen[17] = {0};

	for (size_t i = 0; pool && pool->kind == NODE_LIST && i < pool->count; i++)
		pool_ok &= !pool->items[i]->bad;
	for (size_t i = 0; address && address->kind == NODE_LIST && i < address->count; i++)
		address_ok &= !address->items[i]->bad;
	for (size_t i = 0; i < in->num_addresses; i++) {
		const struct ip_addr *a = &in->addresses[i];
		const struct node *at = or_else(nth_good(address, i), section);

		if (seen[a->len]++)
			node_error(c->report, at, "ingress.address: %s is a second %s address",
				   ip_addr_str(a, text), family_str(a));
		else if (pool_ok && !has_family(in->pool, in->num_pool, a->len))
			node_error(c->report, at,
				   "ingress.address: %s needs an %s prefix in ingress.pool",
				   ip_addr_str(a, text), family_str(a));
	}
	for (size_t i = 0; i < in->num_pool && address_ok; i++)
		if (!seen[in->pool[i].addr.len])
			node_error(c->report, or_else(nth_good(pool, i), section),
				   "ingress.pool: %s is of no use without an %s address in "
				   "ingress.address",
				   prefix_str(&in->pool[i], text), family_str(&in->pool[i].addr));
}

static void check_contact(struct check *c)
{
	struct config *cfg = c->cfg;
	const struct node *contact = node_find(c->root, "contact"),
			  *workers = node_find(c->root, "workers");
	const struct node *traffic = node_find(contact, "traffic");

	for (size_t i = 0; i < cfg->contact.num_traffic; i++)
		if (cfg->contact.traffic[i] == cfg->contact.port)
			node_error(c->report, nth_good(traffic, i),
				   "contact.traffic: %u is the contact.port", cfg->contact.port);
	for (size_t i = 0; traffic && traffic->kind == NODE_LIST && i < traffic->count; i++)
		if (traffic->items[i]->bad)
			return;
	if (!cfg->contact.num_traffic)
		return;
	if (!cfg->workers && (!workers || !workers->bad))
		cfg->workers = (uint32_t)cfg->contact.num_traffic;
	else if (workers && cfg->workers != cfg->contact.num_traffic)
		node_error(c->report, workers, "workers: %u, but contact.traffic has %zu ports",
			   cfg->workers, cfg->contact.num_traffic);
}

/* The last entry decides about every path that no other one knows. */
static void check_policy(struct check *c, const struct node *paths, const struct config_paths *p,
			 const char *name)
{
	const struct node *list = node_find(paths, "policy");

	if (!list || !p->num_policy || list->bad)
		return;
	if (list->kind == NODE_LIST && list->items[list->count - 1]->bad)
		return;
	if (strcmp(p->policy[p->num_policy - 1], "+") && strcmp(p->policy[p->num_policy - 1], "-"))
		node_error(
			c->report, nth_good(list, p->num_policy - 1),
			"%spaths.policy: the last entry must be + or - alone (for all other paths)",
			name);
}

/* Destinations that cannot be elsewhere: addresses of our own TUNs and clients. */
static void check_route_to(struct check *c, const struct config_route *route, const struct node *at,
			   const char *name)
{
	const struct config *cfg = c->cfg;
	char to[IP_PREFIX_STRLEN], text[IP_PREFIX_STRLEN];
	bool reachable = !cfg->num_egress;

	prefix_str(&route->to, to);
	for (size_t i = 0; i < cfg->num_egress; i++) {
		const struct config_egress *e = &cfg->egress[i];

		/* Without any address the egress is wrong, and that was said. */
		reachable |= !e->num_addresses ||
			     has_family(e->addresses, e->num_addresses, route->to.addr.len);
		for (size_t j = 0; j < e->num_addresses; j++)
			if (ip_prefix_overlap(&route->to, &e->addresses[j]) &&
			    route->to.bits >= e->addresses[j].bits) {
				node_error(c->report, at,
					   "%s.to: %s is inside %s of egress.addresses", name, to,
					   prefix_str(&e->addresses[j], text));
				return;
			}
	}
	for (size_t j = 0; j < cfg->ingress.num_pool; j++)
		if (ip_prefix_overlap(&route->to, &cfg->ingress.pool[j]) &&
		    route->to.bits >= cfg->ingress.pool[j].bits) {
			node_error(c->report, at, "%s.to: %s is inside %s of ingress.pool", name,
				   to, prefix_str(&cfg->ingress.pool[j], text));
			return;
		}
	if (!reachable)
		node_warning(c->report, at, "%s.to: %s, but no egress has an %s prefix", name, to,
			     family_str(&route->to.addr));
}

static void check_route(struct check *c, const struct config_route *route, const struct node *at,
			const char *name, uint32_t interfaces)
{
	const struct node *to = node_find(at, "to"), *as = node_find(at, "as");
	const struct node *subflows = node_find(at, "subflows");
	char text[IP_PREFIX_STRLEN], dotted[NAME_STRLEN + 1];

	if (route->to.addr.len)
		check_route_to(c, route, to, name);
	if (route->as.len && route->to.addr.len && route->as.len != route->to.addr.len)
		node_error(c->report, as, "%s.as: %s is not %s as routes.to is", name,
			   ip_addr_str(&route->as, text), family_str(&route->to.addr));
	if (interfaces && route->subflows > interfaces)
		node_error(c->report, subflows,
			   "%s.subflows: %u is above the %u interfaces of the egress", name,
			   route->subflows, interfaces);
	snprintf(dotted, sizeof(dotted), "%s.", name);
	check_policy(c, node_find(at, "paths"), &route->paths, dotted);
}

static void check_routes(struct check *c)
{
	const struct config *cfg = c->cfg;
	const struct node *list = node_find(c->root, "routes");
	uint32_t interfaces = 0;
	char name[NAME_STRLEN], text[IP_PREFIX_STRLEN];

	for (size_t i = 0; i < cfg->num_egress; i++)
		if (cfg->egress[i].interfaces > interfaces)
			interfaces = cfg->egress[i].interfaces;
	for (size_t i = 0; i < cfg->num_routes; i++) {
		const struct config_route *route = &cfg->routes[i];
		const struct node *at = nth_map(list, i);

		check_route(c, route, at, map_name(list, "routes", i, name), interfaces);
		for (size_t j = 0; j < i && route->to.addr.len; j++)
			if (!memcmp(&route->to, &cfg->routes[j].to, sizeof(route->to))) {
				node_error(c->report, node_find(at, "to"),
					   "%s.to: %s has a route already, in line %d", name,
					   prefix_str(&route->to, text), cfg->routes[j].line);
				break;
			}
	}
}

void check_config(const struct node *root, struct report *r, struct config *cfg)
{
	struct check c = {.root = root, .report = r, .cfg = cfg};
	const struct node *state = node_find(root, "state"), *control = node_find(root, "control");

	check_roles(&c);
	check_namespaces(&c);
	check_overlaps(&c);
	check_egress_size(&c);
	check_ingress(&c);
	check_contact(&c);
	check_policy(&c, node_find(root, "paths"), &cfg->paths, "");
	check_routes(&c);
	if (*cfg->state && !strcmp(cfg->state, cfg->control))
		node_error(r, or_else(control, or_else(state, root)),
			   "control: %s is the state directory", cfg->control);
}
