/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/repeats.h"

bool repeats_known(const struct flow_hot *hot, uint32_t end, uint32_t ack, uint8_t flags)
{
	const uint8_t all = FLOW_KNOWS_OUT | FLOW_KNOWS_IN | FLOW_KNOWS_ACK;

	return !(flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_URG)) && (hot->known & all) == all &&
	       end - hot->out_ack > REPEATS_FAR && (int32_t)(hot->in_ack - ack) >= 0 &&
	       hot->in_next - hot->out_ack <= REPEATS_FAR; /* that number is one of the other side's */
}

bool repeats_take(struct repeats *r, uint64_t now_ms)
{
	uint64_t gone = (uint64_t)((uint32_t)now_ms - r->at_ms) * REPEATS_PER_SECOND;

	r->level_k = gone < r->level_k ? r->level_k - (uint32_t)gone : 0;
	r->at_ms = (uint32_t)now_ms;
	if (r->level_k > (REPEATS_BURST - 1) * 1000)
		return false;
	r->level_k += 1000;
	return true;
}
