/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/io/mptcp_pm.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/filter.h>
#include <linux/genetlink.h>
#include <linux/mptcp.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECEIVE_BYTES (1 << 20) /* of events: one takes less than 1 KiB with its overhead */
#define MAX_STALE     16	/* answers to earlier commands that are thrown away */

#define MPTCP_PM_FLAG_SERVER_SIDE 2 /* of MPTCP_ATTR_FLAGS since Linux 6.18 */

/* ---- commands ---- */

static void put_address(struct nlmsghdr *nl, uint16_t type, const struct ip_addr *a, uint16_t port,
			const struct mptcp_pm_subflow *own, enum mptcp_pm_command cmd)
{
	struct nlattr *nest = mnl_attr_nest_start(nl, type);
	bool v4 = a->len == 4;

	mnl_attr_put_u16(nl, MPTCP_PM_ADDR_ATTR_FAMILY, v4 ? AF_INET : AF_INET6);
	if (own && cmd == MPTCP_PM_CREATE)
		mnl_attr_put_u8(nl, MPTCP_PM_ADDR_ATTR_ID, own->id);
	mnl_attr_put(nl, v4 ? MPTCP_PM_ADDR_ATTR_ADDR4 : MPTCP_PM_ADDR_ATTR_ADDR6, a->len, a->b);
	mnl_attr_put_u16(nl, MPTCP_PM_ADDR_ATTR_PORT, port);
	if (own && (cmd == MPTCP_PM_PRIORITY || own->backup))
		mnl_attr_put_u32(nl, MPTCP_PM_ADDR_ATTR_FLAGS, own->backup ? MPTCP_PM_ADDR_FLAG_BACKUP : 0);
	if (own && cmd == MPTCP_PM_CREATE && own->ifindex)
		mnl_attr_put_u32(nl, MPTCP_PM_ADDR_ATTR_IF_IDX, (uint32_t)own->ifindex);
	mnl_attr_nest_end(nl, nest);
}

static struct nlmsghdr *put_header(void *buf, uint16_t type, uint8_t cmd, uint8_t version, uint32_t seq)
{
	struct nlmsghdr *nl = mnl_nlmsg_put_header(buf);
	struct genlmsghdr *g;

	nl->nlmsg_type = type;
	nl->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	nl->nlmsg_seq = seq;
	g = mnl_nlmsg_put_extra_header(nl, sizeof(*g));
	g->cmd = cmd;
	g->version = version;
	return nl;
}

int mptcp_pm_build(void *buf, size_t cap, uint16_t family, uint32_t seq, enum mptcp_pm_command cmd,
		   const struct mptcp_pm_subflow *s)
{
	static const uint8_t numbers[] = {
		[MPTCP_PM_CREATE] = MPTCP_PM_CMD_SUBFLOW_CREATE,
		[MPTCP_PM_DESTROY] = MPTCP_PM_CMD_SUBFLOW_DESTROY,
		[MPTCP_PM_PRIORITY] = MPTCP_PM_CMD_SET_FLAGS,
		[MPTCP_PM_REMOVE] = MPTCP_PM_CMD_REMOVE,
	};
	struct nlmsghdr *nl;

	if (cap < 256)
		return -EMSGSIZE;
	memset(buf, 0, 256); /* the padding, too */
	nl = put_header(buf, family, numbers[cmd], MPTCP_PM_VER, seq);
	mnl_attr_put_u32(nl, MPTCP_PM_ATTR_TOKEN, s->token);
	if (cmd == MPTCP_PM_REMOVE) {
		mnl_attr_put_u8(nl, MPTCP_PM_ATTR_LOC_ID, s->id);
		return (int)nl->nlmsg_len;
	}
	if (s->local.len != s->remote.len || (s->local.len != 4 && s->local.len != 16))
		return -EINVAL;
	put_address(nl, MPTCP_PM_ATTR_ADDR, &s->local, s->local_port, s, cmd);
	put_address(nl, MPTCP_PM_ATTR_ADDR_REMOTE, &s->remote, s->remote_port, NULL, cmd);
	return (int)nl->nlmsg_len;
}

/* ---- what the kernel says ---- */

static bool has_message(const struct nlmsghdr *nl, size_t len)
{
	return len >= sizeof(*nl) && nl->nlmsg_len >= sizeof(*nl) && nl->nlmsg_len <= len && nl->nlmsg_len <= 65536;
}

/* Attributes behind @skip bytes of the payload, not one byte beyond the message (mnl_attr_for_each() rounds its length up). */
static const struct nlattr *attributes(const struct nlmsghdr *nl, size_t skip, size_t *size)
{
	size_t have = nl->nlmsg_len - NLMSG_HDRLEN;

	skip = NLMSG_ALIGN(skip);
	*size = have > skip ? have - skip : 0;
	return (const struct nlattr *)((const uint8_t *)nl + NLMSG_HDRLEN + (have > skip ? skip : 0));
}

/* An address out of the attributes; those of IPv4 in IPv6 notation as what they are. */
static void get_address(const struct nlattr *a, struct ip_addr *out)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	const uint8_t *p = mnl_attr_get_payload(a);

	if (mnl_attr_get_payload_len(a) == 4)
		*out = ip_addr_make(p, 4);
	else if (mnl_attr_get_payload_len(a) == 16)
		*out = memcmp(p, mapped, sizeof(mapped)) ? ip_addr_make(p, 16) : ip_addr_make(p + 12, 4);
}

static uint32_t number(const struct nlattr *a)
{
	uint8_t b8;
	uint16_t b16;
	uint32_t b32;

	switch (mnl_attr_get_payload_len(a)) {
	case 1:
		memcpy(&b8, mnl_attr_get_payload(a), 1);
		return b8;
	case 2:
		memcpy(&b16, mnl_attr_get_payload(a), 2);
		return b16;
	case 4:
		memcpy(&b32, mnl_attr_get_payload(a), 4);
		return b32;
	default:
		return 0;
	}
}

static void get_attribute(const struct nlattr *a, struct mptcp_pm_event *e)
{
	switch (mnl_attr_get_type(a)) {
	case MPTCP_ATTR_TOKEN:
		e->token = number(a);
		break;
	case MPTCP_ATTR_SADDR4:
	case MPTCP_ATTR_SADDR6:
		get_address(a, &e->local);
		break;
	case MPTCP_ATTR_DADDR4:
	case MPTCP_ATTR_DADDR6:
		get_address(a, &e->remote);
		break;
	case MPTCP_ATTR_SPORT:
		e->local_port = ntohs((uint16_t)number(a));
		break;
	case MPTCP_ATTR_DPORT:
		e->remote_port = ntohs((uint16_t)number(a));
		break;
	case MPTCP_ATTR_ERROR:
		e->error = (uint8_t)number(a);
		break;
	case MPTCP_ATTR_FLAGS:
		e->no_joins |= (number(a) & MPTCP_PM_EV_FLAG_DENY_JOIN_ID0) != 0;
		e->server_side |= (number(a) & MPTCP_PM_FLAG_SERVER_SIDE) != 0;
		break;
	case MPTCP_ATTR_SERVER_SIDE:
		e->server_side |= number(a) != 0;
		break;
	}
}

int mptcp_pm_parse(const void *msg, size_t len, uint16_t family, struct mptcp_pm_event *out)
{
	const struct nlmsghdr *nl = msg;
	const struct genlmsghdr *g;
	const struct nlattr *attr, *first;
	struct mptcp_pm_event e = { 0 };
	size_t size, attr_bytes;

	if (!has_message(nl, len))
		return -EBADMSG;
	size = NLMSG_ALIGN(nl->nlmsg_len) <= len ? NLMSG_ALIGN(nl->nlmsg_len) : len;
	*out = e;
	if (nl->nlmsg_type != family)
		return (int)size;
	if (nl->nlmsg_len < NLMSG_HDRLEN + GENL_HDRLEN)
		return -EBADMSG;
	g = mnl_nlmsg_get_payload(nl);
	first = attributes(nl, GENL_HDRLEN, &attr_bytes);
	mnl_attr_for_each_payload(first, attr_bytes)
		get_attribute(attr, &e);
	switch (g->cmd) {
	case MPTCP_EVENT_ESTABLISHED:
		e.type = MPTCP_PM_ESTABLISHED;
		break;
	case MPTCP_EVENT_CLOSED:
		e.type = MPTCP_PM_CLOSED;
		break;
	case MPTCP_EVENT_SUB_CLOSED:
		e.type = MPTCP_PM_SUBFLOW_CLOSED;
		break;
	default:
		return (int)size;
	}
	if (e.type != MPTCP_PM_CLOSED && (!e.local.len || e.local.len != e.remote.len))
		return -EBADMSG;
	*out = e;
	return (int)size;
}

/* Where the words tell more than the number, which is EINVAL for nearly everything. */
static int error_of(int err, const char *why)
{
	if (strstr(why, "invalid token"))
		return -ESRCH;
	if (strstr(why, "userspace PM not selected"))
		return -EOPNOTSUPP;
	if (strstr(why, "did not match address and id"))
		return -EEXIST;
	return err;
}

int mptcp_pm_parse_answer(const void *msg, size_t len, uint32_t seq, char *why)
{
	const struct nlmsghdr *nl = msg;
	const struct nlmsgerr *e;
	const struct nlattr *attr, *first;
	size_t skip = sizeof(*e), attr_bytes;

	*why = '\0';
	if (!has_message(nl, len))
		return -EBADMSG;
	if (nl->nlmsg_seq != seq || nl->nlmsg_type != NLMSG_ERROR)
		return 1;
	if (nl->nlmsg_len < NLMSG_LENGTH(sizeof(*e)))
		return -EBADMSG;
	e = mnl_nlmsg_get_payload(nl);
	if (e->error > 0)
		return -EBADMSG;
	if (!(nl->nlmsg_flags & NLM_F_CAPPED) && e->msg.nlmsg_len > sizeof(e->msg))
		skip += e->msg.nlmsg_len - sizeof(e->msg);
	if (!(nl->nlmsg_flags & NLM_F_ACK_TLVS) || skip > nl->nlmsg_len - NLMSG_HDRLEN)
		return e->error;
	first = attributes(nl, skip, &attr_bytes);
	mnl_attr_for_each_payload(first, attr_bytes)
		if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG)
			snprintf(why, MPTCP_PM_WHY_LEN, "%.*s", (int)mnl_attr_get_payload_len(attr),
				 (const char *)mnl_attr_get_payload(attr));
	return error_of(e->error, why);
}

/* ---- sockets ---- */

struct ids {
	uint16_t family;
	uint32_t group; /* of the events */
};

static void get_group(const struct nlattr *group, struct ids *out)
{
	const struct nlattr *a;
	const char *name = "";
	uint32_t id = 0;

	mnl_attr_for_each_nested(a, group) {
		if (mnl_attr_get_type(a) == CTRL_ATTR_MCAST_GRP_NAME && !mnl_attr_validate(a, MNL_TYPE_NUL_STRING))
			name = mnl_attr_get_str(a);
		else if (mnl_attr_get_type(a) == CTRL_ATTR_MCAST_GRP_ID)
			id = number(a);
	}
	if (!strcmp(name, MPTCP_PM_EV_GRP_NAME))
		out->group = id;
}

static int on_family(const struct nlmsghdr *nl, void *ctx)
{
	const struct nlattr *a, *group;
	struct ids *out = ctx;

	mnl_attr_for_each(a, nl, GENL_HDRLEN) {
		if (mnl_attr_get_type(a) == CTRL_ATTR_FAMILY_ID)
			out->family = (uint16_t)number(a);
		else if (mnl_attr_get_type(a) == CTRL_ATTR_MCAST_GROUPS)
			mnl_attr_for_each_nested(group, a)
				get_group(group, out);
	}
	return MNL_CB_OK;
}

static int ask_ids(struct mptcp_pm *pm, struct ids *out)
{
	_Alignas(struct nlmsghdr) uint8_t buf[8192] = { 0 };
	struct nlmsghdr *nl = put_header(buf, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1, ++pm->seq);
	int run = MNL_CB_OK;

	mnl_attr_put_strz(nl, CTRL_ATTR_FAMILY_NAME, MPTCP_PM_NAME);
	if (send(pm->commands, nl, nl->nlmsg_len, 0) < 0)
		return -errno;
	while (run > MNL_CB_STOP) {
		ssize_t n = recv(pm->commands, buf, sizeof(buf), MSG_DONTWAIT); /* it was answered by send() */

		if (n < 0)
			return -errno;
		run = mnl_cb_run(buf, (size_t)n, pm->seq, 0, on_family, out);
	}
	if (run < 0)
		return errno == ENOENT ? -EOPNOTSUPP : -errno;
	return out->family && out->group ? 0 : -EOPNOTSUPP;
}

/* Most events are of no consequence here, and each would wake us. */
static int only_some(int fd, bool only_lost)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, NLMSG_HDRLEN), /* command */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, only_lost ? MPTCP_EVENT_SUB_CLOSED : MPTCP_EVENT_ESTABLISHED, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, only_lost ? MPTCP_EVENT_SUB_CLOSED : MPTCP_EVENT_CLOSED, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MPTCP_EVENT_SUB_CLOSED, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog prog = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0 ? -errno : 0;
}

/* With an address: a socket without one gets no events, because it looks like their sender, the kernel. */
static int netlink(int flags)
{
	struct sockaddr_nl any = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, NETLINK_GENERIC), err;

	if (fd < 0)
		return -errno;
	if (!bind(fd, (struct sockaddr *)&any, sizeof(any)))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

static int open_pm(struct mptcp_pm *pm, bool only_lost)
{
	int one = 1, bytes = RECEIVE_BYTES, err;
	struct ids ids = { 0 };

	*pm = (struct mptcp_pm){ .commands = netlink(0) };
	if (pm->commands < 0) {
		err = pm->commands;
		pm->commands = 0;
		return err;
	}
	pm->events = netlink(SOCK_NONBLOCK);
	if (pm->events < 0) {
		err = pm->events;
		pm->events = 0;
		goto close_pm;
	}
	/* Both may be missing: then errors are less precise. */
	setsockopt(pm->commands, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	setsockopt(pm->commands, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	err = ask_ids(pm, &ids);
	if (err < 0)
		goto close_pm;
	pm->family = ids.family;
	if (setsockopt(pm->events, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		setsockopt(pm->events, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	err = only_some(pm->events, only_lost);
	if (!err && setsockopt(pm->events, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &ids.group, sizeof(ids.group)) < 0)
		err = -errno;
	if (!err)
		return 0;
close_pm:
	mptcp_pm_close(pm);
	return err;
}

int mptcp_pm_open(struct mptcp_pm *pm)
{
	return open_pm(pm, false);
}

int mptcp_pm_watch(struct mptcp_pm *pm)
{
	int err = open_pm(pm, true);

	if (!err) {
		close(pm->commands);
		pm->commands = 0;
	}
	return err;
}

void mptcp_pm_close(struct mptcp_pm *pm)
{
	if (pm->commands > 0)
		close(pm->commands);
	if (pm->events > 0)
		close(pm->events);
	*pm = (struct mptcp_pm){ 0 };
}

int mptcp_pm_do(struct mptcp_pm *pm, enum mptcp_pm_command cmd, const struct mptcp_pm_subflow *s, char *why)
{
	_Alignas(struct nlmsghdr) uint8_t buf[4096];
	int len = mptcp_pm_build(buf, sizeof(buf), pm->family, ++pm->seq, cmd, s);

	*why = '\0';
	if (len < 0)
		return len;
	if (send(pm->commands, buf, (size_t)len, 0) < 0)
		return -errno;
	for (int i = 0; i < MAX_STALE; i++) {
		ssize_t n = recv(pm->commands, buf, sizeof(buf), MSG_DONTWAIT); /* it was answered by send() */
		int err = n < 0 ? -errno : mptcp_pm_parse_answer(buf, (size_t)n, pm->seq, why);

		if (err <= 0)
			return err;
	}
	return -EBADMSG;
}

int mptcp_pm_read(struct mptcp_pm *pm, void *buf, size_t cap)
{
	ssize_t n = recv(pm->events, buf, cap, 0);

	return n < 0 ? -errno : (int)n;
}
