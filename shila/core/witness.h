/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CORE_WITNESS_H
#define SHILA_CORE_WITNESS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The second witness of a path: its last router, asked by SCMP traceroute when the peer does not answer. If it answers, the
 * path works as far as the peer's AS, and the peer is the matter. Routers may keep silent to everybody, so silence tells
 * something only of one that has spoken before. Pure: time is an argument.
 *
 *     the path is new, or is up again   witness_know()    is there anybody to ask?
 *     the peer does not answer          witness_doubt()   from now on
 *     it does                           witness_trust()
 *     may a question go out now?        witness_due(), witness_asked()
 *     what does the witness say?        witness_says()
 */

#define WITNESS_AGAIN_US  300000  /* between two questions, at least */
#define WITNESS_EAGER	  5	  /* so many of a doubt; then */
#define WITNESS_SELDOM_US 5000000 /* as often as that */
#define WITNESS_SILENT	  2	  /* questions without an answer: it does not answer */
#define WITNESS_LATEST_US 1000000 /* an answer takes no longer */

enum witness_word {
	WITNESS_NOTHING,     /* nobody doubts, or it has not been asked for long enough */
	WITNESS_PATH_WORKS,  /* as far as the last router */
	WITNESS_PATH_DEAD,   /* it used to answer */
	WITNESS_MUTE,	     /* it never answered */
};

struct witness {
	uint64_t doubt_us;  /* since when; 0: nobody doubts */
	uint64_t asked_us;  /* the last question, 0: there was none */
	uint64_t answer_us; /* the last answer, to a question of this doubt or before, 0: it never answered */
	uint32_t rtt_us;    /* of that */
	uint32_t flow_id;   /* of the question that waits for its answer: numbers that nobody else knows */
	uint16_t seq;
	bool waits;
	bool wanted; /* one answer, to know whether there ever is one */
	uint8_t silent; /* questions in a row without an answer */
	uint8_t asked;	/* of this doubt, 255: or more */
	enum witness_word said; /* what was told last */
};

void witness_know(struct witness *w);
void witness_doubt(struct witness *w, uint64_t now_us);
void witness_trust(struct witness *w);
/* witness_due() - Whether to ask now. @late_us: so long the answer to the last one may take */
bool witness_due(struct witness *w, uint32_t late_us, uint64_t now_us);
void witness_asked(struct witness *w, uint32_t flow_id, uint16_t seq, uint64_t now_us);
/* witness_answered() - By a packet with these numbers. Return: false if it is no answer to the last question, or too late. */
bool witness_answered(struct witness *w, uint32_t flow_id, uint16_t seq, uint64_t now_us);
enum witness_word witness_says(const struct witness *w, uint32_t late_us, uint64_t now_us);

#endif
