/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/netlink.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/route/route.h>
#include <netlink/route/rule.h>

/*
 * Routes and rules. A subflow of MPTCP leaves by the TUN of its source address: the endpoint binds
 * its socket to the device, and the rule `from ADDRESS` with a table per TUN makes that true for
 * packets without a socket as well (RSTs), and lets IPv6 find a route at all.
 */

#define RULE_PRIORITY 7000 /* before the main table at 32766 */

static bool has_family(const struct netns_tun *tun, int family)
{
	for (size_t i = 0; i < tun->num_addresses; i++)
		if (netns_family(&tun->addresses[i]) == family)
			return true;
	return false;
}

static bool is_default_over(struct rtnl_route *r, int ifindex, uint32_t table)
{
	struct rtnl_nexthop *nh;

	if (rtnl_route_get_table(r) != table || nl_addr_get_prefixlen(rtnl_route_get_dst(r)) ||
	    rtnl_route_get_nnexthops(r) != 1)
		return false;
	nh = rtnl_route_nexthop_n(r, 0);
	return rtnl_route_nh_get_ifindex(nh) == ifindex;
}

static bool has_default_over(struct nl_sock *sock, int family, int ifindex, uint32_t table)
{
	struct nl_cache *cache;
	bool found = false;

	if (rtnl_route_alloc_cache(sock, family, 0, &cache) < 0)
		return false;
	for (struct nl_object *o = nl_cache_get_first(cache); o && !found; o = nl_cache_get_next(o))
		found = is_default_over((struct rtnl_route *)o, ifindex, table);
	nl_cache_free(cache);
	return found;
}

/*
 * Default route over a device in a table. With NLM_F_EXCL, because a default route of somebody else
 * must be neither replaced nor hidden; then what is there is ours or we say so.
 */
static int default_ensure(struct nl_sock *sock, int family, int ifindex, uint32_t table)
{
	struct rtnl_route *route = rtnl_route_alloc();
	struct rtnl_nexthop *nh = rtnl_route_nh_alloc();
	struct nl_addr *dst = NULL;
	int nle = -NLE_NOMEM;

	if (!route || !nh) {
		rtnl_route_nh_free(nh);
		goto put_route;
	}
	rtnl_route_nh_set_ifindex(nh, ifindex);
	rtnl_route_add_nexthop(route, nh); /* takes nh */
	nle = nl_addr_parse("default", family, &dst);
	if (nle < 0)
		goto put_route;
	rtnl_route_set_family(route, (uint8_t)family);
	rtnl_route_set_table(route, table);
	rtnl_route_set_protocol(route, NETNS_RTPROT);
	rtnl_route_set_scope(route, family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE);
	nle = rtnl_route_set_dst(route, dst);
	if (!nle)
		nle = rtnl_route_add(sock, route, NLM_F_EXCL);
	if (nle == -NLE_EXIST && has_default_over(sock, family, ifindex, table))
		nle = 0;
	nl_addr_put(dst);
put_route:
	rtnl_route_put(route);
	return nle;
}

int netns_defaults_ensure(struct nl_sock *sock, int ifindex, const struct netns_tun *tun,
			  uint32_t table, char *why)
{
	static const int families[] = { AF_INET, AF_INET6 };

	for (int i = 0; i < 2; i++) {
		int nle = 0;

		if (has_family(tun, families[i]))
			nle = default_ensure(sock, families[i], ifindex, table);
		if (nle == -NLE_EXIST)
			return netns_why(
				why, -EEXIST,
				"table %u has another IPv%d default route, %s needs it; remove it",
				table, i ? 6 : 4, tun->name);
		if (nle < 0)
			return netns_why(why, netns_nl_errno(nle),
					 "cannot add the IPv%d default route over %s: %s",
					 i ? 6 : 4, tun->name, nl_geterror(nle));
	}
	return 0;
}

int netns_defaults_prune(struct nl_sock *sock, int ifindex, const struct netns_tun *tun)
{
	struct nl_cache *cache;
	int nle = rtnl_route_alloc_cache(sock, AF_UNSPEC, 0, &cache);

	if (nle < 0)
		return nle;
	for (struct nl_object *o = nl_cache_get_first(cache); o && !nle; o = nl_cache_get_next(o)) {
		struct rtnl_route *r = (struct rtnl_route *)o;
		uint32_t table = rtnl_route_get_table(r);
		bool wanted = table == RT_TABLE_MAIN ? tun->default_route
						     : tun->table && table == tun->table;

		if (!wanted && rtnl_route_get_protocol(r) == NETNS_RTPROT &&
		    is_default_over(r, ifindex, table))
			nle = rtnl_route_delete(sock, r, 0);
	}
	nl_cache_free(cache);
	return nle;
}

static int rule_ensure(struct nl_sock *sock, const struct ip_addr *a, uint32_t table)
{
	struct rtnl_rule *rule = rtnl_rule_alloc();
	struct nl_addr *src = netns_nl_addr(a);
	int nle = -NLE_NOMEM;

	if (rule && src) {
		rtnl_rule_set_family(rule, netns_family(a));
		rtnl_rule_set_prio(rule, RULE_PRIORITY);
		rtnl_rule_set_action(rule, FR_ACT_TO_TBL);
		rtnl_rule_set_table(rule, table);
		rtnl_rule_set_protocol(rule, NETNS_RTPROT);
		nle = rtnl_rule_set_src(rule, src);
		if (!nle)
			nle = rtnl_rule_add(sock, rule, NLM_F_EXCL);
		if (nle == -NLE_EXIST)
			nle = 0;
	}
	nl_addr_put(src);
	rtnl_rule_put(rule);
	return nle;
}

/* What a rule of ours says. */
struct our_rule {
	struct ip_addr src;
	uint32_t table;
};

/* Take a rule apart. Return: false if it is not ours. */
static bool rule_is_ours(struct rtnl_rule *rule, struct our_rule *out)
{
	uint8_t protocol;

	if (rtnl_rule_get_protocol(rule, &protocol) < 0 || protocol != NETNS_RTPROT)
		return false;
	out->src = netns_ip_addr(rtnl_rule_get_src(rule));
	out->table = rtnl_rule_get_table(rule);
	return out->src.len != 0;
}

/* Delete our rules that @wanted refuses. */
static int rules_prune(struct nl_sock *sock, int family,
		       bool (*wanted)(const struct our_rule *rule, void *ctx), void *ctx)
{
	struct nl_cache *cache;
	int nle = rtnl_rule_alloc_cache(sock, family, &cache);

	if (nle < 0)
		return nle;
	for (struct nl_object *o = nl_cache_get_first(cache); o && !nle; o = nl_cache_get_next(o)) {
		struct our_rule rule;

		if (rule_is_ours((struct rtnl_rule *)o, &rule) && !wanted(&rule, ctx))
			nle = rtnl_rule_delete(sock, (struct rtnl_rule *)o, 0);
		if (nle == -NLE_OBJ_NOTFOUND)
			nle = 0;
	}
	nl_cache_free(cache);
	return nle;
}

/* A rule that has to do with this TUN must be one that it wants now. */
static bool fits_tun(const struct our_rule *rule, void *ctx)
{
	const struct netns_tun *tun = ctx;
	bool listed = netns_is_listed(&rule->src, tun->addresses, tun->num_addresses);

	return listed == (tun->table && rule->table == tun->table);
}

/* Addresses that lose their rules. */
struct sources {
	const struct ip_addr *list;
	size_t count;
};

static bool has_other_source(const struct our_rule *rule, void *ctx)
{
	const struct sources *gone = ctx;

	return !netns_is_listed(&rule->src, gone->list, gone->count);
}

int netns_rules_remove(struct nl_sock *sock, const struct ip_addr *list, size_t count)
{
	struct sources gone = { list, count };
	int nle = rules_prune(sock, AF_INET, has_other_source, &gone);

	return nle ? nle : rules_prune(sock, AF_INET6, has_other_source, &gone);
}

/* What a sweep looks at, and the addresses of the rules that it removed. */
struct sweep {
	struct nl_cache *routes;
	struct ip_addr *gone;
	size_t max, num_gone;
};

static bool has_routes(const struct our_rule *rule, void *ctx)
{
	struct sweep *s = ctx;

	for (struct nl_object *o = nl_cache_get_first(s->routes); o; o = nl_cache_get_next(o))
		if (rtnl_route_get_table((struct rtnl_route *)o) == rule->table)
			return true;
	if (s->num_gone < s->max)
		s->gone[s->num_gone++] = rule->src;
	return false;
}

int netns_rules_sweep(struct nl_sock *sock, struct ip_addr *gone, size_t max, size_t *num_gone)
{
	static const int families[] = { AF_INET, AF_INET6 };
	struct sweep s = { .gone = gone, .max = max };
	int nle = 0;

	for (int i = 0; i < 2 && !nle; i++) {
		nle = rtnl_route_alloc_cache(sock, families[i], 0, &s.routes);
		if (nle < 0)
			break;
		nle = rules_prune(sock, families[i], has_routes, &s);
		nl_cache_free(s.routes);
	}
	*num_gone = s.num_gone;
	return nle;
}

int netns_rules_ensure(struct nl_sock *sock, const struct netns_tun *tun)
{
	void *ctx = (void *)tun; /* fits_tun() only reads it */
	int nle = 0;

	for (size_t i = 0; i < tun->num_addresses && tun->table && !nle; i++)
		nle = rule_ensure(sock, &tun->addresses[i], tun->table);
	if (!nle)
		nle = rules_prune(sock, AF_INET, fits_tun, ctx);
	if (!nle)
		nle = rules_prune(sock, AF_INET6, fits_tun, ctx);
	return nle;
}
