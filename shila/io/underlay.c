/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/io/underlay.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

/* The kernel doubles what it is told for its own overhead. */
static void set_buffers(int fd)
{
	int n = UNDERLAY_RECEIVE_BYTES;

	/* FORCE passes by net.core.rmem_max but needs CAP_NET_ADMIN, which the daemon has. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &n, sizeof(n)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &n, sizeof(n));
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &n, sizeof(n)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &n, sizeof(n));
}

uint32_t underlay_receive_bytes(int fd)
{
	int n = 0;
	socklen_t len = sizeof(n);

	return getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &n, &len) < 0 || n < 0 ? 0 : (uint32_t)n / 2;
}

uint32_t underlay_dropped(int fd)
{
	uint32_t info[SK_MEMINFO_VARS] = { 0 };
	socklen_t len = sizeof(info);

	return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len) < 0 ? 0 : info[SK_MEMINFO_DROPS];
}

static int bind_port(int fd, const struct ip_addr *local, uint16_t *port, uint16_t min, uint16_t max)
{
	union sock_addr sa;

	if (*port) {
		sa = sock_addr_make(local, *port);
		return bind(fd, &sa.sa, sock_addr_len(&sa)) < 0 ? -errno : 0;
	}
	for (uint32_t p = min; p <= max; p++) {
		sa = sock_addr_make(local, (uint16_t)p);
		if (!bind(fd, &sa.sa, sock_addr_len(&sa))) {
			*port = (uint16_t)p;
			return 0;
		}
		if (errno != EADDRINUSE)
			return -errno;
	}
	return -EADDRINUSE;
}

int underlay_socket(bool v6)
{
	int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1, pmtu = v6 ? IPV6_PMTUDISC_DO : IP_PMTUDISC_DO;

	if (fd < 0)
		return -errno;
	if (v6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	/* SCION has no fragmentation: a packet that is too large is our mistake and must show. */
	setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER, &pmtu,
		   sizeof(pmtu));
	setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on));
	set_buffers(fd);
	return fd;
}

int underlay_open(const struct ip_addr *local, uint16_t *port, uint16_t port_min, uint16_t port_max)
{
	int fd = underlay_socket(local->len == 16), err;

	if (fd < 0)
		return fd;
	err = bind_port(fd, local, port, port_min, port_max);
	if (err < 0) {
		close(fd);
		return err;
	}
	return fd;
}

int underlay_local_address(const union sock_addr *to, struct ip_addr *out)
{
	int fd = socket(to->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	union sock_addr sa;
	socklen_t len = sizeof(sa);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (connect(fd, &to->sa, sock_addr_len(to)) < 0 || getsockname(fd, &sa.sa, &len) < 0)
		err = -errno;
	else
		*out = sock_addr_ip(&sa);
	close(fd);
	return err;
}

int underlay_max_bytes(const union sock_addr *to)
{
	bool v6 = to->sa.sa_family == AF_INET6;
	int fd = socket(to->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int mtu = 0, err = 0;
	socklen_t len = sizeof(mtu);

	if (fd < 0)
		return -errno;
	if (connect(fd, &to->sa, sock_addr_len(to)) < 0 ||
	    getsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU : IP_MTU, &mtu, &len) < 0)
		err = -errno;
	close(fd);
	return err ? err : mtu - (v6 ? 48 : 28);
}

static enum verdict send_verdict(int err)
{
	switch (err) {
	case EAGAIN:
		return VERDICT_SEND_AGAIN;
	case ENOBUFS:
	case ENOMEM:
		return VERDICT_SEND_NO_BUFFERS;
	case EPERM:
	case EACCES:
		return VERDICT_SEND_REFUSED;
	case EMSGSIZE:
		return VERDICT_SEND_TOO_BIG;
	default:
		return VERDICT_SEND_FAILED;
	}
}

enum verdict underlay_sendto(int fd, const union sock_addr *to, const void *p, size_t len)
{
	while (sendto(fd, p, len, MSG_DONTWAIT, &to->sa, sock_addr_len(to)) < 0)
		if (errno != EINTR)
			return send_verdict(errno);
	return VERDICT_PASS;
}

void underlay_send_uncut(int fd, const struct underlay_msg *m, uint64_t *verdicts)
{
	for (uint32_t i = 0; i < m->num_iov;) {
		struct msghdr h = {
			.msg_name = (void *)(uintptr_t)&m->to->sa,
			.msg_namelen = sock_addr_len(m->to),
			.msg_iov = &m->iov[i],
		};
		size_t bytes = 0;

		for (; i < m->num_iov && bytes < m->seg_bytes; i++, h.msg_iovlen++)
			bytes += m->iov[i].iov_len;
		while (sendmsg(fd, &h, MSG_DONTWAIT) < 0) {
			if (errno != EINTR) {
				verdicts[send_verdict(errno)]++;
				break;
			}
		}
	}
}

void underlay_send(int fd, const struct underlay_msg *msgs, unsigned int n, uint64_t *verdicts)
{
	struct mmsghdr out[UNDERLAY_MAX_BATCH];
	char control[UNDERLAY_MAX_BATCH][CMSG_SPACE(sizeof(uint16_t))];
	unsigned int sent = 0;

	for (unsigned int i = 0; i < n; i++) {
		struct msghdr *h = &out[i].msg_hdr;

		memset(h, 0, sizeof(*h));
		h->msg_name = (void *)(uintptr_t)&msgs[i].to->sa;
		h->msg_namelen = sock_addr_len(msgs[i].to);
		h->msg_iov = msgs[i].iov;
		h->msg_iovlen = msgs[i].num_iov;
		if (msgs[i].num_segs > 1) {
			struct cmsghdr *c;

			memset(control[i], 0, sizeof(control[i])); /* the padding, too, goes to the kernel */
			h->msg_control = control[i];
			h->msg_controllen = sizeof(control[i]);
			c = CMSG_FIRSTHDR(h);
			c->cmsg_level = IPPROTO_UDP;
			c->cmsg_type = UDP_SEGMENT;
			c->cmsg_len = CMSG_LEN(sizeof(uint16_t));
			memcpy(CMSG_DATA(c), &msgs[i].seg_bytes, sizeof(uint16_t));
		}
	}
	while (sent < n) {
		int got = sendmmsg(fd, out + sent, n - sent, MSG_DONTWAIT);

		if (got < 0 && errno == EINTR)
			continue;
		if (got > 0) {
			sent += (unsigned int)got;
			continue;
		}
		/* The first one is what failed. */
		if (errno == EIO && msgs[sent].num_segs > 1) {
			underlay_send_uncut(fd, &msgs[sent], verdicts);
		} else {
			enum verdict v = send_verdict(errno);

			if (v == VERDICT_SEND_AGAIN || v == VERDICT_SEND_NO_BUFFERS) {
				verdicts[v] += n - sent; /* no room for the others either */
				return;
			}
			verdicts[v]++;
		}
		sent++;
	}
}
