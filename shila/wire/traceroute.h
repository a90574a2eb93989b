/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_WIRE_TRACEROUTE_H
#define SHILA_WIRE_TRACEROUTE_H

#include "shila/wire/path.h"
#include "shila/wire/scmp.h"

/* One question to the last router of a path. The answer has the same three numbers, and says whose it is. */
struct traceroute {
	uint32_t flow_id; /* 20 bits, not 0 */
	uint16_t id;	  /* where routers send the answer: the SCION port of the socket */
	uint16_t seq;
};

#define TRACEROUTE_MAX_LEN (SCION_MAX_HDR_LEN + 24)

/**
 * traceroute_build() - The request, a whole SCION packet, with the alert for the far end of the last link.
 * @to: the host that the path leads to, which never sees it
 * Return: its length; -EINVAL for the empty path, -EBADMSG for a malformed one, -EMSGSIZE.
 */
int traceroute_build(uint8_t *buf, size_t cap, const struct path *path, const struct scion_addr *from,
		     const struct scion_addr *to, const struct traceroute *t);

/* traceroute_is_answer() - Whether @m, of @pkt, answers that question about @path: by the router that was asked. */
bool traceroute_is_answer(const struct scion_pkt *pkt, const struct scmp_msg *m, const struct path *path,
			  const struct traceroute *t);

#endif
