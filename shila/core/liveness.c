/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Numbers are 1 to 255 in turn on the wire; here they are counted on, so that the older of two is known. The other side
 * answers the newest that it saw. A path is suspect when nothing of what it was asked came back in the usual time, which
 * is srtt + 4 var or 10 ms: var rises with the first surprise, and takes a second to forget it.
 */
#include "shila/core/liveness.h"

#include <stdlib.h>
#include <string.h>

#define NUMBERS	     255u
#define BEHIND	     8	    /* a number so little behind the newest was overtaken; one further behind is of a new record */
#define BEHIND_US    200000 /* the same, but not after so long */
#define LOSSY	     (65536 / 33) /* shares of lost numbers from which one more must be late */
#define MORE_LOSSY   (65536 / 12)
#define MOST_LOSSY   (65536 / 6)
#define RTT_MAX_US   2000000 /* of a frame that waited while one of both stood still */

static uint32_t get32(const _Atomic uint32_t *v)
{
	return atomic_load_explicit(v, memory_order_relaxed);
}

static void set32(_Atomic uint32_t *v, uint32_t x)
{
	atomic_store_explicit(v, x, memory_order_relaxed);
}

static void set64(_Atomic uint64_t *v, uint64_t x)
{
	atomic_store_explicit(v, x, memory_order_relaxed);
}

/* ---- life ---- */

struct liveness *liveness_new(uint8_t first)
{
	struct liveness *l = aligned_alloc(64, (sizeof(*l) + 63) & ~(size_t)63);

	if (!l)
		return NULL;
	memset(l, 0, sizeof(*l));
	l->newest = l->known = first;
	atomic_init(&l->refs, 1);
	atomic_init(&l->state, LIVENESS_REST);
	return l;
}

struct liveness *liveness_get(struct liveness *l)
{
	atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
	return l;
}

void liveness_put(struct liveness *l)
{
	if (l && atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) == 1)
		free(l);
}

/* ---- states ---- */

static const uint8_t steps[LIVENESS_NUM_STATES][LIVENESS_NUM_EVENTS] = {
	[LIVENESS_REST] = {
		[LIVENESS_EV_ASKED] = LIVENESS_ASKING,
		[LIVENESS_EV_GIVEN_UP] = LIVENESS_REST,
	},
	[LIVENESS_ASKING] = {
		[LIVENESS_EV_ASKED] = LIVENESS_ASKING,
		[LIVENESS_EV_ANSWERED] = LIVENESS_ASKING,
		[LIVENESS_EV_SETTLED] = LIVENESS_REST,
		[LIVENESS_EV_LATE] = LIVENESS_SUSPECT,
		[LIVENESS_EV_GIVEN_UP] = LIVENESS_REST,
	},
	[LIVENESS_SUSPECT] = {
		[LIVENESS_EV_ASKED] = LIVENESS_SUSPECT,
		[LIVENESS_EV_ANSWERED] = LIVENESS_ASKING,
		[LIVENESS_EV_SETTLED] = LIVENESS_REST,
		[LIVENESS_EV_LATE] = LIVENESS_SUSPECT,
		[LIVENESS_EV_GIVEN_UP] = LIVENESS_SUSPECT, /* until an answer proves the contrary */
	},
};

enum liveness_state liveness_step(enum liveness_state s, enum liveness_event ev)
{
	return (enum liveness_state)steps[s][ev];
}

const char *liveness_state_str(enum liveness_state s)
{
	static const char *const names[] = { "none", "rest", "asking", "suspect" };

	return names[s];
}

static void step(struct liveness *l, enum liveness_event ev)
{
	enum liveness_state to = liveness_step(liveness_state(l), ev);

	if (to != LIVENESS_NONE)
		atomic_store_explicit(&l->state, (uint8_t)to, memory_order_relaxed);
}

/* ---- asking ---- */

uint32_t liveness_interval_us(const struct liveness *l)
{
	uint32_t quarter = get32(&l->srtt_us) / 4;

	return quarter > LIVENESS_INTERVAL_US ? quarter : LIVENESS_INTERVAL_US;
}

void liveness_ask(struct liveness *l, uint64_t now_us)
{
	l->newest++;
	if (l->newest - l->known > LIVENESS_IN_FLIGHT)
		l->known = l->newest - LIVENESS_IN_FLIGHT; /* that one is waited for no more */
	l->asked_us[l->newest % 128] = (uint32_t)now_us;
	l->req = (uint8_t)(l->newest % NUMBERS + 1);
	l->next_us = now_us + liveness_interval_us(l);
	l->sent -= !!l->sent;
	set32(&l->asked, get32(&l->asked) + 1);
	step(l, LIVENESS_EV_ASKED);
}

static void take_rtt(struct liveness *l, uint32_t rtt_us)
{
	uint32_t srtt = get32(&l->srtt_us), var = get32(&l->var_us), min = get32(&l->min_us), diff, slow;

	if (rtt_us > RTT_MAX_US)
		return;
	if (!rtt_us)
		rtt_us = 1;
	if (!min || rtt_us < min)
		set32(&l->min_us, rtt_us);
	if (!srtt) {
		set32(&l->srtt_us, rtt_us);
		set32(&l->var_us, rtt_us / 2);
		return;
	}
	diff = rtt_us > srtt ? rtt_us - srtt : srtt - rtt_us;
	/* There are a hundred samples a second: what was seen half a second ago must not be forgotten. */
	slow = get32(&l->answered);
	slow = slow < 16 ? 16 : slow > 128 ? 128 : slow;
	var = diff > var ? var + (diff - var) / 4 : var - (var - diff) / slow;
	set32(&l->var_us, var);
	set32(&l->srtt_us, (uint32_t)((7ull * srtt + rtt_us) / 8));
}

void liveness_take_ans(struct liveness *l, uint8_t ans, uint64_t now_us)
{
	uint32_t back = (l->newest % NUMBERS + 1 + NUMBERS - ans) % NUMBERS;
	uint32_t number = l->newest - back, rtt_us;

	l->got = ans;
	if (back >= l->newest - l->known)
		return; /* nothing that is in flight */
	for (uint32_t skipped = number - l->known - 1; skipped; skipped--)
		l->lost_16 += (65536 - l->lost_16) / 32;
	l->lost_16 -= l->lost_16 / 32;
	l->known = number;
	rtt_us = (uint32_t)now_us - l->asked_us[number % 128];
	take_rtt(l, rtt_us);
	set32(&l->answered, get32(&l->answered) + 1);
	set64(&l->proof_us, now_us - rtt_us);
	set64(&l->answer_us, now_us);
	step(l, number == l->newest ? LIVENESS_EV_SETTLED : LIVENESS_EV_ANSWERED);
}

/* ---- answering ---- */

void liveness_take_req(struct liveness *l, uint8_t req, bool alive, uint64_t now_us)
{
	uint32_t behind = ((uint32_t)l->seen + NUMBERS - req) % NUMBERS;

	if (l->seen && behind <= BEHIND && now_us - l->seen_us < BEHIND_US)
		return; /* overtaken */
	l->seen = req;
	l->seen_us = now_us;
	l->ans_until_us = now_us + LIVENESS_ANS_US;
	if (!l->owes)
		l->owes_us = now_us;
	l->owes = true;
	l->owes_alive = alive;
}

void liveness_alive(struct liveness *l, bool ask, bool client, uint64_t now_us, uint8_t *req, uint8_t *ans)
{
	bool traffic = client && l->owes && !l->owes_alive;

	ask |= traffic && now_us >= l->next_us;
	if (ask)
		liveness_ask(l, now_us);
	if (traffic) {
		l->sent = 2; /* if this was the last frame of the other side, the path is asked until some time after it */
		l->tail = 0;
	}
	l->owes = false;
	*req = ask ? l->req : 0;
	*ans = now_us < l->ans_until_us ? l->seen : 0;
}

/* ---- the verdict ---- */

uint64_t liveness_timeout_us(const struct liveness *l)
{
	uint32_t srtt = get32(&l->srtt_us), more = 4 * get32(&l->var_us);

	if (!srtt)
		return 0;
	return srtt + (uint64_t)(more > LIVENESS_LEAST_US ? more : LIVENESS_LEAST_US);
}

/* So many numbers must be late: one may be lost. */
static uint32_t needed(const struct liveness *l)
{
	return 2u + (l->lost_16 > LOSSY) + (l->lost_16 > MORE_LOSSY) + (l->lost_16 > MOST_LOSSY);
}

static uint32_t age_us(const struct liveness *l, uint32_t number, uint64_t now_us)
{
	return (uint32_t)now_us - l->asked_us[number % 128];
}

/* When so many numbers are older than @timeout_us, if nothing came for one and a half intervals since @heard_us. */
static uint64_t late_at_us(const struct liveness *l, uint64_t now_us, uint32_t need, uint64_t timeout_us, uint64_t heard_us)
{
	uint64_t first, last, coming;
	uint32_t age;

	age = age_us(l, l->known + 1, now_us);
	first = now_us + timeout_us - (age < timeout_us ? age : timeout_us);
	age = age_us(l, l->known + need, now_us);
	timeout_us -= LIVENESS_LEAST_US / 2;
	last = now_us + timeout_us - (age < timeout_us ? age : timeout_us);
	coming = heard_us + 3 * liveness_interval_us(l) / 2 + LIVENESS_ANSWER_US;
	first = first > coming ? first : coming;
	return first > last ? first : last;
}

uint64_t liveness_late_at_us(const struct liveness *l, uint64_t now_us)
{
	uint64_t answer_us = atomic_load_explicit(&l->answer_us, memory_order_relaxed), silent_us, mute_us;
	uint64_t heard_us = atomic_load_explicit(&l->frame_us, memory_order_relaxed);
	uint32_t need = needed(l), srtt_us = get32(&l->srtt_us), var_us = get32(&l->var_us);

	if (!srtt_us || l->newest - l->known < need)
		return UINT64_MAX; /* who never answered a number is not declared dead for it */
	/* A queue that grows makes answers late, too: but they go on coming, or at least ACKs of what was in it. */
	mute_us = late_at_us(l, now_us, need, liveness_timeout_us(l), answer_us);
	silent_us = late_at_us(l, now_us, need, srtt_us + (var_us > LIVENESS_LEAST_US ? var_us : LIVENESS_LEAST_US),
			       answer_us > heard_us ? answer_us : heard_us);
	return mute_us < silent_us ? mute_us : silent_us;
}

bool liveness_silent(const struct liveness *l, uint64_t now_us)
{
	if (liveness_state(l) == LIVENESS_SUSPECT)
		return true;
	return l->newest != l->known &&
	       now_us > atomic_load_explicit(&l->answer_us, memory_order_relaxed) + 2 * liveness_interval_us(l) + LIVENESS_ANSWER_US;
}

/* Frames that left since the last number, or numbers that should have been answered by now. */
static bool wants_to_ask(const struct liveness *l, uint64_t now_us)
{
	return l->tail < LIVENESS_TAIL && get32(&l->answered) &&
	       (l->sent || (l->newest != l->known &&
			    age_us(l, l->known + 1, now_us) > get32(&l->srtt_us) + LIVENESS_ANSWER_US));
}

/* Nothing is to be waited for before the next frame. */
static bool is_through(const struct liveness *l, uint64_t now_us)
{
	if (l->owes)
		return false;
	if (!get32(&l->answered) || (!l->sent && l->newest == l->known))
		return true;
	return l->tail == LIVENESS_TAIL &&
	       (liveness_late_at_us(l, now_us) == UINT64_MAX || liveness_state(l) == LIVENESS_SUSPECT);
}

unsigned int liveness_tick(struct liveness *l, uint64_t now_us, uint64_t late_us)
{
	unsigned int todo = 0;

	if (l->owes && now_us >= l->owes_us + LIVENESS_ANSWER_US)
		todo |= LIVENESS_DO_ANSWER;
	if (now_us >= l->next_us && wants_to_ask(l, now_us)) {
		l->tail++;
		todo |= LIVENESS_DO_ASK;
	}
	if (liveness_late_at_us(l, now_us) <= now_us && !late_us &&
	    (liveness_state(l) != LIVENESS_SUSPECT || now_us >= l->told_us + LIVENESS_AGAIN_US)) {
		step(l, LIVENESS_EV_LATE);
		l->told_us = now_us;
		todo |= LIVENESS_DO_SUSPECT;
	}
	if (!(todo & LIVENESS_DO_ASK) && is_through(l, now_us)) {
		/* But the first answer of all may take long. */
		if (get32(&l->answered))
			liveness_forget(l);
		l->sent = 0;
		todo |= LIVENESS_DO_REST;
	}
	return todo;
}

uint64_t liveness_due_us(const struct liveness *l, uint64_t now_us)
{
	uint64_t due_us = now_us + LIVENESS_INTERVAL_US, late_us = liveness_late_at_us(l, now_us);

	if (l->owes && l->owes_us + LIVENESS_ANSWER_US < due_us)
		due_us = l->owes_us + LIVENESS_ANSWER_US;
	if (l->sent && l->next_us < due_us)
		due_us = l->next_us;
	if (late_us > now_us && late_us < due_us)
		due_us = late_us;
	return due_us > now_us ? due_us : now_us + 1000;
}

void liveness_forget(struct liveness *l)
{
	l->known = l->newest;
	l->owes = false;
	l->sent = 0;
	step(l, LIVENESS_EV_GIVEN_UP);
}
