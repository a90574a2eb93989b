/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/netlink.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <stdio.h>
#include <string.h>

/* Devices and their addresses, over rtnetlink. */

int netns_nl_errno(int nle)
{
	static const struct {
		int nle, err;
	} map[] = {
		{ NLE_EXIST, EEXIST },         { NLE_OBJ_NOTFOUND, ENOENT },
		{ NLE_NODEV, ENODEV },         { NLE_NOMEM, ENOMEM },
		{ NLE_INVAL, EINVAL },         { NLE_RANGE, ERANGE },
		{ NLE_PERM, EPERM },           { NLE_NOACCESS, EACCES },
		{ NLE_BUSY, EBUSY },           { NLE_OPNOTSUPP, EOPNOTSUPP },
		{ NLE_NOADDR, EADDRNOTAVAIL }, { NLE_AF_NOSUPPORT, EAFNOSUPPORT },
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

int netns_family(const struct ip_addr *a)
{
	return a->len == 4 ? AF_INET : AF_INET6;
}

struct nl_addr *netns_nl_addr(const struct ip_addr *a)
{
	return nl_addr_build(netns_family(a), (void *)a->b, a->len);
}

struct ip_addr netns_ip_addr(struct nl_addr *a)
{
	unsigned int len = a ? nl_addr_get_len(a) : 0;

	if ((len != 4 && len != 16) || nl_addr_get_prefixlen(a) != len * 8)
		return (struct ip_addr){ 0 };
	return ip_addr_make(nl_addr_get_binary_addr(a), (uint8_t)len);
}

bool netns_is_listed(const struct ip_addr *a, const struct ip_addr *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ip_addr_eq(a, &list[i]))
			return true;
	return false;
}

int netns_link_get(struct nl_sock *sock, const char *name, struct rtnl_link **out, char *why)
{
	int nle = rtnl_link_get_kernel(sock, 0, name, out);

	if (nle == -NLE_OBJ_NOTFOUND || nle == -NLE_NODEV)
		return 0;
	if (nle < 0)
		return netns_why(why, netns_nl_errno(nle), "cannot look at device %s: %s", name,
				 nl_geterror(nle));
	return 1;
}

int netns_link_index(struct nl_sock *sock, const char *name, char *why)
{
	struct rtnl_link *link;
	int n = netns_link_get(sock, name, &link, why);

	if (n <= 0)
		return n;
	n = rtnl_link_get_ifindex(link);
	rtnl_link_put(link);
	return n;
}

/* As netns_link_get(), with a socket of its own. */
static int get_link_of(const struct netns *ns, const char *name, struct rtnl_link **out, char *why)
{
	struct nl_sock *sock;
	int n = netns_rtnl_open(ns, &sock, why);

	if (n < 0)
		return n;
	n = netns_link_get(sock, name, out, why);
	nl_socket_free(sock);
	return n;
}

int netns_tun_owner(const struct netns *ns, const char *name, char *alias, char *why)
{
	struct rtnl_link *link;
	const char *text;
	int n = get_link_of(ns, name, &link, why);

	if (n <= 0)
		return n;
	text = rtnl_link_get_ifalias(link);
	snprintf(alias, sizeof(((struct netns_tun *)0)->alias), "%s", text ? text : "");
	rtnl_link_put(link);
	return n;
}

int netns_has_carrier(const struct netns *ns, const char *name, char *why)
{
	struct rtnl_link *link;
	int n = get_link_of(ns, name, &link, why);

	if (n <= 0)
		return n;
	n = rtnl_link_get_carrier(link) != 0;
	rtnl_link_put(link);
	return n;
}

/* Built by hand because libnl 3.7 can read gso_max_size but not set it. */
int netns_link_change(struct nl_sock *sock, int ifindex, const struct netns_tun *tun, bool up)
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
	n = netns_link_index(sock, "lo", why);
	if (n > 0)
		nle = netns_link_change(sock, n, NULL, true);
	nl_socket_free(sock);
	if (nle < 0)
		return netns_why(why, netns_nl_errno(nle), "cannot bring lo up: %s",
				 nl_geterror(nle));
	return n < 0 ? n : 0;
}

int netns_device_index(const struct netns *ns, const char *name)
{
	int old = netns_enter(ns), index;

	if (old < 0)
		return old;
	index = (int)if_nametoindex(name);
	netns_leave(old);
	return index;
}

int netns_set_mtu(const struct netns *ns, const char *name, uint32_t mtu_bytes, char *why)
{
	const struct netns_tun change = { .mtu_bytes = mtu_bytes };
	struct nl_sock *sock;
	int n, nle = 0;

	n = netns_rtnl_open(ns, &sock, why);
	if (n < 0)
		return n;
	n = netns_link_index(sock, name, why);
	if (!n)
		n = netns_why(why, -ENODEV, "there is no device %s", name);
	else if (n > 0)
		nle = netns_link_change(sock, n, &change, false);
	nl_socket_free(sock);
	if (nle < 0)
		return netns_why(why, netns_nl_errno(nle), "cannot set the MTU of %s to %u: %s",
				 name, mtu_bytes, nl_geterror(nle));
	return n < 0 ? n : 0;
}

int netns_address_ensure(struct nl_sock *sock, int ifindex, const struct ip_addr *a)
{
	struct rtnl_addr *addr = rtnl_addr_alloc();
	struct nl_addr *local = netns_nl_addr(a);
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

int netns_addresses_get(struct nl_sock *sock, int ifindex, struct ip_addr *out, int max)
{
	struct nl_cache *cache;
	int n = 0, nle = rtnl_addr_alloc_cache(sock, &cache);

	if (nle < 0)
		return nle;
	for (struct nl_object *o = nl_cache_get_first(cache); o && n < max;
	     o = nl_cache_get_next(o)) {
		struct rtnl_addr *addr = (struct rtnl_addr *)o;
		struct ip_addr a = netns_ip_addr(rtnl_addr_get_local(addr));

		if (rtnl_addr_get_ifindex(addr) == ifindex && a.len)
			out[n++] = a;
	}
	nl_cache_free(cache);
	return n;
}

int netns_addresses_prune(struct nl_sock *sock, int ifindex, const struct netns_tun *tun)
{
	struct nl_cache *cache;
	int nle = rtnl_addr_alloc_cache(sock, &cache);

	if (nle < 0)
		return nle;
	for (struct nl_object *o = nl_cache_get_first(cache); o && !nle; o = nl_cache_get_next(o)) {
		struct rtnl_addr *addr = (struct rtnl_addr *)o;
		struct ip_addr a = netns_ip_addr(rtnl_addr_get_local(addr));

		if (rtnl_addr_get_ifindex(addr) != ifindex ||
		    netns_is_listed(&a, tun->addresses, tun->num_addresses))
			continue;
		if (a.len)
			nle = netns_rules_remove(sock, &a, 1);
		if (!nle)
			nle = rtnl_addr_delete(sock, addr, 0);
	}
	nl_cache_free(cache);
	return nle;
}
