/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_EMULATOR_NETWORK_H
#define SHILA_EMULATOR_NETWORK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "loop.h"
#include "port.h"

/*
 * The links of a lab, as its emulator.json names them:
 *
 *	{ "seed": 1, "memory_bytes": 536870912, "socket": PATH,
 *	  "links": [{ "id": 1, "ends": [{ "netns", "device" }, { "netns", "device" }],
 *		      "ab": { "delay_ms": 10, ... }, "ba": { ... } }] }
 *
 * ab is from the first end to the second. Seed, memory, ab and ba may be missing. An end that an emulated router in the same
 * process has is { "isd_as", "interface" } instead: parcels are handed over, and no device and no socket is in between.
 */

#define NETWORK_MAX_LINKS    256
#define NETWORK_MEMORY_BYTES (512u << 20) /* address space for parcels; 1 Gbit/s with 100 ms delay takes 20 MB */

struct network_link;

/* An end: what is read there, or what its taker sends, goes into the lane of its direction. */
struct network_end {
	struct loop_source source;
	struct port port; /* of an end in this process only the carrier */
	struct network_link *link;
	struct loop_lane lane; /* from this end to the other one */
	void (*take)(void *taker, struct parcel *p, uint64_t now_ns); /* in this process: what arrives; takes @p */
	void *taker;
};

/* Who has ends in this process. */
struct network_inside {
	/* Sets take and taker of the end that @config names, and keeps @end. Return: 0 or a negative errno. */
	int (*attach)(void *ctx, const json_t *config, struct network_end *end);
	void *ctx;
};

struct network_link {
	uint32_t id;
	struct network *network;
	struct network_end ends[2];
};

struct network {
	struct loop *loop;
	struct parcel_pool *pool;
	const struct network_inside *inside;
	uint64_t seed, began_ns;
	uint32_t num_links;
	struct network_link links[NETWORK_MAX_LINKS];
};

#define NETWORK_WHY_LEN 256

/**
 * network_open() - Make the links: TUN devices in the namespaces.
 * @inside: borrowed; NULL: nobody has ends here
 * @why: NETWORK_WHY_LEN bytes for a sentence on failure
 * Return: NULL on failure.
 */
struct network *network_open(struct loop *loop, const json_t *config, const struct network_inside *inside, char *why);
void network_close(struct network *network);

/**
 * network_call() - A request and its answer, which always has "ok".
 *
 *	{ "op": "show" }
 *	{ "op": "set", "link": 3, "direction": "ab", "props": {...}, "carrier": false }
 *	{ "op": "seed", "seed": 7 }
 *
 * direction may be missing (both) and so may props and carrier; carrier is that of both ends. seed starts all random
 * numbers again. show has what the links do, the counters, and what the emulator has cost.
 */
json_t *network_call(struct network *network, const json_t *request);

#endif
