/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_EMULATOR_PARCEL_H
#define SHILA_EMULATOR_PARCEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What goes through links: a packet, or a train of packets of one flow (UDP segmentation). All packets of a train
 * carry @seg bytes of payload, the last one maybe less. Its headers are there once, in front, or not at all when it
 * came from a UDP socket; what they take on the wire is in @overhead then. What is not UDP is nothing but header.
 *
 * Parcels come from a pool that is reserved at the start, in three sizes; memory is touched when it is first used.
 */

#define PARCEL_MAX_BYTES 65792 /* 64 KiB and headers; what a read must have room for */

struct parcel {
	struct parcel *next; /* in a link or the pool; otherwise free for the owner */
	uint64_t due_ns;     /* in a link: when it comes out */
	uint64_t order;	     /* in a link: which of two of the same time is first */
	uint8_t *data;
	uint32_t room; /* bytes at @data */
	uint32_t len;  /* bytes at @data that count: @hdr_len and payload */
	uint16_t hdr_len;  /* IP and UDP header at @data, repeated for each packet of a train; 0: only payload */
	uint16_t seg;	   /* payload bytes of each packet but the last; 0: one packet of whatever kind */
	uint16_t overhead; /* bytes that each packet has on the wire beyond what is at @data (14 of Ethernet ...) ... */
	uint16_t counted; /* ... of which counters count so many: of a parcel without headers those of IP and UDP */
	uint16_t csum_start;  /* if not 0: a checksum from here to the end of each packet is still to be made ... */
	uint16_t csum_offset; /* ... where so many bytes on the sum of the pseudo-header is (a train has UDP's: 6) */
	uint8_t size_class;   /* of the pool */
	uint16_t tag;	      /* the owner's: where from, where to */
};

struct parcel_pool;

/* parcel_pool_new() - Reserves @bytes of address space for parcels. Return: NULL without memory. */
struct parcel_pool *parcel_pool_new(size_t bytes);
void parcel_pool_free(struct parcel_pool *pool);

/* parcel_get() - An empty one with room for @len bytes; NULL if the pool is used up or no size is so large. */
struct parcel *parcel_get(struct parcel_pool *pool, uint32_t len);
void parcel_put(struct parcel_pool *pool, struct parcel *p);
/* parcel_pool_used() - Bytes of the pool that were ever in use. */
size_t parcel_pool_used(const struct parcel_pool *pool);

/**
 * parcel_shrink() - What shall lie in a link for a while, in the smallest size that holds it.
 * @p: taken if another one is returned
 * Return: @p itself if it fits best or there is no other.
 */
struct parcel *parcel_shrink(struct parcel_pool *pool, struct parcel *p);

/* parcel_packets() - How many packets it is: 1 or more. */
unsigned int parcel_packets(const struct parcel *p);
/* parcel_wire_bytes() - On the wire, of @count packets from the @first; the last one may be shorter. */
uint64_t parcel_wire_bytes(const struct parcel *p, unsigned int first, unsigned int count);

/**
 * parcel_slice() - A parcel of its own of @count packets of a train, from the @first.
 * The headers have lengths and checksums as if they had been sent like this. @p stays as it is.
 * Return: NULL if the pool is used up.
 */
struct parcel *parcel_slice(struct parcel_pool *pool, const struct parcel *p, unsigned int first, unsigned int count);

/* parcel_is_bfd() - A SCION packet with a BFD message: what routers ask each other "are you there" with. */
bool parcel_is_bfd(const struct parcel *p);

#endif
