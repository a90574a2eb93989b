/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CORE_PATH_TRIAL_H
#define SHILA_CORE_PATH_TRIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The frames of flows on a path are not answered: is it the path? PROBEs go out over it and over the other paths of the
 * peer, in one go, and over the suspected one once more, since one may be lost; and all that again if nobody answers. It is
 * dead if none of its own is answered in time while that of another path is, nor any frame on it since. Who has too much to
 * do, here, there, or in a router of all paths, answers none of them, or all of them late; then nothing happens.
 * Pure: time is an argument, and who calls sends and receives.
 */

#define PATH_TRIAL_MAX	    16	    /* paths that are asked, with the suspected ones */
#define PATH_TRIAL_US	    1000000 /* then it has found nothing */
#define PATH_TRIAL_ROUNDS   2
#define PATH_TRIAL_REST_US  100000  /* from the begin of one to that of the next, at least */
#define PATH_TRIAL_AGAIN_US 5000    /* from the first PROBE over a suspected path to the second */
#define PATH_TRIAL_LEAST_US 30000   /* how much later than usual is late, at least */
#define PATH_TRIAL_SILENT_US 100000 /* since the last answer to a frame, and 16 var: a burst that waits in a queue is silent for long */
#define PATH_TRIAL_SLACK_US 10000   /* and how much later than others */
#define PATH_TRIAL_HASTE_US 3000    /* the same, for flows that leave before anything is proven */
#define PATH_TRIAL_STAY_US  35000   /* since the last frame, or RTT/2, and var: so long flows stay, since a queue may have grown */
#define PATH_TRIAL_YOUNG    64	    /* answers to frames, before which its var is not known: the first burst of a flow fills queues */
#define PATH_TRIAL_YOUNG_FAR 32	    /* the same, if numbers are asked every RTT/4: 8 round trips */
#define PATH_TRIAL_YOUNG_US 65000   /* so much longer flows stay then */
#define PATH_TRIAL_ASKS_US  10000   /* frames ask so often, or every RTT/4: who hears nothing for two such times is silent */
#define PATH_TRIAL_STOOD_US 4000    /* who looks so much later than he wanted stood still: answers may lie unread */
#define PATH_TRIAL_FRESH_US 1000000 /* so long its answers count when flows choose */

struct path_tried {
	void *path; /* as the caller calls it; NULL: it is gone */
	uint64_t suspect_us; /* since when it is suspect; 0: it is not */
	uint64_t frames_us;  /* when the last answer to a frame came, as it was when it became suspect; of others: as of now */
	uint64_t heard_us;   /* when the last frame came, be it an answer or not */
	uint64_t patience_us; /* it has been silent for so long before, and came back: flows stay longer */
	bool left;	     /* flows were told to leave it */
	unsigned int asked, first; /* PROBEs, in all and before this round */
	uint32_t probe_id[2 * PATH_TRIAL_ROUNDS];
	uint64_t sent_us[2 * PATH_TRIAL_ROUNDS];
	bool unsent;	    /* one of them could not be sent: its silence says nothing */
	uint64_t answer_us; /* 0: none came; */
	uint64_t took_us;   /* it was that of a PROBE so long ago */
	uint32_t rtt_us, late_us, silent_us, stay_us;
};

/* Zeros at its begin. */
struct path_trial {
	uint64_t began_us; /* the last one */
	unsigned int num, rounds;
	struct path_tried tried[PATH_TRIAL_MAX];
};

enum path_trial_step {
	PATH_TRIAL_WAIT,
	PATH_TRIAL_ASK,	 /* a PROBE over it is due */
	PATH_TRIAL_ASK_ALL, /* nobody has answered: the same again, after path_trial_round() */
	PATH_TRIAL_LEAVE, /* its flows are better off elsewhere meanwhile: told once */
	PATH_TRIAL_DEAD,
	PATH_TRIAL_OVER, /* nothing is proven */
};

/* path_trial_late_us() - After how long an answer is late, by what is known of a path; 0 and 0: nothing. */
uint32_t path_trial_late_us(uint32_t rtt_us, uint32_t var_us);

bool path_trial_begin(struct path_trial *t, uint64_t now_us); /* false: the last one has just begun */
/* path_trial_add() - One more path, which is asked at once; NULL: there are too many. @answers: to frames so far */
struct path_tried *path_trial_add(struct path_trial *t, void *path, uint32_t rtt_us, uint32_t var_us, uint32_t late_us,
				  uint32_t answers);
struct path_tried *path_trial_find(struct path_trial *t, const void *path); /* NULL: it was not asked */
/* path_trial_suspect() - Its frames are not answered; again does no harm. @heard_us: when the last answer came; 0: never */
void path_trial_suspect(struct path_tried *x, uint64_t heard_us, uint64_t patience_us, uint64_t now_us);
/*
 * path_trial_frames() - What frames tell by now: when the last answer came (which does not matter for who is suspect), and
 * when the last one of all. While a queue drains that a burst has filled, ACKs come, but no answers.
 */
void path_trial_frames(struct path_tried *x, uint64_t answer_us, uint64_t heard_us);
void path_trial_round(struct path_trial *t);
void path_trial_asked(struct path_tried *x, uint32_t probe_id, uint64_t now_us); /* @probe_id: 0: it could not be sent */
/* path_trial_answered() - A reply came. Return: the path that it is about; NULL: it is not of this trial. */
struct path_tried *path_trial_answered(struct path_trial *t, uint32_t probe_id, uint64_t sent_us, uint64_t now_us);

/**
 * path_trial_look() - What is to be done about a suspected path.
 * @heard_us: when the last answer to a frame on it came; 0: none ever did
 * @sure: what has come has been read
 * @at_us: WAIT: when to look again, unless an answer comes before
 */
enum path_trial_step path_trial_look(const struct path_trial *t, const struct path_tried *x, uint64_t heard_us,
				     uint64_t now_us, bool sure, uint64_t *at_us);

/* path_trial_over() - Nothing is proven: it is no longer suspect, and if it was heard since, as good as one that answered. */
void path_trial_over(struct path_tried *x, uint64_t heard_us);

/* path_trial_leads() - Whether flows of a path that they leave do well to go to this one: it was heard when that was not. */
bool path_trial_leads(const struct path_trial *t, const struct path_tried *x, const void *path);

/* path_trial_doubtful() - Whether a path was asked in the last trial, and did not answer: no good place to go to. */
bool path_trial_doubtful(struct path_trial *t, const void *path, uint64_t now_us);

#endif
