/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/witness.h"

void witness_know(struct witness *w)
{
	w->wanted = !w->answer_us;
}

void witness_doubt(struct witness *w, uint64_t now_us)
{
	if (w->doubt_us)
		return;
	w->doubt_us = now_us;
	w->waits = false; /* what is under way was asked before */
	w->silent = w->asked = 0;
}

void witness_trust(struct witness *w)
{
	w->doubt_us = 0;
	w->said = WITNESS_NOTHING;
}

static bool is_late(const struct witness *w, uint32_t late_us, uint64_t now_us)
{
	return w->waits && now_us - w->asked_us > (late_us < WITNESS_LATEST_US ? late_us : WITNESS_LATEST_US);
}

bool witness_due(struct witness *w, uint32_t late_us, uint64_t now_us)
{
	uint64_t pause_us = w->asked < WITNESS_EAGER ? WITNESS_AGAIN_US : WITNESS_SELDOM_US;

	if (is_late(w, late_us, now_us)) {
		w->waits = false;
		w->silent += w->silent < UINT8_MAX;
	}
	if (w->waits || (!w->doubt_us && !w->wanted))
		return false;
	return !w->asked_us || now_us - w->asked_us >= pause_us;
}

void witness_asked(struct witness *w, uint32_t flow_id, uint16_t seq, uint64_t now_us)
{
	w->asked_us = now_us;
	w->flow_id = flow_id;
	w->seq = seq;
	w->waits = true;
	w->wanted = false;
	w->asked += w->asked < UINT8_MAX;
}

bool witness_answered(struct witness *w, uint32_t flow_id, uint16_t seq, uint64_t now_us)
{
	if (!w->waits || w->flow_id != flow_id || w->seq != seq || now_us - w->asked_us > WITNESS_LATEST_US)
		return false;
	w->waits = false;
	w->silent = 0;
	w->answer_us = now_us;
	w->rtt_us = (uint32_t)(now_us - w->asked_us);
	return true;
}

enum witness_word witness_says(const struct witness *w, uint32_t late_us, uint64_t now_us)
{
	unsigned int silent = w->silent + is_late(w, late_us, now_us);

	if (!w->doubt_us)
		return WITNESS_NOTHING;
	/* One that was lost proves nothing, after an answer to another. */
	if (silent >= WITNESS_SILENT)
		return w->answer_us ? WITNESS_PATH_DEAD : WITNESS_MUTE;
	return w->answer_us > w->doubt_us ? WITNESS_PATH_WORKS : WITNESS_NOTHING;
}
