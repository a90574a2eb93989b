/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/netlink.h"
#include "shila/base/log.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/route/link.h>
#include <stdio.h>
#include <string.h>

/*
 * Everything that makes a TUN device one of ours, and its removal.
 *
 * What is there is compared with what is wanted: what fits stays, so that running connections
 * notice nothing of a restart; what an earlier configuration of ours left is removed; what somebody
 * else made is never replaced.
 */

static int endpoints_ensure(const struct netns *ns, int ifindex, const struct netns_tun *tun,
			    char *why)
{
	struct mptcp_endpoint list[MPTCP_MAX_ENDPOINTS];
	int n, err;

	n = mptcp_endpoints_get(ns, list, why);
	if (n < 0)
		return n == -EOPNOTSUPP && !tun->endpoint ? 0 : n;
	for (int i = 0; i < n; i++) {
		bool wanted = (tun->endpoint || tun->keep_endpoints) &&
			      netns_is_listed(&list[i].addr, tun->addresses, tun->num_addresses);

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

			log_warn(
				"%s: the kernel allows no more MPTCP endpoints: no subflow from %s",
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

/* Remove what devices of ours left that went away without us: rules, and endpoints of their
 * addresses. */
static int sweep(const struct netns *ns, struct nl_sock *sock, char *why)
{
	struct mptcp_endpoint list[MPTCP_MAX_ENDPOINTS];
	struct ip_addr gone[64];
	size_t num_gone = 0;
	int nle, n, err = 0;

	nle = netns_rules_sweep(sock, gone, 64, &num_gone);
	if (nle < 0)
		return netns_why(why, netns_nl_errno(nle), "cannot remove old rules: %s",
				 nl_geterror(nle));
	n = num_gone ? mptcp_endpoints_get(ns, list, why) : 0;
	for (int i = 0; i < n && !err; i++) {
		struct rtnl_link *link;

		if (!list[i].ifindex || !netns_is_listed(&list[i].addr, gone, num_gone))
			continue;
		if (!rtnl_link_get_kernel(sock, list[i].ifindex, NULL, &link))
			rtnl_link_put(link); /* another device has the address now */
		else
			err = mptcp_endpoint_del(ns, &list[i], why);
	}
	return n < 0 && n != -EOPNOTSUPP ? n : err;
}

/*
 * Per device, because in host mode it is the only place that is ours. IPv6 without address
 * generation must be set in a step of its own before the device comes up, else router solicitations
 * leave by it.
 */
static void device_sysctls(const struct netns *ns, const char *name)
{
	static const struct {
		const char *family, *key, *value;
	} list[] = {
		{ "ipv4", "rp_filter", "0" },
		{ "ipv6", "disable_ipv6", "0" },  /* a host may have it in default/ */
		{ "ipv6", "addr_gen_mode", "1" }, /* none */
		{ "ipv6", "accept_ra", "0" },
		{ "ipv6", "accept_dad", "0" },
	};
	char path[128];

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		int err;

		snprintf(path, sizeof(path), "net/%s/conf/%s/%s", list[i].family, name,
			 list[i].key);
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
	ifindex = netns_link_index(sock, tun->name, why);
	if (ifindex <= 0) {
		err = ifindex ? ifindex
			      : netns_why(why, -ENODEV, "there is no device %s", tun->name);
		goto free_sock;
	}
	device_sysctls(ns, tun->name);
	nle = netns_link_change(sock, ifindex, tun, true);
	if (nle < 0) {
		err = netns_why(why, netns_nl_errno(nle), "cannot set up device %s: %s", tun->name,
				nl_geterror(nle));
		goto free_sock;
	}
	for (size_t i = 0; i < tun->num_addresses; i++) {
		char text[IP_ADDR_STRLEN];

		nle = netns_address_ensure(sock, ifindex, &tun->addresses[i]);
		if (nle < 0) {
			err = netns_why(why, netns_nl_errno(nle),
					"cannot give %s the address %s: %s", tun->name,
					ip_addr_str(&tun->addresses[i], text), nl_geterror(nle));
			goto free_sock;
		}
	}
	nle = netns_addresses_prune(sock, ifindex, tun);
	if (nle < 0) {
		err = netns_why(why, netns_nl_errno(nle), "cannot remove old addresses of %s: %s",
				tun->name, nl_geterror(nle));
		goto free_sock;
	}
	if (tun->default_route)
		err = netns_defaults_ensure(sock, ifindex, tun, RT_TABLE_MAIN, why);
	if (!err && tun->table)
		err = netns_defaults_ensure(sock, ifindex, tun, tun->table, why);
	if (err < 0)
		goto free_sock;
	err = sweep(ns, sock, why);
	if (err < 0)
		goto free_sock;
	nle = netns_rules_ensure(sock, tun);
	if (!nle)
		nle = netns_defaults_prune(sock, ifindex, tun);
	if (nle < 0) {
		err = netns_why(why, netns_nl_errno(nle),
				"cannot set up rules and routes of %s: %s", tun->name,
				nl_geterror(nle));
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
	int nle, n = netns_addresses_get(sock, rtnl_link_get_ifindex(link), list, 16);

	if (n < 0)
		return n;
	nle = netns_rules_remove(sock, list, (size_t)n);
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
	n = netns_link_get(sock, name, &link, why);
	if (n < 0)
		err = n;
	if (n > 0) {
		/* Endpoints first, so that no new subflow tries a way that is being taken apart. */
		err = endpoints_remove(ns, rtnl_link_get_ifindex(link), why);
		nle = link_remove(sock, link);
		if (nle < 0)
			err = netns_why(why, netns_nl_errno(nle), "cannot remove device %s: %s",
					name, nl_geterror(nle));
		rtnl_link_put(link);
	}
	if (!err)
		err = sweep(ns, sock, why);
	nl_socket_free(sock);
	return err;
}
