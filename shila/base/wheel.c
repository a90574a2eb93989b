/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/base/wheel.h"

#define BITS 6

static unsigned int digit(uint64_t time, unsigned int level)
{
	return (unsigned int)(time >> level * BITS) & (WHEEL_SLOTS - 1);
}

void wheel_init(struct wheel *w, uint64_t now)
{
	*w = (struct wheel){ .now = now };
}

static void link_timer(struct wheel *w, struct wheel_timer *t)
{
	uint64_t when = t->due > w->now ? t->due : w->now;
	unsigned int level = (63u - (unsigned int)__builtin_clzll((when ^ w->now) | 1)) / BITS;
	unsigned int slot = digit(when, level);
	struct wheel_timer **head = &w->slots[level * WHEEL_SLOTS + slot];

	t->next = *head;
	t->at = head;
	if (t->next)
		t->next->at = &t->next;
	*head = t;
	w->used[level] |= 1ull << slot;
	w->levels |= 1u << level;
}

static void unlink_timer(struct wheel *w, struct wheel_timer *t)
{
	struct wheel_timer **at = t->at;

	*at = t->next;
	if (t->next)
		t->next->at = at;
	else if (at >= w->slots && at < w->slots + WHEEL_LEVELS * WHEEL_SLOTS) {
		unsigned int n = (unsigned int)(at - w->slots), level = n / WHEEL_SLOTS;

		w->used[level] &= ~(1ull << n % WHEEL_SLOTS);
		if (!w->used[level])
			w->levels &= ~(1u << level);
	}
	t->at = NULL;
}

void wheel_set(struct wheel *w, struct wheel_timer *t, uint64_t due)
{
	if (t->at) {
		bool later = due >= t->due;

		t->due = due;
		if (later)
			return; /* moves when its old time comes */
		unlink_timer(w, t);
	} else {
		t->due = due;
		w->num++;
	}
	link_timer(w, t);
}

void wheel_stop(struct wheel *w, struct wheel_timer *t)
{
	if (!t->at)
		return;
	unlink_timer(w, t);
	w->num--;
}

/* The first slot in use, and the time at which it begins (not before the wheel's). False: none. */
static bool first_slot(const struct wheel *w, unsigned int *level, unsigned int *slot, uint64_t *begins)
{
	unsigned int l, s;

	if (!w->levels)
		return false;
	/* One that the time has come to goes on being emptied, whatever lies below. */
	for (uint32_t left = w->levels; left; left &= left - 1) {
		l = (unsigned int)__builtin_ctz(left);
		s = digit(w->now, l);
		if (w->used[l] >> s & 1) {
			*level = l;
			*slot = s;
			*begins = w->now;
			return true;
		}
	}
	l = (unsigned int)__builtin_ctz(w->levels);
	s = (unsigned int)__builtin_ctzll(w->used[l]); /* none is behind: they would have been passed */
	*level = l;
	*slot = s;
	*begins = ((w->now >> l * BITS & ~(uint64_t)(WHEEL_SLOTS - 1)) | s) << l * BITS;
	return true;
}

struct wheel_timer *wheel_expire(struct wheel *w, uint64_t now, unsigned int *work)
{
	unsigned int level, slot;
	uint64_t begins;

	while (first_slot(w, &level, &slot, &begins) && begins <= now) {
		struct wheel_timer *t = w->slots[level * WHEEL_SLOTS + slot];

		if (!*work)
			return NULL;
		--*work;
		w->now = begins;
		unlink_timer(w, t);
		if (t->due <= w->now) {
			w->num--;
			return t;
		}
		link_timer(w, t); /* further down, or it was put off */
	}
	if (now > w->now)
		w->now = now;
	return NULL;
}

uint64_t wheel_wake_at(const struct wheel *w)
{
	unsigned int level, slot;
	uint64_t begins;

	return first_slot(w, &level, &slot, &begins) ? begins : UINT64_MAX;
}
