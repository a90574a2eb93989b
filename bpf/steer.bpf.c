/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#include "bpf/steer.h"

/*
 * Chooses the queue of a TUN device for a packet that the kernel sends into it: the queue of the
 * worker that carries the flow. The kernel runs it as a socket filter; the packet begins with its
 * IP header, and the result is taken modulo the number of queues.
 */

#define SECTION(name) __attribute__((section(name), used))

/* Helper 26 of the kernel's BPF interface; its header would pull in the C library's. */
static long (*const bpf_skb_load_bytes)(const void *skb, uint32_t off, void *to,
					uint32_t len) = (void *)26;

/* Written by the loader before the kernel sees it, so that the program is made for one number. */
const volatile uint32_t steer_workers = 1;

SECTION("socket") int steer(void *skb)
{
	return (int)steer_choose(skb, bpf_skb_load_bytes, steer_workers);
}

SECTION("license") const char steer_license[] = "GPL v2";
