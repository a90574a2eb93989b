/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/mptcp.h>
#include <string.h>

/*
 * Limits and endpoints of the kernel's path manager: generic netlink family `mptcp_pm`. libnl-route
 * does not know it, so these few messages are built with libmnl.
 */

struct genl {
	struct mnl_socket *nl;
	uint16_t family;
	uint32_t seq;
};

static struct nlmsghdr *request(struct genl *g, void *buf, uint16_t family, uint8_t cmd,
				uint16_t flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct genlmsghdr *gh;

	nlh->nlmsg_type = family;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = ++g->seq;
	gh = mnl_nlmsg_put_extra_header(nlh, sizeof(*gh));
	gh->cmd = cmd;
	gh->version = MPTCP_PM_VER;
	return nlh;
}

/* Send a request, give each answer to @cb until the last one. Return: 0 or -errno. */
static int talk(struct genl *g, const struct nlmsghdr *nlh, mnl_cb_t cb, void *ctx)
{
	char buf[8192]; /* what libmnl recommends at least */
	int run;

	if (mnl_socket_sendto(g->nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	do {
		ssize_t n = mnl_socket_recvfrom(g->nl, buf, sizeof(buf));

		if (n < 0)
			return -errno;
		run = mnl_cb_run(buf, (size_t)n, g->seq, mnl_socket_get_portid(g->nl), cb, ctx);
	} while (run > MNL_CB_STOP);
	return run < 0 ? -errno : 0;
}

static int on_family(const struct nlmsghdr *nlh, void *ctx)
{
	const struct nlattr *a;

	mnl_attr_for_each(a, nlh, sizeof(struct genlmsghdr))
		if (mnl_attr_get_type(a) == CTRL_ATTR_FAMILY_ID)
			*(uint16_t *)ctx = mnl_attr_get_u16(a);
	return MNL_CB_OK;
}

static void genl_close(struct genl *g)
{
	mnl_socket_close(g->nl);
}

static int genl_open(const struct netns *ns, struct genl *out, char *why)
{
	char buf[256] = { 0 }; /* the padding of attributes, too */
	struct genl g = { 0 };
	struct nlmsghdr *nlh;
	int old, err = 0;

	old = netns_enter(ns);
	if (old < 0)
		return netns_why(why, old, "cannot enter network namespace '%s': %s", ns->name,
				 strerror(-old));
	g.nl = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
	if (!g.nl || mnl_socket_bind(g.nl, 0, MNL_SOCKET_AUTOPID) < 0)
		err = netns_why(why, -errno, "cannot open a generic netlink socket: %s",
				strerror(errno));
	netns_leave(old);
	if (err)
		goto close_nl;

	nlh = request(&g, buf, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, NLM_F_ACK);
	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, MPTCP_PM_NAME);
	err = talk(&g, nlh, on_family, &g.family);
	if (err == -ENOENT || (!err && !g.family))
		err = netns_why(why, -EOPNOTSUPP, "the kernel has no MPTCP (CONFIG_MPTCP)");
	else if (err)
		netns_why(why, err, "cannot find the MPTCP path manager: %s", strerror(-err));
	if (err)
		goto close_nl;
	*out = g;
	return 0;
close_nl:
	if (g.nl)
		genl_close(&g);
	return err;
}

/* What collects the answers to a dump of endpoints. */
struct endpoints {
	struct mptcp_endpoint *list;
	int count;
};

static int on_endpoint(const struct nlmsghdr *nlh, void *ctx)
{
	struct endpoints *all = ctx;
	const struct nlattr *top, *a;

	mnl_attr_for_each(top, nlh, sizeof(struct genlmsghdr)) {
		struct mptcp_endpoint ep = { 0 };

		if (mnl_attr_get_type(top) != MPTCP_PM_ATTR_ADDR ||
		    all->count == MPTCP_MAX_ENDPOINTS)
			continue;
		mnl_attr_for_each_nested(a, top) {
			switch (mnl_attr_get_type(a)) {
			case MPTCP_PM_ADDR_ATTR_ID:
				ep.id = mnl_attr_get_u8(a);
				break;
			case MPTCP_PM_ADDR_ATTR_FLAGS:
				ep.flags = mnl_attr_get_u32(a);
				break;
			case MPTCP_PM_ADDR_ATTR_IF_IDX:
				ep.ifindex = (int)mnl_attr_get_u32(a);
				break;
			case MPTCP_PM_ADDR_ATTR_ADDR4:
				ep.addr = ip_addr_make(mnl_attr_get_payload(a), 4);
				break;
			case MPTCP_PM_ADDR_ATTR_ADDR6:
				ep.addr = ip_addr_make(mnl_attr_get_payload(a), 16);
				break;
			}
		}
		all->list[all->count++] = ep;
	}
	return MNL_CB_OK;
}

static int get_endpoints(struct genl *g, struct mptcp_endpoint *out, char *why)
{
	struct endpoints all = { .list = out };
	char buf[256] = { 0 }; /* the padding of attributes, too */
	int err = talk(g, request(g, buf, g->family, MPTCP_PM_CMD_GET_ADDR, NLM_F_DUMP),
		       on_endpoint, &all);

	if (err)
		return netns_why(why, err, "cannot list MPTCP endpoints: %s", strerror(-err));
	return all.count;
}

static int add_endpoint(struct genl *g, const struct ip_addr *addr, int ifindex, char *why)
{
	char buf[256] = { 0 }, text[IP_ADDR_STRLEN];
	struct nlmsghdr *nlh = request(g, buf, g->family, MPTCP_PM_CMD_ADD_ADDR, NLM_F_ACK);
	struct nlattr *nest = mnl_attr_nest_start(nlh, MPTCP_PM_ATTR_ADDR);
	bool v4 = addr->len == 4;
	int err;

	mnl_attr_put_u16(nlh, MPTCP_PM_ADDR_ATTR_FAMILY, v4 ? AF_INET : AF_INET6);
	mnl_attr_put(nlh, v4 ? MPTCP_PM_ADDR_ATTR_ADDR4 : MPTCP_PM_ADDR_ATTR_ADDR6, addr->len,
		     addr->b);
	mnl_attr_put_u32(nlh, MPTCP_PM_ADDR_ATTR_FLAGS, MPTCP_PM_ADDR_FLAG_SUBFLOW);
	mnl_attr_put_u32(nlh, MPTCP_PM_ADDR_ATTR_IF_IDX, (uint32_t)ifindex);
	mnl_attr_nest_end(nlh, nest);
	err = talk(g, nlh, NULL, NULL);
	if (err)
		netns_why(why, err, "cannot add MPTCP endpoint %s: %s", ip_addr_str(addr, text),
			  strerror(-err));
	return err;
}

/* Deleting by id also works for addresses that the kernel would compare with a port. */
static int del_endpoint(struct genl *g, const struct mptcp_endpoint *ep, char *why)
{
	char buf[256] = { 0 }, text[IP_ADDR_STRLEN];
	struct nlmsghdr *nlh = request(g, buf, g->family, MPTCP_PM_CMD_DEL_ADDR, NLM_F_ACK);
	struct nlattr *nest = mnl_attr_nest_start(nlh, MPTCP_PM_ATTR_ADDR);
	bool v4 = ep->addr.len == 4;
	int err;

	mnl_attr_put_u16(nlh, MPTCP_PM_ADDR_ATTR_FAMILY, v4 ? AF_INET : AF_INET6);
	mnl_attr_put_u8(nlh, MPTCP_PM_ADDR_ATTR_ID, ep->id);
	mnl_attr_put(nlh, v4 ? MPTCP_PM_ADDR_ATTR_ADDR4 : MPTCP_PM_ADDR_ATTR_ADDR6, ep->addr.len,
		     ep->addr.b);
	mnl_attr_nest_end(nlh, nest);
	err = talk(g, nlh, NULL, NULL);
	if (err)
		netns_why(why, err, "cannot delete MPTCP endpoint %s: %s",
			  ip_addr_str(&ep->addr, text), strerror(-err));
	return err;
}

int mptcp_endpoints_get(const struct netns *ns, struct mptcp_endpoint *out, char *why)
{
	struct genl g;
	int err = genl_open(ns, &g, why);

	if (err)
		return err;
	err = get_endpoints(&g, out, why);
	genl_close(&g);
	return err;
}

int mptcp_endpoint_del(const struct netns *ns, const struct mptcp_endpoint *ep, char *why)
{
	struct genl g;
	int err = genl_open(ns, &g, why);

	if (err)
		return err;
	err = del_endpoint(&g, ep, why);
	genl_close(&g);
	return err;
}

int mptcp_endpoint_ensure(const struct netns *ns, const struct ip_addr *addr, int ifindex,
			  char *why)
{
	struct mptcp_endpoint list[MPTCP_MAX_ENDPOINTS];
	struct genl g;
	int n, err;

	err = genl_open(ns, &g, why);
	if (err)
		return err;
	n = get_endpoints(&g, list, why);
	err = n < 0 ? n : 0;
	for (int i = 0; i < n; i++) {
		if (!ip_addr_eq(&list[i].addr, addr))
			continue;
		if (list[i].ifindex == ifindex && list[i].flags == MPTCP_PM_ADDR_FLAG_SUBFLOW)
			goto close_genl;
		err = del_endpoint(&g, &list[i], why);
		break;
	}
	if (!err)
		err = add_endpoint(&g, addr, ifindex, why);
close_genl:
	genl_close(&g);
	return err;
}

struct limits {
	uint32_t subflows, add_addrs;
};

static int on_limits(const struct nlmsghdr *nlh, void *ctx)
{
	struct limits *l = ctx;
	const struct nlattr *a;

	mnl_attr_for_each(a, nlh, sizeof(struct genlmsghdr)) {
		if (mnl_attr_get_type(a) == MPTCP_PM_ATTR_SUBFLOWS)
			l->subflows = mnl_attr_get_u32(a);
		else if (mnl_attr_get_type(a) == MPTCP_PM_ATTR_RCV_ADD_ADDRS)
			l->add_addrs = mnl_attr_get_u32(a);
	}
	return MNL_CB_OK;
}

int netns_raise_limits(const struct netns *ns, uint32_t subflows, uint32_t add_addrs, char *why)
{
	struct limits now = { 0 };
	char buf[256] = { 0 }; /* the padding of attributes, too */
	struct nlmsghdr *nlh;
	struct genl g;
	int err = genl_open(ns, &g, why);

	if (err)
		return err;
	err = talk(&g, request(&g, buf, g.family, MPTCP_PM_CMD_GET_LIMITS, NLM_F_ACK), on_limits,
		   &now);
	if (err || (now.subflows >= subflows && now.add_addrs >= add_addrs))
		goto close_genl;
	nlh = request(&g, buf, g.family, MPTCP_PM_CMD_SET_LIMITS, NLM_F_ACK);
	mnl_attr_put_u32(nlh, MPTCP_PM_ATTR_RCV_ADD_ADDRS,
			 add_addrs > now.add_addrs ? add_addrs : now.add_addrs);
	mnl_attr_put_u32(nlh, MPTCP_PM_ATTR_SUBFLOWS,
			 subflows > now.subflows ? subflows : now.subflows);
	err = talk(&g, nlh, NULL, NULL);
close_genl:
	if (err)
		netns_why(why, err, "cannot raise the MPTCP limits: %s", strerror(-err));
	genl_close(&g);
	return err;
}
