/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#include "bpf/lane.h"
#include "bpf/steer.h"

/*
 * Chooses the queue of a TUN device for a packet that the kernel sends into it: that of the worker that carries the
 * flow, or with lanes one of its two. The kernel runs it as a socket filter; the packet begins with its
 * IP header, and the result is taken modulo the number of queues.
 */

#define SECTION(name) __attribute__((section(name), used))

/* Declarations of maps as libbpf reads them from the type information. */
#define MAP_UINT(name, val) int(*name)[val]
#define MAP_TYPE(name, val) val *name
#define MAP_ARRAY	    2

/* Helpers of the kernel's BPF interface by number; their header would pull in the C library's. */
static void *(*const map_lookup)(void *map, const void *key) = (void *)1;
static uint64_t (*const ktime_ns)(void) = (void *)5;
static long (*const bpf_skb_load_bytes)(const void *skb, uint32_t off, void *to,
					uint32_t len) = (void *)26;

/* Written by the loader before the kernel sees it, so that the program is made for these. */
const volatile struct steer_shape steer_shape = { .workers = 1 };

struct {
	MAP_UINT(type, MAP_ARRAY);
	MAP_UINT(max_entries, LANE_FLOWS);
	MAP_TYPE(key, uint32_t);
	MAP_TYPE(value, struct lane_flow);
} flows SECTION(".maps");

SECTION("socket") int steer(void *skb)
{
	uint32_t len = *(const uint32_t *)skb; /* the first member of __sk_buff */
	uint32_t workers = steer_shape.workers, worker, place;
	struct lane_flow *f;
	uint16_t ports[2];

	if (!steer_ports(skb, bpf_skb_load_bytes, ports))
		return 0;
	worker = steer_worker(ports[0], ports[1], workers);
	if (!steer_shape.lanes)
		return (int)worker;
	place = lane_place(skb, bpf_skb_load_bytes, (uint32_t)ports[0] << 16 | ports[1]);
	f = map_lookup(&flows, &place);
	return (int)(f && lane_is_bulk(f, ktime_ns(), len) ? workers + worker : worker);
}

SECTION("license") const char steer_license[] = "GPL v2";
