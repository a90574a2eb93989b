/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#ifndef SHILA_BPF_STEER_H
#define SHILA_BPF_STEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Which worker carries a flow: a pure function of its two ports (host byte order, any order), the
 * same in the daemon, in the peer and in the BPF program that steers the TUN queues.
 * Neither TCP nor UDP, or an IP fragment (also the first one: only with the others it is a packet),
 * or behind IPv6 extension headers: worker 0. This header is compiled into both.
 */
static inline uint32_t steer_worker(uint16_t port_a, uint16_t port_b, uint32_t workers)
{
	return ((uint32_t)(port_a ^ port_b) * 0x9E3779B1u >> 16) % workers;
}

/**
 * steer_ports() - The two ports of the IP packet in @ctx.
 * @load: copies @len bytes at offset @off of the packet to @to; not 0 if there are fewer
 * Return: false: it has none that decide.
 */
static inline __attribute__((always_inline)) bool
steer_ports(const void *ctx, long (*load)(const void *ctx, uint32_t off, void *to, uint32_t len),
	    uint16_t ports[2])
{
	uint8_t ip[10], raw[4], proto;
	uint32_t l4_off;

	if (load(ctx, 0, ip, sizeof(ip)))
		return false;
	if (ip[0] >> 4 == 4) {
		if ((ip[6] & 0x3f) | ip[7]) /* more fragments, fragment offset */
			return false;
		l4_off = (ip[0] & 0xfu) * 4;
		if (l4_off < 20)
			return false;
		proto = ip[9];
	} else if (ip[0] >> 4 == 6) {
		l4_off = 40;
		proto = ip[6];
	} else {
		return false;
	}
	if ((proto != 6 && proto != 17) || load(ctx, l4_off, raw, sizeof(raw)))
		return false;
	ports[0] = (uint16_t)(raw[0] << 8 | raw[1]);
	ports[1] = (uint16_t)(raw[2] << 8 | raw[3]);
	return true;
}

/* What the program is made for. */
struct steer_shape {
	uint32_t workers;
	uint32_t lanes; /* 1: the queues @workers .. 2 @workers - 1 are those of bulk flows, see lane.h */
};

#ifndef __bpf__

/* steer_packet() - Worker of a whole IP packet, or of its first bytes up to the ports. */
uint32_t steer_packet(const uint8_t *pkt, size_t len, uint32_t workers);

/**
 * steer_load() - Load the steering program for @workers queues, with @lanes twice as many.
 * Return: its descriptor, or -EPERM, -ENOSYS and others where the kernel refuses it.
 */
int steer_load(uint32_t workers, bool lanes);

/**
 * steer_attach() - Load the steering program and attach it to a TUN device.
 * @tun_fd: any queue of the device
 * Return: 0; -EPERM, -ENOSYS and others where the kernel refuses it (the workers then pass trains on).
 */
int steer_attach(int tun_fd, uint32_t workers, bool lanes);

/* steer_detach() - The kernel chooses the queues again. Return: 0, or -errno where it has no programs. */
int steer_detach(int tun_fd);

#endif

#endif
