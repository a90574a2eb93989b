/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CORE_SPARE_H
#define SHILA_CORE_SPARE_H

#include "shila/wire/frame.h"
#include "shila/wire/inet.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * ACKs that need not travel, or not be written: two segments of one flow and one batch, the newer directly behind the
 * older. Repeated ACKs, SACK blocks and whatever else might mean something by itself stay.
 */

/* spare_is_bare() - A segment of @bytes payload that only acknowledges. */
static inline bool spare_is_bare(const struct thin_tcp *t, uint32_t bytes)
{
	return !bytes && t->flags == TCP_ACK;
}

/* spare_older() - Whether @newer says all that @older said, and something more. Both are bare. */
bool spare_older(const struct thin_tcp *older, const struct thin_tcp *newer);

/**
 * spare_newer() - Whether @newer, which is bare, says again what @older said: behind a FIN, or one DATA_FIN twice.
 * Linux does both when it closes an MPTCP connection, a moment after the first.
 * @end: sequence number behind @older
 */
bool spare_newer(const struct thin_tcp *older, uint32_t end, const struct thin_tcp *newer);

#endif
