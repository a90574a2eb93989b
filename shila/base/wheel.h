/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_BASE_WHEEL_H
#define SHILA_BASE_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Time-outs of many things without a scan and without a heap: a hierarchical timing wheel. Time is any counter that
 * only grows (milliseconds, say) and comes as an argument.
 *
 * A level has 64 slots; a slot of level n covers 64^n ticks. A timer lies on the level of the highest 6-bit digit in
 * which its time differs from the wheel's, in the slot of that digit. So the next slot that anything has to be done
 * for is the first used one of the lowest used level: found by two bit scans, and nobody wakes up for an empty one.
 * When the time gets to a slot above level 0 its timers move down, each at most once a level.
 *
 * Setting, stopping and expiring cost the same however many timers there are. To put a timer off is one store: it
 * stays where it is and is looked at again when its old time comes. What is used all the time need not even do that: its
 * owner may compare the last use when the timer expires, and set it anew.
 */

#define WHEEL_SLOTS  64
#define WHEEL_LEVELS 11 /* 6 bits each: all of 64 bits */

/* Lives in what it belongs to. Zeros: not set. Neither it nor the wheel may move while it is set. */
struct wheel_timer {
	struct wheel_timer *next, **at; /* @at: what points here; NULL: not set */
	uint64_t due;
};

struct wheel {
	uint64_t now;	 /* everything due before was handed out, and no slot begins before */
	size_t num;	 /* timers that are set */
	uint32_t levels; /* bits: levels with a used slot */
	uint64_t used[WHEEL_LEVELS]; /* bits: slots with a timer */
	struct wheel_timer *slots[WHEEL_LEVELS * WHEEL_SLOTS];
};

/* wheel_init() - An empty one whose time is @now. There is nothing to be freed. */
void wheel_init(struct wheel *w, uint64_t now);

static inline bool wheel_timer_is_set(const struct wheel_timer *t)
{
	return t->at;
}

/* wheel_set() - To expire at @due, whether it is set already or not; what is past expires next. */
void wheel_set(struct wheel *w, struct wheel_timer *t, uint64_t due);
void wheel_stop(struct wheel *w, struct wheel_timer *t); /* fine if it is not set */

/**
 * wheel_expire() - One timer that is due at @now, which is stopped by that.
 * @work: how many timers may be touched; counted down
 * Return: NULL if there is none, or @work is 0 and the rest has to wait: then wheel_wake_at() is not after @now.
 * Timers of different times come in their order. Between the calls anything may be set and stopped.
 */
struct wheel_timer *wheel_expire(struct wheel *w, uint64_t now, unsigned int *work);

/**
 * wheel_wake_at() - When wheel_expire() is to be called: not after the first timer is due, but earlier if timers
 * must move, or were stopped or put off. UINT64_MAX: no timer is set.
 */
uint64_t wheel_wake_at(const struct wheel *w);

#endif
