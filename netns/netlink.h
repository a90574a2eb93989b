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

/* netns_rtnl_open() - A blocking rtnetlink socket that belongs to @ns, wherever the thread is later. */
int netns_rtnl_open(const struct netns *ns, struct nl_sock **out, char *why);

/* netns_nl_errno() - libnl's error code as a negative errno. */
int netns_nl_errno(int nle);

/* netns_lo_up() - Bring the loopback device of @ns up. */
int netns_lo_up(const struct netns *ns, char *why);

/* netns_has_carrier() - 1 if somebody holds a queue of the TUN, 0 if not or if there is no such device. */
int netns_has_carrier(const struct netns *ns, const char *name, char *why);

/* netns_sysctl_get() - First line of /proc/sys/@path in @ns, without the line end. */
int netns_sysctl_get(const struct netns *ns, const char *path, char *value, size_t size);

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
int mptcp_endpoint_ensure(const struct netns *ns, const struct ip_addr *addr, int ifindex, char *why);
int mptcp_endpoint_del(const struct netns *ns, const struct mptcp_endpoint *ep, char *why);

/* mptcp_limits_set() - How many extra subflows and accepted ADD_ADDRs a connection may have. */
int mptcp_limits_set(const struct netns *ns, uint32_t subflows, uint32_t add_addrs, char *why);

#endif
