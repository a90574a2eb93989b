/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_STORE_STORE_H
#define SHILA_STORE_STORE_H

#include "shila/core/flow.h"
#include "shila/core/flow_state.h"
#include "shila/wire/path.h"
#include "shila/wire/scion_addr.h"
#include "shila/wire/tcp_options.h"

/*
 * What a restart needs to go on with every flow, in a MAP_SHARED file of fixed layout (layout.h): it is
 * there after SIGKILL as after SIGTERM. load.c reads a file that a daemon left, as a pure function of its
 * bytes; store.c makes the next one, and keeps it true while the daemon runs. One writer: the control
 * thread; but for struct flow_hot of a record, which the flow's worker writes.
 */

#define STORE_WHY_LEN 320
#define STORE_NONE    UINT32_MAX
#define STORE_FILE    "flows"
#define STORE_MAX_SIDES 9
#define STORE_MAX_WORKERS 8

/* Sizes of the tables; from the configuration. */
struct store_shape {
	uint32_t workers, flows; /* flows of each worker: slots 1..flows */
	uint32_t peers, paths;
};

/* What holds for the whole file. */
struct store_host {
	uint8_t kernel_boot[16];  /* /proc/sys/kernel/random/boot_id: sockets do not outlive it */
	uint64_t boot_id;	  /* of the protocol: unchanged as long as flows are kept */
	struct scion_addr local;
	uint16_t mtu_bytes, port_min, port_max; /* of the local AS */
	uint16_t contact_port;
	uint16_t worker_ports[STORE_MAX_WORKERS];
	char sides[STORE_MAX_SIDES][64]; /* namespaces by side, "" past the last: sides may be numbered anew */
	uint8_t num_sides;
};

struct store_peer {
	struct scion_addr addr;
	uint64_t boot_id;
	uint16_t contact_port;
	uint8_t num_workers; /* 0: not known */
	uint16_t worker_ports[STORE_MAX_WORKERS];
};

struct store_flow {
	uint8_t worker;
	uint32_t slot;
	struct flow_key key;
	struct flow_name mine, theirs;
	uint8_t state; /* enum flow_state: OPEN, CLOSING, LINGER (or PARKED) only */
	uint8_t kind;  /* enum flow_kind */
	bool server, confirmed, has_token;
	uint8_t epoch, tun;
	uint8_t saw; /* FLOW_SAW_*, as far as control was told */
	uint16_t peer_port;   /* of the peer's worker */
	uint16_t mss;	      /* client: that the connection was clamped to */
	uint16_t path_changes;
	uint32_t peer;	      /* index of the peer table */
	uint32_t path;	      /* index of the path table, or STORE_NONE */
	struct mptcp_token token;
	uint32_t isn;
	uint64_t created_ms;  /* CLOCK_MONOTONIC */
	struct ip_addr client; /* server: inner source as the client has it */
	struct flow_hot hot;  /* only filled by store_load(); store_flow_put() leaves the record's own alone */
};

/* ---- what an earlier daemon left ---- */

struct store_saved {
	uint32_t version; /* of its layout */
	struct store_shape shape;
	struct store_host host;
	size_t num_peers, num_paths, num_flows, bad_records;
	struct store_peer *peers; /* by index; addr.host.len 0: unused */
	struct store_saved_path {
		struct path *path; /* one reference; NULL: unused */
		bool in_set; /* the path source offered it */
	} *paths;
	struct store_flow *flows; /* ascending by worker and slot */
};

/**
 * store_load() - Read and check the bytes of a file; no I/O.
 * A record that its check value or its values refuse is left out and counted in @bad_records.
 * Return: 0; -EPROTONOSUPPORT: a layout version that this build does not know; -EBADMSG: not a state file, truncated, or
 *         its header is damaged; -ENOMEM. @why: a sentence about what is wrong with it (without the file name).
 */
int store_load(const uint8_t *bytes, size_t len, struct store_saved *out, char *why);
/* store_load_file() - The same for DIR/flows. Return: also -ENOENT (why empty), -errno. */
int store_load_file(const char *dir, struct store_saved *out, char *why);
void store_saved_free(struct store_saved *s); /* puts the paths */
/* store_set_aside() - A file that is refused is kept as DIR/flows.refused (an earlier one is replaced). */
void store_set_aside(const char *dir);
void store_forget(const char *dir); /* removes flows, flows.new, flows.refused */

/* ---- the file of this daemon ---- */

struct store;

/**
 * store_create() - A new, empty file DIR/flows.new, mapped; store_publish() gives it its name.
 * Only the header is allocated now; tables are, in chunks, before they are used (posix_fallocate: no SIGBUS on a full disk).
 */
int store_create(const char *dir, const struct store_shape *shape, const struct store_host *host, struct store **out,
		 char *why);
int store_publish(struct store *s, char *why); /* rename over DIR/flows, atomically */
void store_close(struct store *s); /* unmaps; the file stays. NULL is fine */
/* store_set_host() - The local AS changed (MTU, ports). */
void store_set_host(struct store *s, const struct store_host *host);

/*
 * A full disk or a full table is no error: what does not fit is not kept over a restart. store_lacks() counts the refusals
 * since the last store_retry() that was true (0: all is kept). While the disk refuses nothing is tried but by store_retry():
 * true if some of what was refused has room now; the caller then puts everything once more.
 */
uint64_t store_lacks(const struct store *s);
int store_lack_error(const struct store *s); /* -ENOSPC ...; -E2BIG: the table is full */
bool store_retry(struct store *s);
uint32_t store_paths_used(const struct store *s); /* records of the path table */

/* store_peer_put() - Index of the record of @p->addr, made or brought up to date; STORE_NONE: no room. One reference more. */
uint32_t store_peer_put(struct store *s, const struct store_peer *p);
void store_peer_update(struct store *s, uint32_t index, const struct store_peer *p);
void store_peer_drop(struct store *s, uint32_t index); /* one reference less; STORE_NONE is fine */

/*
 * store_path_put() - Index of an equal path (in all that struct path tells), made if need be; STORE_NONE: no room. One
 * reference more. @in_set: it is one of the path set (such references are counted apart)
 */
uint32_t store_path_put(struct store *s, struct path *p, bool in_set);
void store_path_drop(struct store *s, uint32_t index, bool in_set);

/* store_flow_hot() - Where the worker of the flow keeps its sequence numbers; NULL: no room for this slot. */
struct flow_hot *store_flow_hot(struct store *s, uint8_t worker, uint32_t slot);
/*
 * store_flow_put() - Write or rewrite a record; whole or not at all, also when killed in between. Take the references of
 * its peer and path before, drop those of the replaced record after it.
 * Return: false: no room; or (-EINVAL in store_lack_error()) nothing that may be kept: then there is no record any more.
 */
bool store_flow_put(struct store *s, const struct store_flow *f);
void store_flow_clear(struct store *s, uint8_t worker, uint32_t slot); /* no record is fine */

#endif
