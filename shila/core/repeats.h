/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CORE_REPEATS_H
#define SHILA_CORE_REPEATS_H

#include "shila/core/flow.h"
#include "shila/wire/inet.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Data that comes again after the local kernel acknowledged it: from a TCP that lost our ACKs or gave up waiting too early, from
 * a path that was left, from a link that duplicates, or from somebody who plays back what he saw. The kernel answers each
 * segment with an ACK that travels back, which is most of what the last one costs. A few are enough, as the ACK of any of them
 * acknowledges all. Each flow has a bucket of them; what does not fit is dropped.
 */

#define REPEATS_FAR	   (1u << 28) /* bytes; no TCP has more on its way: what seems to be further ahead lies behind */
#define REPEATS_BURST	   256 /* of a flow at once: spurious retransmissions are told the sender one by one (D-SACK) */
#define REPEATS_PER_SECOND 250 /* and so many are forgotten: a lost ACK is asked for again every 200 ms at most */

/* Of one slot of the flow table; zeros at first. A flow may find what the one before left: it is gone in a second. */
struct repeats {
	uint32_t at_ms;	  /* low bits of the clock */
	uint32_t level_k; /* thousandths */
};

/**
 * repeats_known() - Whether a segment with data tells the local kernel nothing: all of it lies below its last ACK (up to 3.75 GiB,
 * then the numbers have come round), and the other side acknowledges nothing new.
 * False for what must be answered whatever came before: the very last bytes (a sender that waits for their ACK, or probes whether
 * we live), FIN, RST, URG.
 * @hot: as it was before the segment; @end: sequence number behind its data
 */
bool repeats_known(const struct flow_hot *hot, uint32_t end, uint32_t ack, uint8_t flags);

/* repeats_take() - Whether there is room for one more. */
bool repeats_take(struct repeats *r, uint64_t now_ms);

#endif
