/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_NETNS_NETLINK_H
#define SHILA_NETNS_NETLINK_H

#include "netns/netns.h"

#include <netlink/netlink.h>

/* What the files of this folder share and nobody else needs. */

/*
 * Marks the routes and rules that are ours (`proto 115` in `ip rule`), so that a rule that outlived
 * its device is known for what it is. Not in /etc/iproute2/rt_protos, nor used by a routing daemon.
 */
#define NETNS_RTPROT 115

/* netns_why() - Write the sentence and return @err, so that a failure is one line. */
int netns_why(char *why, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* netns_rtnl_open() - A blocking rtnetlink socket that belongs to @ns, wherever the thread is
 * later. */
int netns_rtnl_open(const struct netns *ns, struct nl_sock **out, char *why);

/* netns_nl_errno() - libnl's error code as a negative errno. */
int netns_nl_errno(int nle);

/* ---- link.c: devices and their addresses; libnl errors unless there is a @why ---- */

struct rtnl_link;

/* netns_link_get() - A device by name. Return: 1 with a link to be put, 0 there is none, -errno. */
int netns_link_get(struct nl_sock *sock, const char *name, struct rtnl_link **out, char *why);

/* netns_link_index() - Index of a device. Return: 0 if there is none, or -errno. */
int netns_link_index(struct nl_sock *sock, const char *name, char *why);

/* netns_link_change() - Alias, MTU, txqueuelen, gso_max_size, each unless 0; @tun may be NULL. */
int netns_link_change(struct nl_sock *sock, int ifindex, const struct netns_tun *tun, bool up);

/* netns_has_carrier() - 1 if somebody holds a queue of the TUN, 0 if not or if there is no such
 * device. */
int netns_has_carrier(const struct netns *ns, const char *name, char *why);

/* netns_lo_up() - Bring the loopback device of @ns up. */
int netns_lo_up(const struct netns *ns, char *why);

int netns_address_ensure(struct nl_sock *sock, int ifindex, const struct ip_addr *a);

/* netns_addresses_prune() - Remove addresses that @tun does not list, and our rules about them. */
int netns_addresses_prune(struct nl_sock *sock, int ifindex, const struct netns_tun *tun);

/* netns_addresses_get() - Addresses of a device, at most @max. Return: how many. */
int netns_addresses_get(struct nl_sock *sock, int ifindex, struct ip_addr *out, int max);

bool netns_is_listed(const struct ip_addr *a, const struct ip_addr *list, size_t n);

int netns_family(const struct ip_addr *a);
struct nl_addr *netns_nl_addr(const struct ip_addr *a); /* to be put; NULL: no memory */

/* netns_ip_addr() - Address of a libnl object; len 0 if there is none or the prefix is shorter. */
struct ip_addr netns_ip_addr(struct nl_addr *a);

/* ---- route.c: routes and rules; libnl errors unless there is a @why ---- */

/**
 * netns_defaults_ensure() - Default routes in a table, for the families that @tun has addresses of.
 * Return: 0; -EEXIST if somebody else's is there.
 */
int netns_defaults_ensure(struct nl_sock *sock, int ifindex, const struct netns_tun *tun,
			  uint32_t table, char *why);

/* netns_defaults_prune() - Remove our default routes over a device from tables that @tun does not
 * want. */
int netns_defaults_prune(struct nl_sock *sock, int ifindex, const struct netns_tun *tun);

/* netns_rules_ensure() - The rules that @tun wants; no other of ours for its table or addresses. */
int netns_rules_ensure(struct nl_sock *sock, const struct netns_tun *tun);

/* netns_rules_remove() - Our rules with one of these sources. */
int netns_rules_remove(struct nl_sock *sock, const struct ip_addr *list, size_t count);

/**
 * netns_rules_sweep() - Remove our rules whose table is empty: their device went away without us,
 * and its routes with it. (Routes are always made before the rule that leads to them.)
 * @gone: the sources of these rules, at most @max
 */
int netns_rules_sweep(struct nl_sock *sock, struct ip_addr *gone, size_t max, size_t *num_gone);

/* ---- sysctl.c ---- */

/* netns_sysctl_get() - First line of /proc/sys/@path in @ns, without the line end. */
int netns_sysctl_get(const struct netns *ns, const char *path, char *value, size_t size);

/* ---- mptcp.c ---- */

/* One MPTCP endpoint of a namespace. */
struct mptcp_endpoint {
	struct ip_addr addr;
	uint8_t id; /* given by the kernel */
	uint32_t flags;
	int ifindex;
};

/* More than any kernel allows (8), in case a later one allows more. */
#define MPTCP_MAX_ENDPOINTS 64

/**
 * mptcp_endpoints_get() - All endpoints of @ns.
 * @out: room for MPTCP_MAX_ENDPOINTS
 * Return: how many; -EOPNOTSUPP without MPTCP in the kernel.
 */
int mptcp_endpoints_get(const struct netns *ns, struct mptcp_endpoint *out, char *why);

/**
 * mptcp_endpoint_ensure() - Have `subflow dev` for an address. What is there under the same address
 * but with another device or other flags (from an earlier run) is replaced.
 * Return: 0; -ERANGE if the namespace has all the endpoints that the kernel allows.
 */
int mptcp_endpoint_ensure(const struct netns *ns, const struct ip_addr *addr, int ifindex,
			  char *why);
int mptcp_endpoint_del(const struct netns *ns, const struct mptcp_endpoint *ep, char *why);

#endif
