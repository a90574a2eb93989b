/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CORE_LIVENESS_H
#define SHILA_CORE_LIVENESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Is the path alive? One record for each own port, peer port and path: what the frames of a worker's flows ask (req) and
 * answer (ans) on it (docs/protocol.md, section 9). Pure: time is an argument. One thread changes a record, the worker
 * of the own port; what others may read is atomic.
 *
 *     frames leave       liveness_stamp()     the newest number, and the answer that is owed
 *     frames arrive      liveness_heard()     a number to be answered, an answer
 *     nothing happens    liveness_tick()      an answer is due, a question, the verdict
 *
 * A number stands in every frame until the next one is due, and so does an answer: a lost frame is no lost number.
 */

#define LIVENESS_INTERVAL_US 10000 /* between two numbers, at least; else RTT/4 */
#define LIVENESS_ANSWER_US   2000  /* so long an answer waits for a frame that takes it along */
#define LIVENESS_LEAST_US    10000 /* how much later than usual is late, at least */
#define LIVENESS_TAIL	     6	   /* numbers in a row that are sent in ALIVEs, for want of other frames */
#define LIVENESS_IN_FLIGHT   127
#define LIVENESS_ANS_US	     100000 /* so long frames repeat an answer */
#define LIVENESS_AGAIN_US    200000 /* a verdict that changed nothing is told again */

enum liveness_state {
	LIVENESS_NONE, /* no such step */
	LIVENESS_REST,	  /* nothing is in flight */
	LIVENESS_ASKING,  /* something is, and not late */
	LIVENESS_SUSPECT, /* it is late */
	LIVENESS_NUM_STATES,
};

enum liveness_event {
	LIVENESS_EV_ASKED,
	LIVENESS_EV_ANSWERED, /* one that is not the newest */
	LIVENESS_EV_SETTLED,  /* the newest */
	LIVENESS_EV_LATE,
	LIVENESS_EV_GIVEN_UP, /* nobody waits for the answers any more */
	LIVENESS_NUM_EVENTS,
};

/* What liveness_tick() wants, as bits. */
enum {
	LIVENESS_DO_ANSWER = 0x01,  /* an ALIVE that carries what is owed */
	LIVENESS_DO_ASK = 0x02,	    /* an ALIVE that carries a new number */
	LIVENESS_DO_SUSPECT = 0x04, /* the path does not answer: told once, and every LIVENESS_AGAIN_US while it lasts */
	LIVENESS_DO_REST = 0x08,    /* nothing is to be done before the next frame */
};

struct liveness {
	/* Looked at with every train and segment. */
	uint64_t next_us;  /* when the next number is due */
	uint64_t ans_until_us;
	_Atomic uint64_t frame_us; /* when the last frame came but ALIVEs; read by others, too */
	uint8_t req;	   /* the newest number, as it is sent; 0: none yet */
	uint8_t seen;	   /* the newest number of the other side, 0: none */
	uint8_t got;	   /* the last answer that was looked at */
	bool owes;	   /* @seen is not answered yet */
	bool owes_alive;   /* and came in an ALIVE */
	uint8_t sent;	   /* frames that are no ALIVE were sent since the last number: so many more are asked */
	bool listed;	   /* its worker looks after it */
	uint8_t tail;	   /* numbers in ALIVEs in a row */
	uint32_t flow;	   /* index of the last flow that used it */

	uint64_t seen_us, owes_us;
	uint32_t newest, known; /* numbers, counted on: the last one that was asked, the last one that was answered */
	uint32_t lost_16;	/* share of numbers that were never answered, in 1/65536 */
	uint64_t told_us;	/* when the verdict was told */
	uint32_t asked_us[128]; /* by number, low bits */
	struct liveness *next;	/* of its worker */

	/* Read by others, too. */
	atomic_uint refs;
	_Atomic uint8_t state;
	_Atomic uint32_t srtt_us, var_us, min_us; /* 0: not known */
	_Atomic uint32_t asked, answered;	  /* numbers */
	_Atomic uint64_t proof_us;  /* when the newest number that was answered was asked */
	_Atomic uint64_t answer_us; /* when its answer came */
};

/* liveness_new() - With one reference. @first: any number; not the same for records that follow each other. */
struct liveness *liveness_new(uint8_t first);
struct liveness *liveness_get(struct liveness *l);
void liveness_put(struct liveness *l); /* NULL is fine */

enum liveness_state liveness_step(enum liveness_state s, enum liveness_event ev); /* LIVENESS_NONE: refused */
const char *liveness_state_str(enum liveness_state s);

/* ---- the worker ---- */

void liveness_ask(struct liveness *l, uint64_t now_us); /* counts the number on */
void liveness_take_req(struct liveness *l, uint8_t req, bool alive, uint64_t now_us);
void liveness_take_ans(struct liveness *l, uint8_t ans, uint64_t now_us);

/* liveness_stamp() - What a frame that is sent now carries. */
static inline void liveness_stamp(struct liveness *l, uint32_t flow, uint64_t now_us, uint8_t *req, uint8_t *ans)
{
	l->sent = 1;
	if (now_us >= l->next_us) {
		l->tail = 0;
		liveness_ask(l, now_us);
	}
	l->flow = flow;
	l->owes = false;
	*req = l->req;
	*ans = now_us < l->ans_until_us ? l->seen : 0;
}

/* liveness_heard() - What a frame that arrived on the path carries. @alive: it is an ALIVE. */
static inline void liveness_heard(struct liveness *l, uint32_t flow, uint8_t req, uint8_t ans, bool alive, uint64_t now_us)
{
	if (!alive) /* those come from who hears nothing, too */
		atomic_store_explicit(&l->frame_us, now_us, memory_order_relaxed);
	if (req && req != l->seen) {
		l->flow = flow;
		liveness_take_req(l, req, alive, now_us);
	}
	if (ans && ans != l->got)
		liveness_take_ans(l, ans, now_us);
}

/* liveness_busy() - Whether liveness_tick() has something to look after. */
static inline bool liveness_busy(const struct liveness *l)
{
	return l->owes || l->sent || l->newest != l->known;
}

/**
 * liveness_tick() - What is to be done by now.
 * @late_us: how much later than it wanted the caller comes: answers may have come meanwhile that it has not seen
 * Return: bits of LIVENESS_DO_*.
 */
unsigned int liveness_tick(struct liveness *l, uint64_t now_us, uint64_t late_us);
/* liveness_late_at_us() - When what is in flight now will be late; UINT64_MAX: never, as things are. */
uint64_t liveness_late_at_us(const struct liveness *l, uint64_t now_us);
uint64_t liveness_due_us(const struct liveness *l, uint64_t now_us); /* when to look again */
/**
 * liveness_alive() - What an ALIVE carries that liveness_tick() wanted.
 * @ask: LIVENESS_DO_ASK was set
 * @client: of l->flow. The client is who moves flows, so it also asks when it only answers what came in other frames
 * than ALIVEs: it may have nothing else to send. Nobody asks in an ALIVE that answers an ALIVE, which would have no end.
 */
void liveness_alive(struct liveness *l, bool ask, bool client, uint64_t now_us, uint8_t *req, uint8_t *ans);
/* liveness_forget() - Nobody uses the path now: what is in flight is waited for no more. */
void liveness_forget(struct liveness *l);

/* ---- anybody ---- */

uint64_t liveness_timeout_us(const struct liveness *l); /* when a number is late; 0: not known yet */
uint32_t liveness_interval_us(const struct liveness *l);
/**
 * liveness_silent() - Whether what was sent on the path of late may be lost, for who only follows the peer that leaves it:
 * something is in flight, and for two intervals nothing came back. For the worker.
 */
bool liveness_silent(const struct liveness *l, uint64_t now_us);
static inline enum liveness_state liveness_state(const struct liveness *l)
{
	return (enum liveness_state)atomic_load_explicit(&l->state, memory_order_relaxed);
}

#endif
