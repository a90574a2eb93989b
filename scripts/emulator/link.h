/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_EMULATOR_LINK_H
#define SHILA_EMULATOR_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "parcel.h"

/*
 * One direction of a link: parcels go in, and come out later, or not, or twice. No I/O and no clock: time is an
 * argument (nanoseconds that only grow). What happens to the n-th packet is decided by the seed and n alone, so it
 * does not matter whether packets come one by one or as trains; only jitter is drawn anew by time.
 *
 *	link_enqueue(lane, parcel, now);
 *	while ((p = link_dequeue(lane, now)))
 *		...send p, parcel_put(pool, p)
 *	sleep until link_next(lane)
 *
 * Order of what a packet meets: cut, random loss, burst loss, queue limit, rate, delay with jitter, reordering,
 * duplication. A train is split only where the fates of its packets differ, and where it would take longer than
 * LINK_TRAIN_NS at the rate of the link.
 */

#define LINK_TRAIN_NS	     250000	 /* a train this long at the link's rate comes out as one */
#define LINK_QUEUE_NS	     50000000	 /* default queue limit, as that of the shaped veths of the lab */
#define LINK_REORDER_BY_NS   5000000	 /* default: how long a packet is held back for others to overtake it */
#define LINK_MAX_DELAY_NS    60000000000 /* of any time here */
#define LINK_MIN_RATE	     1000
#define LINK_MAX_RATE	     1000000000000
#define LINK_MAX_QUEUE_BYTES (1u << 30)

enum link_cut {
	LINK_CUT_NONE,
	LINK_CUT_ALL,	 /* nothing passes; what is inside is lost */
	LINK_CUT_SILENT, /* only BFD passes, so no router ever notices */
	LINK_NUM_CUTS
};

/* All zeros: whatever goes in comes out at once. Probabilities are 0 to 1, each packet by itself. */
struct link_props {
	uint64_t rate_bit_s; /* 0: unlimited; counts parcel_wire_bytes() */
	uint64_t queue_bytes; /* what may wait for the rate; 0: @queue_ns counts */
	uint64_t queue_ns;    /* the same as time; 0: LINK_QUEUE_NS */
	uint64_t delay_ns; /* when it gets less, packets wait for those that are inside already */
	uint64_t jitter_ns; /* delay -+ this, uniform, a new value every 2 * jitter; order is kept */
	double loss;
	double burst_start; /* Gilbert-Elliott: good to bad, per packet ... */
	double burst_end;   /* ... bad to good: 1 / this is the mean length */
	double burst_loss;  /* probability in the bad state */
	double reorder;	    /* held back by @reorder_ns, while others overtake it */
	uint64_t reorder_ns; /* 0: LINK_REORDER_BY_NS */
	double duplicate;
	enum link_cut cut;
};

/* What has become of packets: member, name in JSON. */
#define LINK_COUNTERS(X)                                                                                               \
	X(OFFERED, offered) /* went in */                                                                              \
	X(DELIVERED, delivered) /* came out, duplicates too */                                                        \
	X(LOST_RANDOM, lost_random)                                                                                    \
	X(LOST_BURST, lost_burst)                                                                                      \
	X(LOST_QUEUE, lost_queue) /* the queue before the rate was full */                                             \
	X(LOST_CUT, lost_cut)                                                                                          \
	X(LOST_MEMORY, lost_memory) /* the emulator's pool was used up: a figure that includes these is void */       \
	X(REORDERED, reordered) /* held back; also in delivered */                                                     \
	X(DUPLICATED, duplicated) /* copies made; also in delivered */

enum link_counter {
#define LINK_COUNTER_ENUM(member, name) LINK_##member,
	LINK_COUNTERS(LINK_COUNTER_ENUM)
#undef LINK_COUNTER_ENUM
	LINK_NUM_COUNTERS
};

extern const char *const link_counter_names[LINK_NUM_COUNTERS];

struct link_count {
	uint64_t packets;
	uint64_t bytes; /* whole IP packets: without a parcel's @overhead but for what of it is @counted */
};

struct link_rng {
	uint64_t state;
};

struct link_lane {
	struct link_props props; /* read only: link_set() changes them */
	struct parcel_pool *pool; /* borrowed */
	struct link_count counts[LINK_NUM_COUNTERS];
	uint64_t inside; /* packets that are in it now */

	/* What follows is link.c's. */
	uint64_t seed, origin_ns;
	struct link_rng random, burst, reorder, duplicate; /* one each, so that one property does not change another */
	bool in_burst;
	uint64_t busy_until_ns; /* the last byte of all that waits has left ... */
	uint64_t busy_rest;	/* ... and this / rate_bit_s of a nanosecond later */
	uint64_t last_due_ns;
	uint64_t next_order;
	struct parcel *line, **line_end; /* in order of time */
	struct parcel *held;		 /* held back, sorted by time: few */
};

/**
 * link_init() - An empty lane without properties.
 * @pool: borrowed; where slices and copies come from and what is lost goes to
 * @seed: the same seed and packets give the same losses; lanes of one emulator have different ones (link_seed())
 */
void link_init(struct link_lane *lane, struct parcel_pool *pool, uint64_t seed, uint64_t now_ns);
void link_fini(struct link_lane *lane); /* gives back what is inside */

/* link_seed() - A seed for direction 0 or 1 of link @id from that of the whole run. */
uint64_t link_seed(uint64_t run_seed, uint32_t id, unsigned int direction);

/* link_check() - What is wrong with @props, NULL if nothing. */
const char *link_check(const struct link_props *props);

/* link_set() - Other properties (checked) from now on; what is inside already comes out when it was to, if not cut. */
void link_set(struct link_lane *lane, const struct link_props *props);
/* link_reseed() - Start the random numbers again, those of jitter at @now_ns. */
void link_reseed(struct link_lane *lane, uint64_t seed, uint64_t now_ns);

/* link_enqueue() - Takes @p: it is in the lane, or lost and counted. */
void link_enqueue(struct link_lane *lane, struct parcel *p, uint64_t now_ns);

/* link_refuse() - Counts @p (borrowed) as lost for lack of memory. */
void link_refuse(struct link_lane *lane, const struct parcel *p);

/* link_dequeue() - The next one that is due, given to the caller (parcel_put()); NULL: none now. */
struct parcel *link_dequeue(struct link_lane *lane, uint64_t now_ns);

/* link_next() - When link_dequeue() has something; UINT64_MAX: the lane is empty. */
static inline uint64_t link_next(const struct link_lane *lane)
{
	uint64_t line = lane->line ? lane->line->due_ns : UINT64_MAX;
	uint64_t held = lane->held ? lane->held->due_ns : UINT64_MAX;

	return line < held ? line : held;
}

#endif
