/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/netlink.h"
#include "shila/base/log.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/route.h>
#include <netlink/route/rule.h>
#include <stdio.h>
#include <string.h>

/*
 * Devices of a namespace and what hangs on them. A subflow of MPTCP leaves by the TUN of its source
 * address: the endpoint binds its socket to the device, and the rule `from ADDRESS` with a table per
 * TUN makes that true for packets without a socket as well (RSTs), and lets IPv6 find a route at all.
 *
 * Everything is compared with what is there: what fits stays, so that running connections notice
 * nothing of a restart; what an earlier configuration of ours left is removed; what somebody else
 * made is never replaced.
 */

#define RULE_PRIORITY 7000 /* before the main table at 32766 */

int netns_nl_errno(int nle)
{
	static const struct {
		int nle, err;
	} map[] = {
		{ NLE_EXIST, EEXIST },	       { NLE_OBJ_NOTFOUND, ENOENT }, { NLE_NODEV, ENODEV },
		{ NLE_NOMEM, ENOMEM },	       { NLE_INVAL, EINVAL },	     { NLE_RANGE, ERANGE },
		{ NLE_PERM, EPERM },	       { NLE_NOACCESS, EACCES },     { NLE_BUSY, EBUSY },
		{ NLE_OPNOTSUPP, EOPNOTSUPP }, { NLE_NOADDR, EADDRNOTAVAIL },
		{ NLE_AF_NOSUPPORT, EAFNOSUPPORT },
	};

	if (nle < 0)
		nle = -nle;
	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (map[i].nle == nle)
			return -map[i].err;
	return nle ? -EIO : 0;
}

int netns_rtnl_open(const struct netns *ns, struct nl_sock **out, char *why)
{
	struct nl_sock *sock = nl_socket_alloc();
	int old, nle;

	if (!sock)
		return netns_why(why, -ENOMEM, "out of memory");
	old = netns_enter(ns);
	if (old < 0) {
		nl_socket_free(sock);
		return netns_why(why, old, "cannot enter network namespace '%s': %s", ns->name,
				 strerror(-old));
	}
	nle = nl_connect(sock, NETLINK_ROUTE);
	netns_leave(old);
	if (nle < 0) {
		nl_socket_free(sock);
		return netns_why(why, netns_nl_errno(nle), "cannot open a netlink socket: %s",
				 nl_geterror(nle));
	}
	*out = sock;
	return 0;
}

/* Get a device by name. Return: 1 with a link to be put, 0 if there is none, -errno. */
static int link_get(struct nl_sock *sock, const char *name, struct rtnl_link **out, char *why)
{
	int nle = rtnl_link_get_kernel(sock, 0, name, out);

	if (nle == -NLE_OBJ_NOTFOUND || nle == -NLE_NODEV)
		return 0;
	if (nle < 0)
		return netns_why(why, netns_nl_errno(nle), "cannot look at device %s: %s", name,
				 nl_geterror(nle));
	return 1;
}

/* Index of a device. Return: 0 if there is none, or -errno. */
static int link_index(struct nl_sock *sock, const char *name, char *why)
{
	struct rtnl_link *link;
	int n = link_get(sock, name, &link, why);

	if (n <= 0)
		return n;
	n = rtnl_link_get_ifindex(link);
	rtnl_link_put(link);
	return n;
}

int netns_tun_owner(const struct netns *ns, const char *name, char *alias, char *why)
{
	struct nl_sock *sock;
	struct rtnl_link *link;
	int n = netns_rtnl_open(ns, &sock, why);

	if (n < 0)
		return n;
	n = link_get(sock, name, &link, why);
	if (n > 0) {
		const char *text = rtnl_link_get_ifalias(link);

		snprintf(alias, sizeof(((struct netns_tun *)0)->alias), "%s", text ? text : "");
		rtnl_link_put(link);
	}
	nl_socket_free(sock);
	return n;
}

int netns_has_carrier(const struct netns *ns, const char *name, char *why)
{
	struct nl_sock *sock;
	struct rtnl_link *link;
	int n = netns_rtnl_open(ns, &sock, why);

	if (n < 0)
		return n;
	n = link_get(sock, name, &link, why);
	if (n > 0) {
		n = rtnl_link_get_carrier(link) != 0;
		rtnl_link_put(link);
	}
	nl_socket_free(sock);
	return n;
}

/*
 * Change a device by its index. Built by hand because libnl 3.7 can read gso_max_size but not set it.
 * Of @tun only what is not 0; with NULL the device is brought up and nothing else.
 */
static int link_change(struct nl_sock *sock, int ifindex, const struct netns_tun *tun, bool up)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC, .ifi_index = ifindex };
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_NEWLINK, 0);
	int nle;

	if (!msg)
		return -NLE_NOMEM;
	if (up)
		ifi.ifi_flags = ifi.ifi_change = IFF_UP;
	nle = nlmsg_append(msg, &ifi, sizeof(ifi), NLMSG_ALIGNTO);
	if (!nle && tun && *tun->alias)
		nle = nla_put_string(msg, IFLA_IFALIAS, tun->alias);
	if (!nle && tun && tun->mtu_bytes)
		nle = nla_put_u32(msg, IFLA_MTU, tun->mtu_bytes);
	if (!nle && tun && tun->txqueuelen)
		nle = nla_put_u32(msg, IFLA_TXQLEN, tun->txqueuelen);
	if (!nle && tun && tun->gso_max_bytes)
		nle = nla_put_u32(msg, IFLA_GSO_MAX_SIZE, tun->gso_max_bytes);
	if (nle < 0) {
		nlmsg_free(msg);
		return nle;
	}
	return nl_send_sync(sock, msg); /* takes msg */
}

int netns_lo_up(const struct netns *ns, char *why)
{
	struct nl_sock *sock;
	int n, nle = 0;

	n = netns_rtnl_open(ns, &sock, why);
	if (n < 0)
		return n;
	n = link_index(sock, "lo", why);
	if (n > 0)
		nle = link_change(sock, n, NULL, true);
	nl_socket_free(sock);
	if (nle < 0)
		return netns_why(why, netns_nl_errno(nle), "cannot bring lo up: %s", nl_geterror(nle));
	return n < 0 ? n : 0;
}

int netns_set_mtu(const struct netns *ns, const char *name, uint32_t mtu_bytes, char *why)
{
	const struct netns_tun change = { .mtu_bytes = mtu_bytes };
	struct nl_sock *sock;
	int n, nle = 0;

	n = netns_rtnl_open(ns, &sock, why);
	if (n < 0)
		return n;
	n = link_index(sock, name, why);
	if (!n)
		n = netns_why(why, -ENODEV, "there is no device %s", name);
	else if (n > 0)
		nle = link_change(sock, n, &change, false);
	nl_socket_free(sock);
	if (nle < 0)
		return netns_why(why, netns_nl_errno(nle), "cannot set the MTU of %s to %u: %s", name,
				 mtu_bytes, nl_geterror(nle));
	return n < 0 ? n : 0;
}

static int family_of(const struct ip_addr *a)
{
	return a->len == 4 ? AF_INET : AF_INET6;
}

static struct nl_addr *nl_addr_of(const struct ip_addr *a)
{
	return nl_addr_build(family_of(a), (void *)a->b, a->len);
}

/* Address of a libnl object; len 0 if it is not a whole address of ours to compare. */
static struct ip_addr addr_of_nl(struct nl_addr *a)
{
	unsigned int len = a ? nl_addr_get_len(a) : 0;

	if ((len != 4 && len != 16) || nl_addr_get_prefixlen(a) != len * 8)
		return (struct ip_addr){ 0 };
	return ip_addr_make(nl_addr_get_binary_addr(a), (uint8_t)len);
}

static bool is_listed(const struct ip_addr *a, const struct ip_addr *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ip_addr_eq(a, &list[i]))
			return true;
	return false;
}

static bool has_family(const struct netns_tun *tun, int family)
{
	for (size_t i = 0; i < tun->num_addresses; i++)
		if (family_of(&tun->addresses[i]) == family)
			return true;
	return false;
}

/* ---- addresses ---- */

static int address_ensure(struct nl_sock *sock, int ifindex, const struct ip_addr *a)
{
	struct rtnl_addr *addr = rtnl_addr_alloc();
	struct nl_addr *local = nl_addr_of(a);
	int nle = -NLE_NOMEM;

	if (addr && local) {
		rtnl_addr_set_ifindex(addr, ifindex);
		nle = rtnl_addr_set_local(addr, local);
		if (a->len == 16)
			rtnl_addr_set_flags(addr, IFA_F_NODAD);
		if (!nle)
			nle = rtnl_addr_add(sock, addr, NLM_F_REPLACE);
	}
	nl_addr_put(local);
	rtnl_addr_put(addr);
	return nle;
}

/* Addresses of a device, at most @max. Return: how many or a libnl error. */
static int addresses_get(struct nl_sock *sock, int ifindex, struct ip_addr *out, int max)
{
	struct nl_cache *cache;
	int n = 0, nle = rtnl_addr_alloc_cache(sock, &cache);

	if (nle < 0)
		return nle;
	for (struct nl_object *o = nl_cache_get_first(cache); o && n < max; o = nl_cache_get_next(o)) {
		struct rtnl_addr *addr = (struct rtnl_addr *)o;
		struct ip_addr a = addr_of_nl(rtnl_addr_get_local(addr));

		if (rtnl_addr_get_ifindex(addr) == ifindex && a.len)
			out[n++] = a;
	}
	nl_cache_free(cache);
	return n;
}

/* ---- routes ---- */

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

/* Default routes of both families, as far as the device has addresses of them. */
static int defaults_ensure(struct nl_sock *sock, int ifindex, const struct netns_tun *tun,
			   uint32_t table, char *why)
{
	static const int families[] = { AF_INET, AF_INET6 };

	for (int i = 0; i < 2; i++) {
		int nle = 0;

		if (has_family(tun, families[i]))
			nle = default_ensure(sock, families[i], ifindex, table);
		if (nle == -NLE_EXIST)
			return netns_why(why, -EEXIST,
					 "table %u has another IPv%d default route, %s needs it; remove it",
					 table, i ? 6 : 4, tun->name);
		if (nle < 0)
			return netns_why(why, netns_nl_errno(nle),
					 "cannot add the IPv%d default route over %s: %s", i ? 6 : 4,
					 tun->name, nl_geterror(nle));
	}
	return 0;
}

/* ---- rules ---- */

static int rule_ensure(struct nl_sock *sock, const struct ip_addr *a, uint32_t table)
{
	struct rtnl_rule *rule = rtnl_rule_alloc();
	struct nl_addr *src = nl_addr_of(a);
	int nle = -NLE_NOMEM;

	if (rule && src) {
		rtnl_rule_set_family(rule, family_of(a));
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
	out->src = addr_of_nl(rtnl_rule_get_src(rule));
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
	bool listed = is_listed(&rule->src, tun->addresses, tun->num_addresses);

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

	return !is_listed(&rule->src, gone->list, gone->count);
}

static int rules_remove(struct nl_sock *sock, const struct ip_addr *list, size_t count)
{
	struct sources gone = { list, count };
	int nle = rules_prune(sock, AF_INET, has_other_source, &gone);

	return nle ? nle : rules_prune(sock, AF_INET6, has_other_source, &gone);
}

/* What a sweep looks at, and the addresses of the rules that it removed. */
struct sweep {
	struct nl_cache *routes;
	struct ip_addr gone[64];
	size_t num_gone;
};

static bool has_routes(const struct our_rule *rule, void *ctx)
{
	struct sweep *s = ctx;

	for (struct nl_object *o = nl_cache_get_first(s->routes); o; o = nl_cache_get_next(o))
		if (rtnl_route_get_table((struct rtnl_route *)o) == rule->table)
			return true;
	if (s->num_gone < sizeof(s->gone) / sizeof(s->gone[0]))
		s->gone[s->num_gone++] = rule->src;
	return false;
}

/*
 * Remove our rules whose table is empty: their device went away without us, and its routes with it.
 * Routes are always made before the rule that leads to them.
 */
static int rules_sweep(struct nl_sock *sock, struct sweep *s)
{
	static const int families[] = { AF_INET, AF_INET6 };
	int nle = 0;

	for (int i = 0; i < 2 && !nle; i++) {
		nle = rtnl_route_alloc_cache(sock, families[i], 0, &s->routes);
		if (nle < 0)
			break;
		nle = rules_prune(sock, families[i], has_routes, s);
		nl_cache_free(s->routes);
	}
	return nle;
}

static int rules_ensure(struct nl_sock *sock, const struct netns_tun *tun)
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

/* Remove the addresses of a device that are not listed, and our rules about them. */
static int addresses_prune(struct nl_sock *sock, int ifindex, const struct netns_tun *tun)
{
	struct nl_cache *cache;
	int nle = rtnl_addr_alloc_cache(sock, &cache);

	if (nle < 0)
		return nle;
	for (struct nl_object *o = nl_cache_get_first(cache); o && !nle; o = nl_cache_get_next(o)) {
		struct rtnl_addr *addr = (struct rtnl_addr *)o;
		struct ip_addr a = addr_of_nl(rtnl_addr_get_local(addr));

		if (rtnl_addr_get_ifindex(addr) != ifindex ||
		    is_listed(&a, tun->addresses, tun->num_addresses))
			continue;
		if (a.len)
			nle = rules_remove(sock, &a, 1);
		if (!nle)
			nle = rtnl_addr_delete(sock, addr, 0);
	}
	nl_cache_free(cache);
	return nle;
}

/* ---- endpoints ---- */

static int endpoints_ensure(const struct netns *ns, int ifindex, const struct netns_tun *tun, char *why)
{
	struct mptcp_endpoint list[MPTCP_MAX_ENDPOINTS];
	int n, err;

	n = mptcp_endpoints_get(ns, list, why);
	if (n < 0)
		return n == -EOPNOTSUPP && !tun->endpoint ? 0 : n;
	for (int i = 0; i < n; i++) {
		bool wanted = tun->endpoint &&
			      is_listed(&list[i].addr, tun->addresses, tun->num_addresses);

		if (list[i].ifindex != ifindex || wanted)
			continue;
		err = mptcp_endpoint_del(ns, &list[i], why);
		if (err < 0)
			return err;
	}
	for (size_t i = 0; i < tun->num_addresses && tun->endpoint; i++) {
		err = mptcp_endpoint_ensure(ns, &tun->addresses[i], ifindex, why);
		if (err == -ERANGE) {
			char text[IP_ADDR_STRLEN];

			log_warn("%s: the kernel allows no more MPTCP endpoints: no subflow from %s",
				 tun->name, ip_addr_str(&tun->addresses[i], text));
		} else if (err < 0) {
			return err;
		}
	}
	return 0;
}

/* Delete the endpoints of a device. */
static int endpoints_remove(const struct netns *ns, int ifindex, char *why)
{
	struct mptcp_endpoint list[MPTCP_MAX_ENDPOINTS];
	int n = mptcp_endpoints_get(ns, list, why);
	int err = n < 0 && n != -EOPNOTSUPP ? n : 0;

	for (int i = 0; i < n && !err; i++)
		if (list[i].ifindex == ifindex)
			err = mptcp_endpoint_del(ns, &list[i], why);
	return err;
}

/* Remove what devices of ours left that went away without us: rules, and endpoints of their addresses. */
static int sweep(const struct netns *ns, struct nl_sock *sock, char *why)
{
	struct mptcp_endpoint list[MPTCP_MAX_ENDPOINTS];
	struct sweep s = { 0 };
	int nle, n, err = 0;

	nle = rules_sweep(sock, &s);
	if (nle < 0)
		return netns_why(why, netns_nl_errno(nle), "cannot remove old rules: %s", nl_geterror(nle));
	n = s.num_gone ? mptcp_endpoints_get(ns, list, why) : 0;
	for (int i = 0; i < n && !err; i++) {
		struct rtnl_link *link;

		if (!list[i].ifindex || !is_listed(&list[i].addr, s.gone, s.num_gone))
			continue;
		if (!rtnl_link_get_kernel(sock, list[i].ifindex, NULL, &link))
			rtnl_link_put(link); /* another device has the address now */
		else
			err = mptcp_endpoint_del(ns, &list[i], why);
	}
	return n < 0 && n != -EOPNOTSUPP ? n : err;
}

/* ---- the whole device ---- */

/*
 * Per device, because in host mode it is the only place that is ours. IPv6 without address generation
 * must be set in a step of its own before the device comes up, else router solicitations leave by it.
 */
static void device_sysctls(const struct netns *ns, const char *name)
{
	static const struct {
		const char *family, *key, *value;
	} list[] = {
		{ "ipv4", "rp_filter", "0" },
		{ "ipv6", "disable_ipv6", "0" }, /* a host may have it in default/ */
		{ "ipv6", "addr_gen_mode", "1" }, /* none */
		{ "ipv6", "accept_ra", "0" },
		{ "ipv6", "accept_dad", "0" },
	};
	char path[128];

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		int err;

		snprintf(path, sizeof(path), "net/%s/conf/%s/%s", list[i].family, name, list[i].key);
		err = netns_sysctl(ns, path, list[i].value);
		/* A kernel without IPv6 has none of them; addresses say so if they are needed. */
		if (err < 0 && err != -ENOENT)
			log_warn("cannot write %s: %s", path, strerror(-err));
	}
}

int netns_tun_setup(const struct netns *ns, const struct netns_tun *tun, char *why)
{
	struct nl_sock *sock;
	int ifindex, nle, err;

	err = netns_rtnl_open(ns, &sock, why);
	if (err < 0)
		return err;
	ifindex = link_index(sock, tun->name, why);
	if (ifindex <= 0) {
		err = ifindex ? ifindex : netns_why(why, -ENODEV, "there is no device %s", tun->name);
		goto free_sock;
	}
	device_sysctls(ns, tun->name);
	nle = link_change(sock, ifindex, tun, true);
	if (nle < 0) {
		err = netns_why(why, netns_nl_errno(nle), "cannot set up device %s: %s", tun->name,
				nl_geterror(nle));
		goto free_sock;
	}
	for (size_t i = 0; i < tun->num_addresses; i++) {
		char text[IP_ADDR_STRLEN];

		nle = address_ensure(sock, ifindex, &tun->addresses[i]);
		if (nle < 0) {
			err = netns_why(why, netns_nl_errno(nle), "cannot give %s the address %s: %s",
					tun->name, ip_addr_str(&tun->addresses[i], text),
					nl_geterror(nle));
			goto free_sock;
		}
	}
	nle = addresses_prune(sock, ifindex, tun);
	if (nle < 0) {
		err = netns_why(why, netns_nl_errno(nle), "cannot remove old addresses of %s: %s",
				tun->name, nl_geterror(nle));
		goto free_sock;
	}
	if (tun->default_route)
		err = defaults_ensure(sock, ifindex, tun, RT_TABLE_MAIN, why);
	if (!err && tun->table)
		err = defaults_ensure(sock, ifindex, tun, tun->table, why);
	if (err < 0)
		goto free_sock;
	err = sweep(ns, sock, why);
	if (err < 0)
		goto free_sock;
	nle = rules_ensure(sock, tun);
	if (nle < 0) {
		err = netns_why(why, netns_nl_errno(nle), "cannot set up the rules of %s: %s",
				tun->name, nl_geterror(nle));
		goto free_sock;
	}
	err = endpoints_ensure(ns, ifindex, tun, why);
free_sock:
	nl_socket_free(sock);
	return err;
}

/* Rules and device; @link is borrowed. */
static int link_remove(struct nl_sock *sock, struct rtnl_link *link)
{
	struct ip_addr list[16];
	int nle, n = addresses_get(sock, rtnl_link_get_ifindex(link), list, 16);

	if (n < 0)
		return n;
	nle = rules_remove(sock, list, (size_t)n);
	if (!nle)
		nle = rtnl_link_delete(sock, link); /* its addresses and routes go with it */
	if (nle == -NLE_NODEV || nle == -NLE_OBJ_NOTFOUND)
		nle = 0; /* not persistent, and its last queue was closed just now */
	return nle;
}

int netns_tun_remove(const struct netns *ns, const char *name, char *why)
{
	struct nl_sock *sock;
	struct rtnl_link *link;
	int n, nle, err;

	err = netns_rtnl_open(ns, &sock, why);
	if (err < 0)
		return err;
	n = link_get(sock, name, &link, why);
	if (n < 0)
		err = n;
	if (n > 0) {
		/* Endpoints first, so that no new subflow tries a way that is being taken apart. */
		err = endpoints_remove(ns, rtnl_link_get_ifindex(link), why);
		nle = link_remove(sock, link);
		if (nle < 0)
			err = netns_why(why, netns_nl_errno(nle), "cannot remove device %s: %s", name,
					nl_geterror(nle));
		rtnl_link_put(link);
	}
	if (!err)
		err = sweep(ns, sock, why);
	nl_socket_free(sock);
	return err;
}
