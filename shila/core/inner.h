/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CORE_INNER_H
#define SHILA_CORE_INNER_H

#include "shila/core/flow.h"
#include "shila/wire/inet.h"

enum inner {
	INNER_FOREIGN, /* not of this flow */
	INNER_OWN,
	/*
	 * Of this flow's client, from another port of the same server (as TFTP answers), or a later
	 * fragment, which has no ports: delivered, and a reason for the client to open a flow for it.
	 */
	INNER_RELATED,
};

/**
 * inner_of() - Whether a packet that the peer sent in a DATAGRAM belongs to the flow with @key.
 * Without it a peer could reach what `serve` does not list, or speak to the local kernel about the
 * connections of others. The addresses in @pkt are those of the wire: only what they quote is compared.
 * @server: we are the server of that flow
 */
enum inner inner_of(const struct flow_key *key, bool server, const uint8_t *pkt, const struct ip_pkt *ip);

#endif
