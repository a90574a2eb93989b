/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/path_beat.h"

bool path_beat_due(struct path_beat *b, uint32_t rtt_us, uint64_t bytes, uint32_t cost, uint64_t now_us, uint64_t *at_us)
{
	uint64_t price = (uint64_t)cost * PATH_BEAT_SHARE, every_us = rtt_us / 8 > PATH_BEAT_EVERY_US ? rtt_us / 8 : PATH_BEAT_EVERY_US;

	if (rtt_us < PATH_BEAT_FAR_US) {
		*at_us = UINT64_MAX;
		return false;
	}
	if (now_us < b->next_us) {
		*at_us = b->next_us;
		return false;
	}
	b->credit += bytes > b->bytes ? bytes - b->bytes : 0; /* fewer: flows left */
	b->bytes = bytes;
	if (b->credit > PATH_BEAT_SAVED * price)
		b->credit = PATH_BEAT_SAVED * price;
	if (b->credit < price) {
		*at_us = b->next_us = now_us + (b->credit < price / 2 ? PATH_BEAT_LOOK_US : every_us);
		return false;
	}
	b->credit -= price;
	*at_us = b->next_us = now_us + every_us;
	return true;
}

bool path_beat_fits(uint32_t rtt_us, uint32_t used_us)
{
	return rtt_us && rtt_us / 2 <= used_us;
}

void path_beat_asked(struct path_beat_asked *a, uint32_t probe_id, uint64_t now_us)
{
	a->asked_us = now_us;
	a->probe_id[a->num % PATH_BEAT_OUT] = probe_id;
	a->sent_us[a->num++ % PATH_BEAT_OUT] = now_us;
}

bool path_beat_answered(struct path_beat_asked *a, uint32_t probe_id, uint64_t sent_us, uint32_t rtt_us, uint64_t now_us)
{
	for (unsigned int i = 0; i < PATH_BEAT_OUT; i++) {
		uint64_t came_us = sent_us + rtt_us < now_us ? sent_us + rtt_us : now_us;

		if (!probe_id || a->probe_id[i] != probe_id || a->sent_us[i] != sent_us)
			continue;
		a->probe_id[i] = 0; /* counts once */
		if (came_us > a->answer_us)
			a->answer_us = came_us;
		return true;
	}
	return false;
}
