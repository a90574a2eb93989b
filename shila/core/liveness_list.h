/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CORE_LIVENESS_LIST_H
#define SHILA_CORE_LIVENESS_LIST_H

#include "shila/core/liveness.h"

/* The records of one worker that wait for something: an answer is due, or was not given yet. */
struct liveness_list {
	struct liveness *first; /* one reference each */
	uint64_t due_us;	/* when liveness_list_tick() is to be called, UINT64_MAX: not at all */
};

void liveness_list_add(struct liveness_list *list, struct liveness *l, uint64_t now_us);

/* liveness_list_look() - After a train or segment; @l may be NULL. */
static inline void liveness_list_look(struct liveness_list *list, struct liveness *l, uint64_t now_us)
{
	if (!l)
		return;
	if (!l->listed && liveness_busy(l))
		liveness_list_add(list, l, now_us);
	if (l->owes && l->owes_us + LIVENESS_ANSWER_US < list->due_us)
		list->due_us = l->owes_us + LIVENESS_ANSWER_US;
}

/* liveness_list_late() - Whether a verdict would be given now, which news may prevent that were not read yet. */
bool liveness_list_late(const struct liveness_list *list, uint64_t now_us);

/**
 * liveness_list_tick() - Ask all of them what is to be done.
 * @act: does it, bits of LIVENESS_DO_*; false: nobody uses the path any more
 */
void liveness_list_tick(struct liveness_list *list, uint64_t now_us, uint64_t late_us,
			bool (*act)(void *ctx, struct liveness *l, unsigned int todo), void *ctx);
void liveness_list_fini(struct liveness_list *list);

#endif
