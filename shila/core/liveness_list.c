/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/liveness_list.h"

void liveness_list_add(struct liveness_list *list, struct liveness *l, uint64_t now_us)
{
	uint64_t due_us = liveness_due_us(l, now_us);

	l->listed = true;
	l->next = list->first;
	list->first = liveness_get(l);
	if (due_us < list->due_us)
		list->due_us = due_us;
}

bool liveness_list_late(const struct liveness_list *list, uint64_t now_us)
{
	for (const struct liveness *l = list->first; l; l = l->next)
		if (liveness_late_at_us(l, now_us) <= now_us)
			return true;
	return false;
}

void liveness_list_tick(struct liveness_list *list, uint64_t now_us, uint64_t late_us,
			bool (*act)(void *ctx, struct liveness *l, unsigned int todo), void *ctx)
{
	struct liveness **at = &list->first, *l;
	uint64_t due_us = UINT64_MAX, next_us;

	while ((l = *at)) {
		unsigned int todo = liveness_tick(l, now_us, late_us);

		if (todo & ~(unsigned int)LIVENESS_DO_REST && !act(ctx, l, todo)) {
			liveness_forget(l);
			todo = LIVENESS_DO_REST;
		}
		if (todo & LIVENESS_DO_REST) {
			*at = l->next;
			l->listed = false;
			liveness_put(l);
			continue;
		}
		next_us = liveness_due_us(l, now_us);
		if (next_us < due_us)
			due_us = next_us;
		at = &l->next;
	}
	list->due_us = due_us;
}

void liveness_list_fini(struct liveness_list *list)
{
	struct liveness *l;

	while ((l = list->first)) {
		list->first = l->next;
		l->listed = false;
		liveness_put(l);
	}
}
