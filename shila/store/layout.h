/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_STORE_LAYOUT_H
#define SHILA_STORE_LAYOUT_H

#include "shila/core/flow.h"
#include "shila/store/store.h"

/*
 * The file as it lies on the disk; docs/state.md draws it. Numbers are in the byte order of the host, ISD-ASes and
 * ports too; addresses are as on the wire. A record of zeros is an unused one. Whoever changes anything here
 * counts STORE_VERSION up, and teaches load.c the version before.
 *
 *     0        disk_header
 *     1024     disk_undo: the bytes that the change under way replaces
 *     4096     peers, then paths, then flows of worker 0, 1, ..: each table begins on a page
 */

/*
 * Version 2 has flow_hot.last_s where version 1 has nothing. A build with the version before (tests) keeps the
 * layout of this one: it writes its number, and neither reads nor tells what is newer.
 */
#ifndef STORE_VERSION
#define STORE_VERSION 2
#endif
#define STORE_OLDEST (STORE_VERSION > 1 ? STORE_VERSION - 1 : 1) /* that is read */

#define STORE_MAGIC	 "shilaflw"
#define STORE_BYTE_ORDER 0x01020304u
#define STORE_UNDO_AT	 1024u
#define STORE_TABLES_AT	 4096u
#define STORE_PAGE	 4096u
#define STORE_CHUNK	 65536u /* what is allocated at a time */
#define STORE_MAX_TABLE	 (1u << FLOW_ID_INDEX_BITS) /* peers, paths; flows of a worker are less */

/* Magic, byte order and version keep their place and meaning in every version; they never change in a file. */
struct disk_header {
	char magic[8];
	uint32_t byte_order;
	uint32_t version;
	uint32_t check; /* over all that follows, seeded with version and 0 */
	uint32_t workers, flows, peers, paths;
	uint32_t reserved;
	uint8_t kernel_boot[16];
	uint64_t boot_id;
	uint64_t local_ia;
	uint8_t local_host[16];
	uint8_t local_len; /* 4 or 16 */
	uint8_t num_sides;
	uint16_t mtu_bytes, port_min, port_max;
	uint16_t contact_port;
	uint16_t worker_ports[STORE_MAX_WORKERS];
	char sides[STORE_MAX_SIDES][64];
	uint8_t reserved2[14];
};

#define STORE_HEADER_CHECKED offsetof(struct disk_header, check) /* from here on it may be rewritten */

_Static_assert(offsetof(struct disk_header, byte_order) == 8, "");
_Static_assert(offsetof(struct disk_header, version) == 12, "");
_Static_assert(offsetof(struct disk_header, check) == 16, "");
_Static_assert(offsetof(struct disk_header, workers) == 20, "");
_Static_assert(offsetof(struct disk_header, paths) == 32, "");
_Static_assert(offsetof(struct disk_header, kernel_boot) == 40, "");
_Static_assert(offsetof(struct disk_header, boot_id) == 56, "");
_Static_assert(offsetof(struct disk_header, local_ia) == 64, "");
_Static_assert(offsetof(struct disk_header, local_host) == 72, "");
_Static_assert(offsetof(struct disk_header, local_len) == 88, "");
_Static_assert(offsetof(struct disk_header, num_sides) == 89, "");
_Static_assert(offsetof(struct disk_header, mtu_bytes) == 90, "");
_Static_assert(offsetof(struct disk_header, port_min) == 92, "");
_Static_assert(offsetof(struct disk_header, port_max) == 94, "");
_Static_assert(offsetof(struct disk_header, contact_port) == 96, "");
_Static_assert(offsetof(struct disk_header, worker_ports) == 98, "");
_Static_assert(offsetof(struct disk_header, sides) == 114, "");
_Static_assert(offsetof(struct disk_header, reserved2) == 690, "");
_Static_assert(sizeof(struct disk_header) == 704, "");

struct disk_peer {
	uint32_t check; /* over what follows, seeded with STORE_SEED_PEER and the index */
	uint8_t used;	/* 1 */
	uint8_t host_len;
	uint8_t num_workers;
	uint8_t reserved;
	uint64_t ia;
	uint64_t boot_id;
	uint8_t host[16];
	uint16_t worker_ports[STORE_MAX_WORKERS];
	uint16_t contact_port;
	uint8_t reserved2[6];
};

_Static_assert(offsetof(struct disk_peer, used) == 4, "");
_Static_assert(offsetof(struct disk_peer, host_len) == 5, "");
_Static_assert(offsetof(struct disk_peer, num_workers) == 6, "");
_Static_assert(offsetof(struct disk_peer, ia) == 8, "");
_Static_assert(offsetof(struct disk_peer, boot_id) == 16, "");
_Static_assert(offsetof(struct disk_peer, host) == 24, "");
_Static_assert(offsetof(struct disk_peer, worker_ports) == 40, "");
_Static_assert(offsetof(struct disk_peer, contact_port) == 56, "");
_Static_assert(sizeof(struct disk_peer) == 64, "");

struct disk_path {
	uint32_t check; /* over what follows, seeded with STORE_SEED_PATH and the index */
	uint8_t used;	/* 1 */
	uint8_t in_set;
	uint16_t num_hops;
	uint16_t raw_len;
	uint16_t mtu_bytes;
	uint32_t latency_us;
	uint64_t dst_ia;
	int64_t expiry_unix_s;
	uint64_t bandwidth_kbps;
	uint8_t next_hop[16];
	uint32_t next_hop_scope;
	uint16_t next_hop_port;
	uint8_t next_hop_len; /* 4, 16; 0: the peer itself */
	uint8_t reserved;
	uint64_t hop_ia[PATH_MAX_HOPS];
	uint16_t hop_ifid[PATH_MAX_HOPS];
	uint8_t raw[SCION_MAX_PATH_LEN];
	uint8_t reserved2[4];
};

#define STORE_PATH_HEAD	   offsetof(struct disk_path, hop_ia)	/* zeros here: unused */
#define STORE_PATH_CONTENT offsetof(struct disk_path, num_hops) /* from here on equal: an equal path */

_Static_assert(PATH_MAX_HOPS == 128 && SCION_MAX_PATH_LEN == 796, "sizes of the record");
_Static_assert(offsetof(struct disk_path, used) == 4, "");
_Static_assert(offsetof(struct disk_path, in_set) == 5, "");
_Static_assert(offsetof(struct disk_path, num_hops) == 6, "");
_Static_assert(offsetof(struct disk_path, raw_len) == 8, "");
_Static_assert(offsetof(struct disk_path, mtu_bytes) == 10, "");
_Static_assert(offsetof(struct disk_path, latency_us) == 12, "");
_Static_assert(offsetof(struct disk_path, dst_ia) == 16, "");
_Static_assert(offsetof(struct disk_path, expiry_unix_s) == 24, "");
_Static_assert(offsetof(struct disk_path, bandwidth_kbps) == 32, "");
_Static_assert(offsetof(struct disk_path, next_hop) == 40, "");
_Static_assert(offsetof(struct disk_path, next_hop_scope) == 56, "");
_Static_assert(offsetof(struct disk_path, next_hop_port) == 60, "");
_Static_assert(offsetof(struct disk_path, next_hop_len) == 62, "");
_Static_assert(offsetof(struct disk_path, hop_ia) == 64, "");
_Static_assert(offsetof(struct disk_path, hop_ifid) == 1088, "");
_Static_assert(offsetof(struct disk_path, raw) == 1344, "");
_Static_assert(sizeof(struct disk_path) == 2144, "");

/* Numbers of the file, not of enum flow_state. */
enum { DISK_OPEN = 1, DISK_CLOSING = 2, DISK_LINGER = 3 };

enum {
	DISK_FLOW_SERVER = 0x01,
	DISK_FLOW_CONFIRMED = 0x02,
	DISK_FLOW_TOKEN = 0x04,
	DISK_FLOW_V6 = 0x08,	 /* local, remote and client */
	DISK_FLOW_CLIENT = 0x10, /* has one */
	DISK_FLOW_FLAGS = 0x1f,
};

/* Two cache lines; the worker writes to the second one only. */
struct disk_flow {
	uint32_t check;	    /* over what follows up to @hot, seeded with worker and slot */
	uint8_t state_kind; /* DISK_OPEN.. | kind << 4 */
	uint8_t flags;	    /* DISK_FLOW_* */
	uint8_t side, proto;
	uint64_t created_ms;
	uint8_t local[16], remote[16], client[16];
	uint32_t mine_id, theirs_id;
	uint32_t peer, path;
	uint32_t token, isn;
	uint16_t local_port, remote_port;
	uint16_t mine_tag, theirs_tag;
	uint16_t peer_port, mss;
	uint8_t path_changes; /* at most 255 */
	uint8_t saw;	      /* FLOW_SAW_*, as far as control was told */
	uint8_t epoch, tun;
	struct flow_hot hot; /* the worker's, in place and at any time: not under the check */
};

#define STORE_FLOW_COLD offsetof(struct disk_flow, hot)

_Static_assert(offsetof(struct disk_flow, state_kind) == 4, "");
_Static_assert(offsetof(struct disk_flow, flags) == 5, "");
_Static_assert(offsetof(struct disk_flow, side) == 6, "");
_Static_assert(offsetof(struct disk_flow, proto) == 7, "");
_Static_assert(offsetof(struct disk_flow, created_ms) == 8, "");
_Static_assert(offsetof(struct disk_flow, local) == 16, "");
_Static_assert(offsetof(struct disk_flow, remote) == 32, "");
_Static_assert(offsetof(struct disk_flow, client) == 48, "");
_Static_assert(offsetof(struct disk_flow, mine_id) == 64, "");
_Static_assert(offsetof(struct disk_flow, theirs_id) == 68, "");
_Static_assert(offsetof(struct disk_flow, peer) == 72, "");
_Static_assert(offsetof(struct disk_flow, path) == 76, "");
_Static_assert(offsetof(struct disk_flow, token) == 80, "");
_Static_assert(offsetof(struct disk_flow, isn) == 84, "");
_Static_assert(offsetof(struct disk_flow, local_port) == 88, "");
_Static_assert(offsetof(struct disk_flow, remote_port) == 90, "");
_Static_assert(offsetof(struct disk_flow, mine_tag) == 92, "");
_Static_assert(offsetof(struct disk_flow, theirs_tag) == 94, "");
_Static_assert(offsetof(struct disk_flow, peer_port) == 96, "");
_Static_assert(offsetof(struct disk_flow, mss) == 98, "");
_Static_assert(offsetof(struct disk_flow, path_changes) == 100, "");
_Static_assert(offsetof(struct disk_flow, saw) == 101, "");
_Static_assert(offsetof(struct disk_flow, epoch) == 102, "");
_Static_assert(offsetof(struct disk_flow, tun) == 103, "");
_Static_assert(offsetof(struct disk_flow, hot) == 104, "");
_Static_assert(sizeof(struct disk_flow) == 128, "");

_Static_assert(offsetof(struct flow_hot, out_next) == 0, "");
_Static_assert(offsetof(struct flow_hot, in_next) == 4, "");
_Static_assert(offsetof(struct flow_hot, in_ack) == 8, "");
_Static_assert(offsetof(struct flow_hot, out_ack) == 12, "");
_Static_assert(offsetof(struct flow_hot, known) == 16, "");
_Static_assert(offsetof(struct flow_hot, last_s) == 20, "");
_Static_assert(sizeof(struct flow_hot) == 24, "");
_Static_assert(FLOW_KNOWS_OUT == 1 && FLOW_KNOWS_IN == 2 && FLOW_KNOWS_ACK == 4, "");
_Static_assert(FLOW_MAIN == 1 && FLOW_SUB == 2 && FLOW_PLAIN == 3 && FLOW_DATAGRAM == 4, "");

struct disk_undo {
	uint32_t valid; /* 1: the bytes at @at are being changed */
	uint32_t len;
	uint64_t at;
	uint32_t check; /* over @len bytes, seeded with @at and @len */
	uint32_t reserved;
	uint8_t bytes[sizeof(struct disk_path)]; /* as they were */
};

_Static_assert(offsetof(struct disk_undo, len) == 4, "");
_Static_assert(offsetof(struct disk_undo, at) == 8, "");
_Static_assert(offsetof(struct disk_undo, check) == 16, "");
_Static_assert(offsetof(struct disk_undo, bytes) == 24, "");
_Static_assert(sizeof(struct disk_undo) == 2168, "");
_Static_assert(sizeof(struct disk_header) <= STORE_UNDO_AT, "");
_Static_assert(STORE_UNDO_AT + sizeof(struct disk_undo) <= STORE_TABLES_AT, "");
_Static_assert(sizeof(struct disk_undo) % 8 == 0 && sizeof(struct disk_path) % 8 == 0, "aligned in the mapping");

/* First halves of seeds; of a flow it is the number of its worker. */
enum { STORE_SEED_PEER = 0x100, STORE_SEED_PATH = 0x101 };

/* ---- layout.c ---- */

#define STORE_NAME_LEN 144

/* store_file_name() - DIR/flows and @end, in @buf (STORE_NAME_LEN). */
char *store_file_name(char *buf, const char *dir, const char *end);

/* Where the tables lie for a shape. */
struct store_place {
	struct store_shape shape;
	uint64_t peers, paths, flows, flows_of_worker, size;
};

/* store_place_of() - Return: 0, or -EINVAL for a shape that no file has. */
int store_place_of(const struct store_shape *shape, struct store_place *out);

static inline uint64_t store_peer_at(const struct store_place *p, uint32_t index)
{
	return p->peers + (uint64_t)index * sizeof(struct disk_peer);
}

static inline uint64_t store_path_at(const struct store_place *p, uint32_t index)
{
	return p->paths + (uint64_t)index * sizeof(struct disk_path);
}

/* Slot 0 has a place and no record, so that slots are counted as everywhere. */
static inline uint64_t store_flow_at(const struct store_place *p, uint32_t worker, uint32_t slot)
{
	return p->flows + worker * p->flows_of_worker + (uint64_t)slot * sizeof(struct disk_flow);
}

/* store_check() - CRC-32C (Castagnoli) of the two halves of a seed and @len bytes; _plain(): without the CPU's instruction. */
uint32_t store_check(uint32_t seed, uint32_t index, const void *bytes, size_t len);
uint32_t store_check_plain(uint32_t seed, uint32_t index, const void *bytes, size_t len);

/* ---- record.c: both ways between records and what the program knows ---- */

/* Builders. Return: false for values that the parser would refuse. */
bool store_header_build(const struct store_shape *shape, const struct store_host *host, struct disk_header *out);
bool store_peer_build(const struct store_peer *p, uint32_t index, struct disk_peer *out);
bool store_path_build(const struct path *p, struct disk_path *out); /* without check, in_set false */
void store_path_seal(struct disk_path *d, uint32_t index);
bool store_flow_build(const struct store_flow *f, struct disk_flow *out); /* without hot */

/* Parsers check everything that a record tells by itself. Return: 1, 0 if it is unused, -EBADMSG, -ENOMEM. */
int store_header_parse(const struct disk_header *d, struct store_shape *shape, struct store_host *host);
int store_peer_parse(const struct disk_peer *d, uint32_t index, struct store_peer *out);
int store_path_parse(const struct disk_path *d, uint32_t index, struct path **out, bool *in_set);
int store_flow_parse(const struct disk_flow *d, uint32_t version, uint8_t worker, uint32_t slot, struct store_flow *out);

#endif
