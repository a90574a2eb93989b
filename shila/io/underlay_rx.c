/* SPDX-License-Identifier: Apache-2.0 */

/* Many datagrams a call, each as GRO merged them. */
#include "shila/io/underlay.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

int underlay_rx_init(struct underlay_rx *rx)
{
	memset(rx, 0, sizeof(*rx));
	rx->bytes = malloc((size_t)UNDERLAY_RX_BUFFERS * UNDERLAY_RX_BYTES);
	return rx->bytes ? 0 : -ENOMEM;
}

void underlay_rx_fini(struct underlay_rx *rx)
{
	free(rx->bytes);
	rx->bytes = NULL;
}

int underlay_recv(int fd, struct underlay_rx *rx, unsigned int most)
{
	int n;

	for (unsigned int i = 0; i < most; i++) {
		rx->iov[i] = (struct iovec){ rx->bytes + (size_t)i * UNDERLAY_RX_BYTES, UNDERLAY_RX_BYTES };
		rx->msgs[i].msg_hdr = (struct msghdr){
			.msg_name = &rx->from[i],
			.msg_namelen = sizeof(rx->from[i]),
			.msg_iov = &rx->iov[i],
			.msg_iovlen = 1,
			.msg_control = rx->control[i],
			.msg_controllen = sizeof(rx->control[i]),
		};
	}
	n = recvmmsg(fd, rx->msgs, most, MSG_DONTWAIT, NULL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	return n;
}

size_t underlay_rx_segment(const struct underlay_rx *rx, unsigned int i)
{
	struct msghdr *h = (struct msghdr *)(uintptr_t)&rx->msgs[i].msg_hdr;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		int size;

		if (c->cmsg_level != IPPROTO_UDP || c->cmsg_type != UDP_GRO)
			continue;
		memcpy(&size, CMSG_DATA(c), sizeof(size));
		if (size > 0)
			return (size_t)size;
	}
	return rx->msgs[i].msg_len;
}
