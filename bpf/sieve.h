/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#ifndef SHILA_BPF_SIEVE_H
#define SHILA_BPF_SIEVE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * A program on each underlay socket that drops a flood before it wakes the daemon: what is no SCION packet, and
 * frames that are not the daily bread of a flow, above the share of their sender (shila/core/admit.h, whose
 * rules these are). What it is not sure about passes. Without it the daemon does the same for itself, later.
 */

enum sieve_who { SIEVE_PEER, SIEVE_AS, SIEVE_STRANGER, SIEVE_NUM_WHO };

/* Why a packet was dropped; the counters' index. */
enum sieve_reason {
	SIEVE_MALFORMED, /* another SCION version */
	SIEVE_FRAMES,	 /* and one for each sieve_who behind it */
	SIEVE_SCMP = SIEVE_FRAMES + SIEVE_NUM_WHO,
	SIEVE_NUM_REASONS,
};

#define SIEVE_REMEMBERED 65536 /* OPENs that found no room; a power of two */

/* A host of the configuration, or with host_len 0 an AS: key of a map. Network byte order. */
struct sieve_host {
	uint8_t ia[8];
	uint8_t host[16];
	uint32_t host_len;
};

enum sieve_bucket { SIEVE_OPENS, SIEVE_FIRST, SIEVE_AGAIN, SIEVE_OTHERS, SIEVE_NUM_BUCKETS };

#define SIEVE_SCMP_BUCKET (SIEVE_NUM_WHO * SIEVE_NUM_BUCKETS) /* behind [who][bucket] */
#define SIEVE_ALL_BUCKETS (SIEVE_SCMP_BUCKET + 1)

struct sieve_tokens {
	uint64_t per_second;
	uint64_t tokens_m; /* millionths */
	uint64_t at_us;
	uint64_t flood_until_us; /* SIEVE_OPENS */
};

#define SIEVE_FIRST_SHARE 8 /* of OPENs in a flood, for those that come for the first time */

#ifndef __bpf__

#include <stddef.h>

struct sieve;

struct sieve_rates {
	uint32_t per_second[SIEVE_NUM_WHO], scmp_per_second;
};

/*
 * sieve_open() - Load the program, with nobody known yet.
 * Return: 0; -EPERM, -ENOSYS and others where the kernel refuses it.
 */
int sieve_open(const struct sieve_rates *rates, size_t hosts, struct sieve **out);
int sieve_add(struct sieve *s, const struct sieve_host *h);
int sieve_attach(struct sieve *s, int fd); /* to one socket; a sieve is for one */
uint64_t sieve_dropped(const struct sieve *s, enum sieve_reason why);
void sieve_close(struct sieve *s); /* the socket keeps the program as long as it is open */

#endif

#endif
