/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CORE_ADMIT_H
#define SHILA_CORE_ADMIT_H

#include "shila/base/verdict.h"
#include "shila/wire/scion.h"
#include "shila/wire/scion_addr.h"

/*
 * Which frames of those that need the control thread get to it. Anybody can send them under any name, faster
 * than they can be dealt with: so each port has a share for the peers that the configuration names, one for
 * hosts of the ASes that it allows, and little for strangers, and OPENs take nothing from what answers
 * us. Cheap, and done before anything else.
 *
 * Once there was no room for an OPEN, only an eighth of the share is for those that come for the first time, and all
 * of it for those that are repeated: so a flood in the name of a peer, which repeats nothing, costs little and does
 * not keep the peer itself out.
 */

#define ADMIT_FIRST_SHARE 8

enum admit_who { ADMIT_PEER, ADMIT_AS, ADMIT_STRANGER, ADMIT_NUM_WHO };

/* Hosts and ASes of the configuration. Immutable once filled; shared by all threads. */
struct admit_set {
	uint32_t mask;
	struct admit_entry {
		struct isd_as ia; /* 0: empty */
		struct ip_addr host; /* len 0: any */
	} *entries;
};

/* admit_set_init() - Room for so many. Return: 0 or -ENOMEM. */
int admit_set_init(struct admit_set *s, size_t entries);
void admit_set_add(struct admit_set *s, const struct scion_addr *addr); /* host.len 0: the AS; twice does no harm */
void admit_set_fini(struct admit_set *s);

struct admit_rates {
	uint32_t per_second[ADMIT_NUM_WHO], scmp_per_second;
};

/* Of one port: one thread's. */
struct admit {
	const struct admit_set *set;
	struct admit_rates rates;
	struct admit_bucket {
		uint64_t tokens_k; /* thousandths */
		uint64_t at_ms;
	} opens[ADMIT_NUM_WHO], first[ADMIT_NUM_WHO], again[ADMIT_NUM_WHO], others[ADMIT_NUM_WHO], unknown[ADMIT_NUM_WHO], scmp;
	uint64_t flood_until_ms[ADMIT_NUM_WHO];
	uint32_t *dropped; /* hashes of OPENs that found no room, by their lower bits */
};

/* admit_init() - Return: 0 or -ENOMEM. */
int admit_init(struct admit *a, const struct admit_set *set, const struct admit_rates *rates);
void admit_fini(struct admit *a);

enum admit_who admit_who(const struct admit_set *s, const struct scion_pkt *pkt);
/*
 * admit_frame(), admit_scmp() - VERDICT_PASS, or the limit that was reached.
 * @frame, @len: from the frame header on
 */
enum verdict admit_frame(struct admit *a, const struct scion_pkt *pkt, const uint8_t *frame, size_t len, uint64_t now_ms);
enum verdict admit_scmp(struct admit *a, uint64_t now_ms);
/* admit_unknown() - Whether a frame for a flow that does not exist may be answered. */
bool admit_unknown(struct admit *a, enum admit_who who, uint64_t now_ms);

#endif
