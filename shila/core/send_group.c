/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Connections that open and close send single segments of a few lengths. The kernel's way for a message is the same
 * for one segment and for 64 of them (UDP_SEGMENT), and the receiver gets them in one piece (GRO).
 */
#include "shila/core/send_group.h"

static bool is_single(const struct send_msg *m)
{
	return m->num_segs == 1 && m->num_iov <= 2;
}

static bool takes(const struct send_msg *group, const struct send_msg *m)
{
	return group->num_iov && group->seg_bytes == m->seg_bytes && group->num_segs < SEND_MAX_SEGMENTS &&
	       group->bytes + m->bytes <= SEND_MAX_MSG_BYTES &&
	       (group->to == m->to || sock_addr_eq(group->to, m->to));
}

void send_group(struct send_batch *b)
{
	struct send_msg out[SEND_MAX_MSGS];
	uint8_t group_of[SEND_MAX_MSGS];
	uint32_t groups = 0, singles = 0, at = 0;

	for (uint32_t i = 0; i < b->num_msgs; i++)
		singles += is_single(&b->msgs[i]);
	if (singles < 2)
		return;
	/* Which message goes into which group; @num_iov of a group counts those of single segments. */
	for (uint32_t i = 0; i < b->num_msgs; i++) {
		struct send_msg *m = &b->msgs[i];
		uint32_t g = !m->after || !groups ? 0 : m->after == SEND_AFTER_ALL ? groups - 1 : group_of[m->after - 1];

		while (g < groups && !(is_single(m) && takes(&out[g], m)))
			g++;
		group_of[i] = (uint8_t)g;
		if (g < groups) {
			out[g].num_segs++;
			out[g].num_iov += m->num_iov;
			out[g].bytes += m->bytes;
			continue;
		}
		out[groups] = *m;
		if (!is_single(m))
			out[groups].num_iov = 0; /* takes nothing, and keeps its own */
		groups++;
	}
	if (groups == b->num_msgs)
		return;
	for (uint32_t g = 0; g < groups; g++) {
		if (!out[g].num_iov)
			continue;
		out[g].iov = &b->grouped[at];
		at += out[g].num_iov;
		out[g].num_iov = 0;
	}
	for (uint32_t i = 0; i < b->num_msgs; i++) {
		const struct send_msg *m = &b->msgs[i];
		struct send_msg *to = &out[group_of[i]];

		if (!is_single(m)) {
			to->num_iov = m->num_iov;
			continue;
		}
		for (uint32_t k = 0; k < m->num_iov; k++)
			to->iov[to->num_iov++] = m->iov[k];
	}
	for (uint32_t g = 0; g < groups; g++) {
		b->msgs[g] = out[g];
		b->msgs[g].after = SEND_AFTER_ALL;
	}
	b->num_msgs = groups;
}
