/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/io/sock_diag.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/mptcp.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_STALE 16 /* answers to earlier questions that are thrown away */

struct question {
	struct nlmsghdr nl;
	struct inet_diag_req_v2 req;
};

/* @more: bits of the attributes that are wanted, too */
static int send_question(int fd, uint32_t number, uint8_t more, const struct ip_addr *local, uint16_t local_port,
			 const struct ip_addr *remote, uint16_t remote_port, int ifindex)
{
	struct question q = {
		.nl = { .nlmsg_len = sizeof(q), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST,
			.nlmsg_seq = number },
		.req = { .sdiag_family = local->len == 16 ? AF_INET6 : AF_INET, .sdiag_protocol = IPPROTO_TCP,
			 .idiag_ext = more,
			 .idiag_states = ~0u,
			 .id = { .idiag_sport = htons(local_port), .idiag_dport = htons(remote_port),
				 .idiag_if = (uint32_t)ifindex,
				 .idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } } },
	};

	memcpy(q.req.id.idiag_src, local->b, local->len);
	memcpy(q.req.id.idiag_dst, remote->b, remote->len);
	return send(fd, &q, sizeof(q), MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* Return: state of the socket, 0 there is none, -errno; the answer in @buf. */
static int read_answer(int fd, uint32_t number, void *buf, size_t cap)
{
	const struct nlmsghdr *nl = buf;

	for (int i = 0; i < MAX_STALE; i++) {
		ssize_t n = recv(fd, buf, cap, MSG_DONTWAIT);

		if (n < 0)
			return -errno;
		if ((size_t)n < sizeof(*nl) || nl->nlmsg_seq != number)
			continue;
		if (nl->nlmsg_type == NLMSG_ERROR && (size_t)n >= NLMSG_LENGTH(sizeof(struct nlmsgerr))) {
			int err = ((const struct nlmsgerr *)NLMSG_DATA(nl))->error;

			return err == -ENOENT ? 0 : err ? err : -EBADMSG;
		}
		if (nl->nlmsg_type == SOCK_DIAG_BY_FAMILY && (size_t)n >= NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
			return ((const struct inet_diag_msg *)NLMSG_DATA(nl))->idiag_state;
	}
	return -EBADMSG;
}

static int ask(struct sock_diag *d, const struct ip_addr *local, uint16_t local_port, const struct ip_addr *remote,
	       uint16_t remote_port, int ifindex)
{
	_Alignas(struct nlmsghdr) uint8_t buf[4096];
	int err = d->fd <= 0 ? -EBADF : send_question(d->fd, ++d->asked, 0, local, local_port, remote, remote_port, ifindex);

	return err < 0 ? err : read_answer(d->fd, d->asked, buf, sizeof(buf));
}

static const struct nlattr *find(const struct nlattr *nest, uint16_t type)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, nest)
		if (mnl_attr_get_type(a) == type)
			return a;
	return NULL;
}

static bool get(const struct nlattr *nest, uint16_t type, void *out, size_t len)
{
	const struct nlattr *a = find(nest, type);

	if (!a || mnl_attr_get_payload_len(a) != len)
		return false;
	memcpy(out, mnl_attr_get_payload(a), len);
	return true;
}

int sock_diag_mptcp(struct sock_diag *d, const struct ip_addr *local, uint16_t local_port,
		    const struct ip_addr *remote, uint16_t remote_port, int ifindex,
		    struct sock_diag_subflow *out)
{
	_Alignas(struct nlmsghdr) uint8_t buf[4096];
	const struct nlmsghdr *nl = (const struct nlmsghdr *)buf;
	const struct nlattr *a, *mptcp = NULL;
	uint32_t token, flags = 0;
	uint8_t id = 0;
	int state = d->fd <= 0 ? -EBADF : send_question(d->fd, ++d->asked, 1 << (INET_DIAG_INFO - 1), local, local_port,
							 remote, remote_port, ifindex);

	if (!state)
		state = read_answer(d->fd, d->asked, buf, sizeof(buf));
	if (state <= 0)
		return state ? state : -ENOENT;
	if (state == TCP_CLOSE || state == TCP_LISTEN)
		return -ENOENT;
	mnl_attr_for_each(a, nl, sizeof(struct inet_diag_msg))
		if (mnl_attr_get_type(a) == INET_DIAG_ULP_INFO)
			mptcp = find(a, INET_ULP_INFO_MPTCP);
	if (!mptcp || !get(mptcp, MPTCP_SUBFLOW_ATTR_TOKEN_LOC, &token, sizeof(token)))
		return -EPROTO;
	get(mptcp, MPTCP_SUBFLOW_ATTR_ID_LOC, &id, sizeof(id));
	get(mptcp, MPTCP_SUBFLOW_ATTR_FLAGS, &flags, sizeof(flags));
	*out = (struct sock_diag_subflow){
		.token = token, .id = id, .backup = (flags & (MPTCP_SUBFLOW_FLAG_BKUP_LOC | MPTCP_SUBFLOW_FLAG_BKUP_REM)) != 0,
	};
	return 0;
}

int sock_diag_tcp(struct sock_diag *d, const struct ip_addr *local, uint16_t local_port,
		  const struct ip_addr *remote, uint16_t remote_port, int ifindex)
{
	int state = ask(d, local, local_port, remote, remote_port, ifindex);

	if (state < 0)
		return state;
	return state && state != TCP_LISTEN && state != TCP_CLOSE;
}

/* "No such socket" and "I have no such table" are one error number: a socket that is there tells them apart. */
static int try_it(struct sock_diag *d)
{
	struct ip_addr loopback = { .len = 4, .b = { 127, 0, 0, 1 } };
	union sock_addr sa = sock_addr_make(&loopback, 0);
	socklen_t len = sizeof(sa);
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), state;

	if (s < 0)
		return -errno;
	if (bind(s, &sa.sa, sock_addr_len(&sa)) < 0 || listen(s, 1) < 0 || getsockname(s, &sa.sa, &len) < 0)
		state = -errno;
	else
		state = ask(d, &loopback, sock_addr_port(&sa), &loopback, 1, 0);
	close(s);
	return state == TCP_LISTEN ? 0 : state < 0 ? state : -EOPNOTSUPP;
}

int sock_diag_open(struct sock_diag *d)
{
	int err;

	*d = (struct sock_diag){ .fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG) };
	err = d->fd < 0 ? -errno : try_it(d);
	if (err < 0)
		sock_diag_close(d);
	return err;
}

void sock_diag_close(struct sock_diag *d)
{
	if (d->fd > 0)
		close(d->fd);
	d->fd = 0;
}
