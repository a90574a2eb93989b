/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_IO_UNDERLAY_H
#define SHILA_IO_UNDERLAY_H

#include "shila/base/ip_addr.h"
#include "shila/base/verdict.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* UDP sockets towards border routers and hosts of the own AS. */

/**
 * underlay_open() - A bound, non-blocking UDP socket with GRO, "don't fragment", large buffers.
 * @port: 0: @port_min..@port_max are tried in turn; the port that was taken comes back
 * Return: descriptor or -errno.
 */
int underlay_open(const struct ip_addr *local, uint16_t *port, uint16_t port_min, uint16_t port_max);

#define UNDERLAY_RECEIVE_BYTES (8 * 1024 * 1024) /* 100 ms at 640 Mbit/s */

/* underlay_receive_bytes() - What the kernel gave of UNDERLAY_RECEIVE_BYTES to this socket. */
uint32_t underlay_receive_bytes(int fd);

/* underlay_dropped() - Datagrams that the kernel dropped since this socket was opened, for want of room. */
uint32_t underlay_dropped(int fd);

/* underlay_socket() - The same, not bound. Return: descriptor or -errno. */
int underlay_socket(bool v6);

/**
 * underlay_twin() - A socket with the same address as @fd, for sending only: what arrives goes to @fd. Another
 * program cannot take the port, unless it asks for SO_REUSEPORT as the same user.
 * Return: descriptor, or -errno: send from @fd.
 */
int underlay_twin(int fd);

/* underlay_local_address() - Which address the kernel would use towards @to. Return: 0 or -errno. */
int underlay_local_address(const union sock_addr *to, struct ip_addr *out);

/* underlay_max_bytes() - The largest datagram that the device towards @to takes. Return: bytes or -errno. */
int underlay_max_bytes(const union sock_addr *to);

/* underlay_sendto() - One datagram, from any thread. */
enum verdict underlay_sendto(int fd, const union sock_addr *to, const void *p, size_t len);

/* What underlay_send() takes: one message of equal segments. */
struct underlay_msg {
	const union sock_addr *to;
	struct iovec *iov;
	uint32_t num_iov;
	uint16_t seg_bytes; /* UDP_SEGMENT if @num_segs > 1 */
	uint16_t num_segs;
};

#define UNDERLAY_MAX_BATCH 64

/**
 * underlay_send() - Send @n messages (at most UNDERLAY_MAX_BATCH) with as few calls as possible.
 * What the kernel refuses is counted a message in @verdicts and skipped.
 */
void underlay_send(int fd, const struct underlay_msg *msgs, unsigned int n, uint64_t *verdicts);

/*
 * underlay_send_uncut() - The segments of one message, a call each. For kernels before 6.11, which refuse
 * UDP_SEGMENT (EIO) on a device that computes no checksums. No iovec may reach over the end of a segment.
 */
void underlay_send_uncut(int fd, const struct underlay_msg *m, uint64_t *verdicts);

#define UNDERLAY_RX_BUFFERS 16
#define UNDERLAY_RX_BYTES   65536

/* Receive buffers of one reader. */
struct underlay_rx {
	struct mmsghdr msgs[UNDERLAY_RX_BUFFERS];
	struct iovec iov[UNDERLAY_RX_BUFFERS];
	union sock_addr from[UNDERLAY_RX_BUFFERS];
	char control[UNDERLAY_RX_BUFFERS][CMSG_SPACE(sizeof(int))];
	uint8_t *bytes; /* UNDERLAY_RX_BUFFERS * UNDERLAY_RX_BYTES */
};

int underlay_rx_init(struct underlay_rx *rx); /* 0 or -ENOMEM */
void underlay_rx_fini(struct underlay_rx *rx);

/* underlay_recv() - One recvmmsg() of at most @most buffers. Return: number of buffers filled (0: nothing there), or -errno. */
int underlay_recv(int fd, struct underlay_rx *rx, unsigned int most);

/* underlay_rx_segment() - Segment size of buffer @i: its whole length if it was not merged. */
size_t underlay_rx_segment(const struct underlay_rx *rx, unsigned int i);

#endif
