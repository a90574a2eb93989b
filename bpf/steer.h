/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_BPF_STEER_H
#define SHILA_BPF_STEER_H

#include <stdint.h>

/*
 * Which worker carries a flow: a pure function of its two ports (host byte order, any order), the
 * same in the daemon, in the peer and in the BPF program that steers the TUN queues.
 * Neither TCP nor UDP, or a later IP fragment: worker 0.
 */
static inline uint32_t steer_worker(uint16_t port_a, uint16_t port_b, uint32_t workers)
{
	return ((uint32_t)(port_a ^ port_b) * 0x9E3779B1u >> 16) % workers;
}

/**
 * steer_attach() - Load the steering program for @workers queues and attach it to a TUN device.
 * @tun_fd: any queue of the device
 * Return: 0; -EPERM, -ENOSYS and others where the kernel refuses it (the caller goes on with one worker).
 */
int steer_attach(int tun_fd, uint32_t workers);

#endif
