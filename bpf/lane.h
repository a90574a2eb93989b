/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#ifndef SHILA_BPF_LANE_H
#define SHILA_BPF_LANE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * A TCP that sends all it can has its whole window, megabytes, in the queue of a TUN, because the kernel's limit for what a
 * connection has in queues does not see what waits there. A request of another connection would wait behind it for
 * milliseconds. So each worker has two queues of a TUN: the quick one for flows that send little, and one for bulk. It looks
 * into the first before it sends what came by the second, so nobody has to copy, sort or bound what waits.
 *
 * A flow starts in the quick lane, and leaves it when it sends more than LANE_BURST_BYTES faster than LANE_BYTES_PER_US.
 * What is still in the quick lane then is read before the first train in the other (worker/out.c). It comes back once it
 * has been quiet for so long that nothing of it waits any more, unless its worker stood still meanwhile; TCP then
 * sees at most a segment that it repeated before the one that waited.
 *
 * Flows share a place of a small table by a hash: who shares that of a bulk flow is treated like it, no more.
 */

#define LANE_FLOWS	  4096	/* places, a power of two */
#define LANE_BURST_BYTES  65536 /* a train that just begins, an answer of some segments */
#define LANE_QUIET_NS	  250000000ull
#define LANE_NS_PER_BYTE  64 /* 125 Mbit/s: who is slower has nothing waiting */

struct lane_flow {
	uint64_t last_ns; /* when it sent the last time */
	uint32_t bytes;	  /* a bucket that leaks */
	uint32_t bulk;
};

static inline __attribute__((always_inline)) uint32_t lane_mix(uint32_t h, uint32_t v)
{
	h = (h ^ v) * 0x9E3779B1u;
	return h ^ h >> 15;
}

/**
 * lane_place() - Which of LANE_FLOWS places the flow of the IP packet in @ctx has.
 * @load:  as for steer_ports()
 * @ports: both
 */
static inline __attribute__((always_inline)) uint32_t
lane_place(const void *ctx, long (*load)(const void *ctx, uint32_t off, void *to, uint32_t len), uint32_t ports)
{
	uint32_t addresses[8] = { 0 }, h = 0;
	uint8_t first;

	if (load(ctx, 0, &first, 1))
		return 0;
	if (first >> 4 == 4 ? load(ctx, 12, addresses, 8) : load(ctx, 8, addresses, 32))
		return 0;
	for (int i = 0; i < 8; i++)
		h = lane_mix(h, addresses[i]);
	return lane_mix(h, ports) % LANE_FLOWS;
}

/**
 * lane_is_bulk() - The lane of a packet of @len bytes at @now_ns.
 * @f: changed; all 0 at first. Several CPUs may do so at once if several flows share it.
 */
static inline __attribute__((always_inline)) bool lane_is_bulk(struct lane_flow *f, uint64_t now_ns, uint32_t len)
{
	uint64_t quiet_ns = now_ns - f->last_ns;
	uint32_t bytes = f->bytes;

	if ((int64_t)quiet_ns < 0) /* another CPU was a moment ahead */
		quiet_ns = 0;
	f->last_ns = now_ns;
	if (f->bulk && quiet_ns < LANE_QUIET_NS)
		return true;
	if (f->bulk)
		f->bulk = 0;
	bytes = bytes > quiet_ns / LANE_NS_PER_BYTE ? bytes - (uint32_t)(quiet_ns / LANE_NS_PER_BYTE) : 0;
	bytes += len;
	f->bytes = bytes;
	if (bytes <= LANE_BURST_BYTES)
		return false;
	f->bulk = 1;
	f->bytes = 0;
	return true;
}

#endif
