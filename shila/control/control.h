/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CONTROL_CONTROL_H
#define SHILA_CONTROL_CONTROL_H

/*
 * The control thread: the only slow path. It owns connections and tokens, peers, path sets, pool
 * addresses, and answers everything that is not an installed flow, by installing one in a worker.
 * All files of this folder share these structures; nobody outside sees them.
 *
 *     control.c   the thread's life, and what all others use: sending, holding packets
 *     tmpls.c     templates that flows share
 *     admission.c whose frames are taken, and how many
 *     dispatch.c  what comes from workers and from the contact port, and who takes it
 *     opening.c   client side: SYN -> path -> OPEN
 *     establishing.c  client side: ACCEPT -> flow in the worker, SYN/ACK; REJECT -> why not
 *     conns.c     connections: their plan of paths, their token, which path is next
 *     subflows.c  our path manager: which subflows a connection has
 *     subflow_orders.c  telling the kernel
 *     lost_sockets.c  what the kernel tells of servers' subflows
 *     pm_events.c  reading what it tells, for both
 *     offering.c  server side: OPEN -> pool address -> SYN into the TUN -> ACCEPT
 *     flows.c     flows: their slots in the workers, state, timers, the end
 *     records.c   where their records are, and lists of them
 *     index.c     flows by what they are called
 *     moves.c     paths of running flows: death, renewal, following the other side
 *     announcing.c  telling the other side of it
 *     parking.c   flows without traffic: parked, woken, ended
 *     peers.c     peers: HELLO, ports
 *     limits.c    what peers and ASes may take
 *     paths.c     path sets per AS: asking, refreshing
 *     living.c    what the frames of flows tell about their paths
 *     trials.c    whether a path is dead whose frames are not answered
 *     probing.c   PROBE: which path of a peer is up, with which RTT
 *     witness.c   whether a path works as far as the peer's AS
 *     hints.c     SCMP: what it is about, and what is probed for it
 *     datagrams.c ICMP errors about flows; what servers send from other ports, and fragments
 *     faults.c    the clock was set, memory or buffers are short: said once, and what is done about it
 *     answers.c   ICMP and RST to local programs
 *     report.c    JSON for the control socket
 *     keep.c      records of flows, peers and paths in the state file
 *     resume.c    flows of the daemon before, from what it kept
 */

#include "config/config.h"
#include "shila/base/log.h"
#include "shila/base/wheel.h"
#include "shila/base/wall_clock.h"
#include "shila/control/events.h"
#include "shila/core/admit.h"
#include "shila/core/flow_state.h"
#include "shila/core/path_beat.h"
#include "shila/core/path_choice.h"
#include "shila/core/path_damp.h"
#include "shila/core/path_state.h"
#include "shila/core/pool.h"
#include "shila/core/subflow_plan.h"
#include "shila/core/witness.h"
#include "shila/io/mptcp_pm.h"
#include "shila/io/path_source.h"
#include "shila/io/sock_diag.h"
#include "shila/io/underlay.h"
#include "shila/io/rpc.h"
#include "shila/wire/frame.h"
#include "shila/wire/inet.h"
#include "shila/wire/scmp.h"
#include "shila/store/store.h"
#include "shila/wire/tcp_options.h"
#include "bpf/steer.h"
#include "shila/wire/checksum.h"
#include "shila/worker/worker.h"

#include <jansson.h>
/* Without memory an element is not in the table, and its hh.tbl NULL; the default is to exit. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>
#include <uv.h>

#define CONTROL_MAX_PACKET 65536
#define FLOW_IDLE_MS	   300000 /* DATAGRAM flows end; others: limits.park_after_s */
#define OFFER_BARE_MS	   2	  /* the SYN/ACK goes with the ACCEPT if it is there by then */
#define OFFER_DEADLINE_MS  10000
#define HELD_DATAGRAMS	   48	  /* packets of a DATAGRAM flow that wait: 64 KiB in fragments of 1500 bytes */

/* A counted packet of the slow path: what it was and where it came from. */
struct held_packet {
	struct held_packet *next; /* of its flow */
	struct vnet_hdr vnet;
	uint8_t tun, side;
	uint32_t len;
	uint8_t bytes[];
};

/* One path to one peer: a path may be alive and its peer dead, so state is kept per pair. */
struct peer_path {
	struct peer_path *next;
	struct peer *peer;
	struct path *path; /* one reference; replaced in place when it is renewed */
	struct tmpl *tmpl; /* towards the peer's contact port, for PROBE */
	enum path_state state;
	uint64_t since_us; /* since when; 0: from the begin */
	bool tried;	   /* it is down because a trial said so */
	bool left;	   /* suspect, and its flows were told to go elsewhere meanwhile */
	bool gone;	   /* no longer in the path set; freed by the tick once no flow uses it */
	bool worse;	   /* much worse than the best one that flows to this peer use */
	bool resting;	   /* its flows say nothing, as of the last tick */
	uint32_t srtt_us, var_us; /* 0: never measured */
	uint32_t flows;
	uint32_t sent, answered;  /* probes, for the loss ratio; halved now and then */
	struct path_probes probes;
	struct path_damp damp;
	uint32_t probe_id;	  /* outstanding, 0: none */
	uint64_t probe_sent_us;
	uint32_t late_id;	  /* one that was given up, and may yet be answered; 0: none */
	uint64_t late_sent_us;
	uint64_t next_probe_us;
	struct path_beat beat;	     /* of its flows: other paths are asked for them, */
	struct path_beat_asked asked; /* and it for others */
	uint64_t heard_us;	  /* last answer or frame on it */
	uint32_t on;		  /* flows that use it; there are `flows` of them */
	bool move_again;	  /* a worker was too busy to take the move of a flow */
	struct witness witness;	  /* what its last router says */
	struct planned *planners; /* connections that plan to */
};

enum peer_state { PEER_UNKNOWN, PEER_UP, PEER_SILENT };

/* What a peer, or all peers of an AS, have of us. */
struct usage {
	uint32_t flows;	    /* that do not linger */
	uint32_t half_open; /* they opened, and were not heard since */
	uint32_t half;	    /* these flows, oldest first */
	uint32_t addresses; /* of the pool */
	uint32_t opens;	    /* in the second opens_s */
	uint64_t opens_s;
};

struct as_use {
	UT_hash_handle hh;
	struct isd_as ia; /* key */
	uint32_t peers, busy; /* all that are known; without those that are idle */
	struct usage use;
};

/* Of a flow, in struct usage and peer->flows. */
enum { COUNTED_PEER = 1, COUNTED_FLOW = 2, COUNTED_HALF_OPEN = 4, COUNTED_OPENING = 8 };

#define LIMITS_CHECKED 10

struct peer {
	struct control *control;
	UT_hash_handle hh;
	struct scion_addr addr; /* key */
	char text[SCION_ADDR_STRLEN];
	uint16_t contact_port;
	bool configured; /* named in routes */
	enum peer_state state;
	uint64_t boot_id;
	bool ask_boot_id; /* it says that it has another one: HELLO until it is known */
	unsigned int num_workers; /* 0: not known yet */
	uint16_t worker_ports[FRAME_MAX_WORKERS];
	struct path_set *set; /* NULL: a client whose paths were never asked for */
	uint32_t waiting; /* flows in FLOW_WAITING */
	struct peer *next_of_set;
	struct peer_path *paths;
	struct living *living; /* see living.c */
	struct trial *trial;   /* the last one, see trials.c; NULL: there never was one */
	unsigned int num_living;
	uint32_t flows; /* all */
	uint32_t opening; /* OPENs that are not answered yet */
	struct as_use *as;
	struct usage use;
	bool idle; /* in control->idle: no flow, and nobody named it */
	struct peer *idle_prev, *idle_next;
	uint64_t opens_tx, opens_rx;
	uint64_t hello_cookie, hello_sent_us;
	uint64_t heard_us;
	uint64_t refused_log_us; /* one log line a second and peer */
	uint32_t kept;	 /* its record + 1, 0: none */
	bool outage;	 /* all its paths were down: it was away, not they */
	bool paths_changed; /* its connections may want other subflows */
	uint64_t regroup_us; /* 0, or when flows whose path did not come back with the others leave it */
};

/* All paths to one AS, as the path source told last. */
struct path_set {
	UT_hash_handle hh;
	struct isd_as ia; /* key */
	struct control *control;
	struct peer *peers;
	struct path **paths; /* one reference each */
	uint32_t *kept;	     /* their records */
	size_t num_paths;
	size_t left_out; /* of the last answer, by limits.paths_per_as */
	bool asking, known;
	int err; /* of the last answer */
	char why[160];
	uint64_t asked_ms, answered_ms;
	unsigned int failures;
	uv_timer_t timer;
};

/* A path in the plan of a connection; NULL: it is gone. */
struct planned {
	struct peer_path *path;
	struct planned *prev, *next; /* of those that plan this path */
};

/* One MPTCP connection (or plain TCP connection, or DATAGRAM flow) at the client. */
struct conn {
	struct conn *token_next; /* in control->by_token */
	struct managed *managed; /* NULL: the kernel decides about its subflows, or it has none */
	uint32_t flows; /* the first one; there is always one, and all go to the same peer */
	struct mptcp_token token;
	uint16_t route; /* of the configuration */
	uint16_t mss;
	uint8_t side;
	bool has_token; /* in the token table */
	uint8_t num_planned, room; /* for as many paths as it may ever have */
	struct planned planned[];
};

/* A flow is named by worker and slot, 0: none. A list of flows is the name of the first one. */
#define FLOW_SLOT_BITS 20
#define FLOW_REF_BITS  23

_Static_assert(FLOW_ID_INDEX_BITS <= FLOW_SLOT_BITS && CONFIG_MAX_WORKERS <= 1 << (FLOW_REF_BITS - FLOW_SLOT_BITS), "names every flow");

struct flow_link {
	uint32_t prev, next;
};

/*
 * A record belongs to one slot of one worker for good and is used by many flows in turn. There is one for each flow, so what
 * two kinds of flow, or two states, have no use for together shares its place.
 */
struct ctl_flow {
	struct control *control;
	struct wheel_timer timer;
	uint32_t slot;
	uint8_t worker;

	uint8_t flow_start[0]; /* all from here is zero in a free record, but for next_free */
	enum flow_state state : 8;
	enum flow_kind kind : 8;
	uint8_t tun, epoch;
	uint8_t saw;
	uint8_t counted; /* COUNTED_* */
	uint8_t num_held;
	uint8_t refused_why; /* enum frame_reason */
	bool server : 1;
	bool tcp : 1;
	bool installed : 1;
	bool in_theirs : 1;
	bool kept : 1;		 /* has a record, over kept_path, */
	bool path_kept : 1;	 /* which is that of @tmpl */
	bool lingers : 1;	 /* in control->lingering */
	bool parked : 1;	 /* the worker has no template */
	bool has_token : 1;
	bool born_known : 1;
	bool announce_queued : 1; /* in control->announcing */
	bool first_sent : 1;	 /* DATAGRAM: the OPEN carried the first */
	bool invited : 1;	 /* the server's packets made us open it; nothing waits for it here */
	bool pooled : 1;	 /* key.remote is of the pool */
	bool accepted : 1;	 /* an ACCEPT was sent; */
	bool confirmed : 1;	 /* the client was heard since */
	bool challenged : 1;	 /* our kernel was shown the SYN of an OPEN with the same 4-tuple */
	bool lost : 1;		 /* our kernel took that for a new connection: it has not this one */
	bool refused : 1;	 /* by our kernel, and the client is still to hear of it */
	bool expected : 1;	 /* a join that was ordered: its SYN is to come */
	bool given_up : 1;	 /* ended by FIN, by us or the kernel, which go their way */
	bool socket_lost : 1;	 /* our kernel ended it, and the peer may not know */
	bool backup : 1;
	bool stands_in : 1;	 /* a join in the place of the main flow, which is gone */
	bool reset_seen : 1;	 /* of a client: by RST, and the kernel has not yet told of it */
	bool replaces : 1;	 /* ordered in the place of one that was lost */
	bool was_open : 1;
	uint8_t address_id;	 /* of a join that was ordered; 0: it was not, or by another daemon */
	uint8_t announce_left;	 /* ALIVEs that may still announce a move */
	uint8_t confirm_left;	 /* ALIVEs until the server was heard, client */
	uint8_t wake_tries;	 /* server: paths that are still tried until the client is heard */
	uint16_t born_ms;	 /* as the client's OPENs say; at the server, if it came since the start */
	uint16_t first_bytes;	 /* DATAGRAM: payload of what the OPEN carried */
	uint16_t path_changes;	 /* at most as many as fit */
	uint16_t wake_next;
	struct flow_key key;
	struct flow_name mine, theirs;
	uint32_t kept_path;
	struct mptcp_token token; /* of the connection */
	union {
		uint32_t isn;	    /* of the SYN, to tell a repeated one from a new one */
		uint32_t next_free; /* slot, in a free record */
	};
	uint32_t opens;		 /* OPENs sent; at the server: received */
	struct flow_link announce;
	union {
		struct flow_link half[2];      /* half-open: of peer->use.half, peer->as->use.half */
		struct flow_link wait;	       /* FLOW_WAITING: of peer->waiting */
		struct flow_link linger;       /* FLOW_LINGER */
	};
	struct peer *peer;
	struct peer_path *path;	 /* client; NULL at the server */
	struct tmpl *tmpl;	 /* one reference: what the worker was told; parked: the last */
	struct held_packet *held; /* oldest first; TCP: its newest SYN alone */
	uint64_t woken_ms;
	uint64_t created_ms;
	struct move_probe *move; /* or NULL, see moves.c */
	union {
		struct { /* client */
			struct conn *conn; /* see flow_conn() */
			uint64_t open_sent_us;
			uint64_t deadline_ms;
			struct flow_link on; /* of path->on */
			uint32_t conn_next;
			uint32_t rto_ms;
		};
		struct { /* server */
			union {
				struct synack *synack; /* TCP; NULL: not there yet, or nobody will ask for it again */
				struct {
					struct datagram_group *group; /* NULL: none */
					struct ctl_flow *prev, *next;
				} *in_group; /* DATAGRAM: [2], see datagrams.c */
			};
			uint32_t challenge_isn; /* of the SYN that our kernel was shown */
			uint32_t answers;	/* ACCEPTs and REJECTs sent: at most one an OPEN */
			uint32_t credit;	/* bytes of its first OPEN that the answer left over */
			uint8_t reply_fd;	/* index of the socket that was addressed */
			struct ip_addr client;	/* inner source as the client has it */
		};
	};
};

_Static_assert(sizeof(struct ctl_flow) <= 256 && offsetof(struct conn, planned) <= 32, "100 000 flows in 88 MiB, with all else");

/* Of our kernel, as an ACCEPT carries it. */
struct synack {
	uint8_t len;
	uint8_t thin[64]; /* header and options */
};

/* Flows by their 4-tuple, or by peer and the name that it gave them, see index.c. */
struct name_index {
	uint32_t *entries;
	uint32_t mask, used;
	uint64_t seed;
	bool by_name;
};

/* A flow follows a move that TCP does not vouch for once its new path has answered. */
struct move_probe {
	UT_hash_handle hh;
	uint32_t id; /* key */
	uint8_t epoch;
	uint64_t sent_us;  /* first, */
	uint64_t asked_us; /* and last */
	struct tmpl *tmpl; /* one reference */
	struct ctl_flow *flow;
};

#define CONTROL_MAX_TUNS WORKER_MAX_TUNS

struct control_tun {
	uint8_t side;	/* 0: ingress, 1..: egress */
	char name[16];
	int ifindex;	/* in its namespace; 0: not known */
	unsigned int num_addresses;
	struct ip_addr addresses[CONFIG_MAX_PREFIXES];
};

/* What daemon.c has prepared. */
struct control_setup {
	uv_loop_t *loop;
	const struct config *cfg;
	struct path_source *source;
	struct local_as as;
	struct scion_addr local;
	unsigned int num_workers;
	int worker_fds[CONFIG_MAX_WORKERS];
	uint16_t worker_ports[CONFIG_MAX_WORKERS];
	int contact_fd;
	unsigned int num_tuns;
	struct control_tun tuns[CONTROL_MAX_TUNS];
	int (*tun_fds)[CONFIG_MAX_WORKERS]; /* [tun][worker] */
	int (*tun_bulk_fds)[CONFIG_MAX_WORKERS]; /* their second lane, -1 where there is none; or NULL */
	struct sock_diag diag[CONFIG_MAX_EGRESS + 1]; /* by side */
	struct mptcp_pm pm[CONFIG_MAX_EGRESS + 1];    /* by side; no commands: the kernel's path manager; 0: only watched */
	bool sieve; /* programs on the sockets, if the kernel takes them */
	bool rings; /* workers pass on what is not theirs */
	uint32_t busy_poll_us; /* of the workers */
	bool datagram_trains; /* all TUNs take many UDP datagrams at once */
	uint64_t boot_id;
	struct store *store;	   /* NULL: nothing is kept over a restart */
	const struct store_saved *saved; /* of the daemon before, or NULL; read by control_new() only */
};

struct control_counters {
	uint64_t connections, subflows, datagrams; /* opened, either side */
	uint64_t opens_tx, opens_rx, opens_again, accepts_tx, accepts_rx, rejects_tx, rejects_rx;
	uint64_t hellos_tx, hellos_rx, probes_tx, probes_rx, probe_replies_rx;
	uint64_t liveness_bytes; /* wire bytes of ALIVE, PROBE and PROBE-REPLY sent here; workers have theirs */
	uint64_t closes_tx, closes_rx, unknowns_tx, unknowns_rx;
	uint64_t moves, renewals, followed, scmp_rx, scmp_hints, suspects, trials, left, false_alarms, beats;
	uint64_t traceroutes_tx, traceroute_replies_rx;
	uint64_t clock_jumps;
	uint64_t parked, woken;
	uint64_t subflows_created, subflows_failed, subflows_lost, subflows_destroyed, priorities, pm_missed;
	uint64_t resets, unreachables; /* answers to local programs */
	uint64_t resumed, lost; /* flows of the daemon before */
};

#define FAULTS_WATCHED 6

/* Something that goes on for a while. */
struct fault {
	bool on, said;
	uint64_t count, first; /* of its counter: now, and when it began */
	uint64_t logged_ms;
};

#define ENDED_NAMES 256
#define TMPLS_REMEMBERED 256 /* of each kind */

/* Info fields of the packets that come in on a flow; @len 0: not looked at. */
struct tmpl_infos {
	uint8_t bytes[8 * SCION_MAX_INF];
	uint8_t len;
};

struct control {
	struct control_setup s;
	uv_loop_t *loop;
	const struct config *cfg;
	struct path_policy **policies; /* of each route, NULL: every path */
	struct worker *workers[CONFIG_MAX_WORKERS];
	struct wake from_workers;
	uv_poll_t contact;
	bool contact_backlog; /* what is being read from it came while we stood still */
	uv_timer_t tick; /* probing, and what else is looked at from time to time */
	uint64_t tick_us;	     /* when that expires; 0: not yet started */
	uint64_t tick_rest_us; /* the same without the time-outs of probes */
	uint64_t ticked_us;    /* the last one */
	unsigned int probes_out; /* or more: until the next tick */
	struct wheel timers; /* of flows */
	uv_timer_t timers_uv;
	uint64_t timers_at;  /* when that expires, UINT64_MAX: it is not set */
	uv_poll_t lost_sockets;
	uv_timer_t trial_timer;
	uint64_t trial_at_us; /* when that expires, UINT64_MAX: it is not set */
	struct trial *trials; /* that go on */
	uint64_t strain_us;   /* how late timers were of late: see trials_late() */
	uint64_t strained_us; /* as of then */
	uv_timer_t announcer;
	uint32_t announcing; /* flows whose ALIVE is to go out */
	uint64_t announced_ms;
	unsigned int announced; /* in that millisecond */
	uint64_t flow_log_s;
	unsigned int flows_logged; /* in that second */
	uint64_t start_ms;
	struct event_log events;
	struct wall_clock clock; /* looked at once a second */
	struct {
		uint64_t looked_ms, clock_logged_ms;
		struct fault drops[FAULTS_WATCHED], descriptors;
	} faults;
	struct {
		void (*done)(void *ctx);
		void *ctx;
		uv_timer_t poll;
	} stop;
	struct ctl_flow **records[CONFIG_MAX_WORKERS]; /* chunks, see records.c */
	uint32_t free_head[CONFIG_MAX_WORKERS], free_tail[CONFIG_MAX_WORKERS]; /* slots; 0: none */
	uint32_t next_slot[CONFIG_MAX_WORKERS], flows_used[CONFIG_MAX_WORKERS];
	uint32_t lingering[CONFIG_MAX_WORKERS]; /* oldest first */
	uint32_t num_lingering[CONFIG_MAX_WORKERS], flows_peak;
	struct name_index by_key, by_theirs;
	struct ended_flow {
		struct scion_addr peer;
		struct flow_name name;
		enum frame_reason reason; /* of the REJECT that answers its OPENs; NONE: nothing does */
	} ended[ENDED_NAMES]; /* server: whose late OPENs open nothing; the oldest is overwritten */
	unsigned int next_ended;
	struct move_probe *by_probe;
	struct {
		struct conn **chains; /* NULL: there was none yet */
		unsigned int bits;    /* of their number */
		uint32_t used;
		uint64_t seed;
	} by_token; /* connections */
	struct {
		struct managed *all; /* by our kernel's token */
		struct wheel timers;
		uv_timer_t uv;
		uint64_t at;	      /* when that expires; UINT64_MAX: it is not set */
		uint64_t second;      /* limits.subflows_per_second */
		uint32_t in_second;
		bool peers_changed, polling;
		uv_poll_t events[CONFIG_MAX_EGRESS + 1];
		bool said_refused;
	} subflows;
	struct peer *peers;
	struct peer *idle; /* those that may be forgotten, oldest first */
	uint32_t num_idle;
	struct as_use *ases;
	uint32_t limit_peaks[LIMITS_CHECKED];
	struct path_set *sets;
	struct {
		struct tmpl *over[TMPLS_REMEMBERED], *back[TMPLS_REMEMBERED];
	} tmpls;
	struct pool *pool;
	struct datagram_group *datagram_groups; /* server */
	struct expected *expected;
	uint64_t related_s; /* packets of servers without a flow in that second */
	unsigned int related_n;
	uint16_t datagram_id;
	uint32_t held, held_peak; /* packets held */
	uint32_t num_parked;
	uint64_t asked_ms; /* for sockets of parked flows */
	unsigned int asked; /* in that millisecond */
	struct admit_set known; /* who the configuration names */
	struct admit at_contact;
	unsigned int num_sieves; /* 0, or one for each worker and the contact port */
	struct sieve *sieves[CONFIG_MAX_WORKERS + 1];
	uint64_t socket_drops_all, socket_drops; /* with those of the sieves; without */
	uint64_t refusal_log_s;
	unsigned int refusals_logged, refusals_unlogged; /* of that second */
	uint32_t next_probe;
	uint32_t next_living;
	struct {
		uint64_t second;
		unsigned int asked; /* in it */
	} witnesses;
	uint64_t drops[VERDICT_COUNT];
	struct control_counters n;
	uint64_t keep_tried_ms; /* when room in the state file was last looked for */
	bool keep_warned;
	uint8_t packet[CONTROL_MAX_PACKET + 2048]; /* scratch for what is being built */
	struct underlay_rx rx; /* of the contact port */
	bool stopping;
};

/* A datagram from the underlay, taken apart as far as UDP. */
struct arrival {
	const uint8_t *bytes;
	size_t len;
	union sock_addr from;	/* underlay source */
	unsigned int socket;	/* index of the worker, or num_workers: contact */
	struct flow_name flow;	/* that the worker found, id 0: none */
	enum verdict verdict;
	struct scion_pkt pkt;
	struct scion_udp udp;
	struct scion_addr peer; /* source */
};

static inline uint64_t control_now_ms(struct control *c)
{
	return uv_now(c->loop);
}

static inline uint64_t control_now_us(void)
{
	return uv_hrtime() / 1000;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* ---- records.c ---- */
#define RECORDS_CHUNK 64 /* records that are allocated together */

bool records_init(struct control *c, unsigned int worker); /* false: no memory */
void records_fini(struct control *c);
/* record_new() - Take the record of a slot into use for the first time; NULL: no memory. */
struct ctl_flow *record_new(struct control *c, unsigned int worker, uint32_t slot);
struct ctl_flow *record_take(struct control *c, unsigned int worker); /* a free one, or a new one */
void record_give(struct control *c, struct ctl_flow *f);

/* flow_record() - Of any slot up to limits.flows. NULL: it has none; one without flow is FLOW_NONE. */
static inline struct ctl_flow *flow_record(const struct control *c, unsigned int worker, uint32_t slot)
{
	struct ctl_flow *chunk = c->records[worker][slot / RECORDS_CHUNK];

	return chunk ? &chunk[slot % RECORDS_CHUNK] : NULL;
}

static inline uint32_t flow_ref(const struct ctl_flow *f)
{
	return (uint32_t)f->worker << FLOW_SLOT_BITS | f->slot;
}

static inline struct ctl_flow *flow_of(const struct control *c, uint32_t ref)
{
	return ref ? flow_record(c, ref >> FLOW_SLOT_BITS, ref & ((1u << FLOW_SLOT_BITS) - 1)) : NULL;
}

void flow_list_add(uint32_t *list, struct ctl_flow *f, size_t at); /* behind the last one */
void flow_list_del(uint32_t *list, struct ctl_flow *f, size_t at);

#define FLOW_LIST_ADD(list, f, link) flow_list_add(&(list), f, offsetof(struct ctl_flow, link))
#define FLOW_LIST_DEL(list, f, link) flow_list_del(&(list), f, offsetof(struct ctl_flow, link))
/* @f may leave the list meanwhile. */
#define FLOW_LIST_FOREACH(c, list, f, nxt, link)                                                       \
	for ((f) = flow_of(c, list); (f) && ((nxt) = flow_of(c, (f)->link.next), true); (f) = (nxt))

/* ---- control.c ---- */
int control_fd(const struct control *c, unsigned int socket);
uint16_t control_port(const struct control *c, unsigned int socket);
/* Sends a frame over @t from @socket; @flow_id is the SCION FlowID (index of our flow, or 1). */
enum verdict control_send_frame(struct control *c, unsigned int socket, const struct tmpl *t,
				uint32_t flow_id, const uint8_t *frame, size_t len);
/* A template that answers @a: reversed path, from our @port to its source port. @mtu: 0: of the own AS. */
struct tmpl *control_reply_tmpl(struct control *c, const struct arrival *a, uint16_t port, uint16_t mtu);
void control_reply(struct control *c, const struct arrival *a, const uint8_t *frame, size_t len);
const struct path_policy *control_policy(const struct control *c, const struct config_route *route);
unsigned int control_worker_of(const struct control *c, uint16_t port_a, uint16_t port_b);
struct held_packet *control_hold(struct control *c, const struct up_msg *m);
void control_unhold(struct control *c, struct held_packet *h);
uint64_t control_random(void);

/* control_socket_drops() - What found no room in the underlay sockets. */
uint64_t control_socket_drops(struct control *c);
void control_kick(struct control *c);
void control_flush(struct control *c); /* also what could wait for the next packet of a worker */

/* ---- tmpls.c ---- */
/* Both: a reference for the caller; NULL: no memory, counted, or there is no such way. Nobody changes them. */
struct tmpl *tmpls_over(struct control *c, struct path *path, uint16_t port, const struct scion_addr *peer,
			uint16_t peer_port, const struct tmpl_infos *infos);
struct tmpl *tmpls_back(struct control *c, const struct arrival *a, uint16_t port, uint16_t mtu); /* answers @a */
size_t tmpls_remembered(const struct control *c);
void tmpls_forget(struct control *c);

/* ---- admission.c ---- */
int admission_start(struct control *c); /* before the workers */
void admission_free(struct control *c);
uint64_t admission_dropped(const struct control *c, enum verdict v); /* by the programs on the sockets */

/* ---- dispatch.c ---- */
void dispatch_workers(struct wake *wake);
void dispatch_contact(uv_poll_t *handle, int status, int events);

/* ---- flows.c ---- */
/* flow_make_room() - The oldest flow that lingers goes, if its worker has no other place. */
void flow_make_room(struct control *c, uint16_t port_a, uint16_t port_b);
/* Frees one that lingers, for what it holds; false: none does. */
bool flow_forget_lingering(struct control *c);
/* Whether limits.flows leaves room for one more; without it, or without memory, flow_new() gives NULL. */
bool flow_room(const struct control *c, uint16_t port_a, uint16_t port_b);
struct ctl_flow *flow_new(struct control *c, const struct flow_key *key, uint16_t port_a, uint16_t port_b);
/* flow_resume() - The flow of an earlier daemon, in its slot; NULL: no memory, or there is one. */
struct ctl_flow *flow_resume(struct control *c, const struct store_flow *s);
/* flow_adopt() - Puts it into its worker, open, before that runs. Takes @t. */
void flow_adopt(struct ctl_flow *f, struct tmpl *t, const struct flow_hot *hot);
/* flow_slots_resumed() - Slots below the highest one that is in use, and are not, may be used. */
void flow_slots_resumed(struct control *c, unsigned int worker);
struct ctl_flow *flow_by_key(struct control *c, const struct flow_key *key);
struct ctl_flow *flow_by_name(struct control *c, const struct flow_name *mine);
struct ctl_flow *flow_by_theirs(struct control *c, const struct scion_addr *peer, const struct flow_name *name);
void flow_set_theirs(struct ctl_flow *f, const struct flow_name *name);
/* Applies an event; a refused one is logged (debug) and returns false. */
bool flow_step(struct ctl_flow *f, enum flow_event ev);
static inline void flow_changed_path(struct ctl_flow *f)
{
	f->path_changes += f->path_changes < UINT16_MAX;
}
/* Puts the flow into its worker, slow, with its template. */
int flow_install(struct ctl_flow *f, struct tmpl *t);
/* Writes a packet of the peer to the TUN, with our addresses; false: it is not one of this flow. */
bool flow_write_packet(struct ctl_flow *f, const uint8_t *bytes, size_t len);
/* flows_replay() - Whether there are any whose trains are kept until they are acknowledged. */
bool flows_replay(const struct control *c);
int flow_set_tmpl(struct ctl_flow *f, struct tmpl *t); /* takes @t; tells the worker if installed */
int flow_move_tmpl(struct ctl_flow *f, struct tmpl *t, enum path_change change); /* the same, of another path */
int flow_path_back(struct ctl_flow *f); /* its path was dead: what it sent meanwhile is sent again */
/* A template for frames of the flow: over @path, from @socket, to @peer_port. */
struct tmpl *flow_tmpl(const struct ctl_flow *f, struct path *path, unsigned int socket, uint16_t peer_port);
/* What a client's packets over its path have in their info fields, by which a renewal is noticed. */
struct tmpl_infos flow_infos(const struct path *p);
/* A template of a server: its packets over @path, while the client's have @infos. */
struct tmpl *flow_tmpl_expecting(const struct ctl_flow *f, struct path *path, uint16_t peer_port,
				 const struct tmpl_infos *infos);
void flow_timer(struct ctl_flow *f, uint64_t ms);
void flow_timers_start(struct control *c);
void flow_timers_stop(struct control *c);
void flow_saw(struct control *c, const struct up_msg *m);
void flow_free(struct ctl_flow *f); /* from the worker, from all tables */
void flow_close(struct ctl_flow *f, enum frame_reason reason, bool tell_peer, bool reset_local);
void flow_socket_lost(struct ctl_flow *f); /* our kernel has it no more: the peer's is reset, and it lingers */
void flow_lost_there(struct ctl_flow *f);  /* the other way round */
/* flow_counts() - It has its path for itself; not one that is over, or will be in a moment. */
bool flow_counts(const struct ctl_flow *f);
/* flow_may_log() - Thousands may share a fate at once: some are named, the others only counted. */
bool flow_may_log(struct control *c);
char *flow_str(const struct ctl_flow *f, char *buf); /* 256: "flow 12 tcp a:1 > b:2 (1-64513,10.0.0.1)" */
void flow_drop_held(struct ctl_flow *f);
void flow_send_confirm(struct ctl_flow *f); /* ALIVE that answers a bare ACCEPT: not longer than that */
void flow_send_alive(struct ctl_flow *f); /* the newest epoch, on the flow's path */

/* flow_after() - All flows, one after the other, from NULL on; @f itself may have been freed. NULL: that was all. */
struct ctl_flow *flow_after(struct control *c, const struct ctl_flow *f);
uint32_t flow_theirs_hash(const struct scion_addr *peer, const struct flow_name *name, uint64_t seed);

/* ---- index.c ---- */
bool index_add(struct name_index *x, const struct ctl_flow *f); /* false: no memory */
void index_remove(struct name_index *x, const struct ctl_flow *f);
/* index_next() - Flows that may have the name with this hash, from *@at 0 on until NULL. */
struct ctl_flow *index_next(const struct control *c, const struct name_index *x, uint32_t hash, uint32_t *at);
void index_fini(struct name_index *x);

/* ---- opening.c ---- */
void opening_packet(struct control *c, const struct up_msg *m, const struct ip_pkt *ip, const struct tcp_hdr *tcp);
void opening_start(struct ctl_flow *f); /* paths are there, and it holds its first packet: choose one and send */
void opening_paths_known(struct peer *p); /* flows that wait */
void opening_related(struct control *c, const struct ctl_flow *parent, const struct flow_key *key);
void flow_hold(struct ctl_flow *f, const struct up_msg *m); /* until it is open, or its client was heard */
uint32_t flow_payload(const uint8_t *pkt, size_t len); /* of an inner packet; 0 if it is none */
void held_checksum(struct held_packet *h); /* complete, as datagrams carry it */
void opening_timer(struct ctl_flow *f);
/*
 * opening_spread() - 16 bits that differ from flow to flow and from try to try: connections that began at once must not
 * repeat themselves at once again and again, because what overflows in a router on the way is then always the same ones.
 */
uint32_t opening_spread(const struct ctl_flow *f, unsigned int number);

/* ---- establishing.c ---- */
void establishing_accept(struct control *c, const struct arrival *a, const struct frame_hdr *h, struct rd *r);
void establishing_reject(struct control *c, const struct arrival *a, const struct frame_hdr *h, struct rd *r);
/* The SYN/ACK after a bare ACCEPT, as DATA; or once more, because the kernel repeated it. */
void establishing_synack_late(struct ctl_flow *f, const struct thin_tcp *t, uint8_t traffic_class);
void establishing_confirm(struct ctl_flow *f);
void establishing_resumed(struct ctl_flow *f); /* open before a restart, and the server not heard since its SYN/ACK */

/* ---- conns.c ---- */
/* flow_conn() - NULL at the server. */
static inline struct conn *flow_conn(const struct ctl_flow *f)
{
	return f->server ? NULL : f->conn;
}

static inline const struct config_route *conn_route(const struct control *c, const struct conn *n)
{
	return &c->cfg->routes[n->route];
}

static inline struct peer *conn_peer(const struct control *c, const struct conn *n)
{
	return flow_of(c, n->flows)->peer;
}

#define CONN_FOREACH(c, n, f) for ((f) = flow_of(c, (n)->flows); (f); (f) = flow_of(c, (f)->conn_next))

struct conn *conn_new(struct ctl_flow *f, const struct config_route *route);
void conn_add(struct conn *n, struct ctl_flow *f);
void conn_leave(struct ctl_flow *f); /* the last one frees it */
struct conn *conn_by_token(struct control *c, uint8_t side, struct mptcp_token token);
/* From the options of the SYN/ACK; before that reaches the kernel, because a join may follow at once. */
void conn_learn_token(struct ctl_flow *f, const uint8_t *opts, size_t len);
/* conn_after() - Connections with a token, one after the other, from NULL on; NULL: that was all. */
struct conn *conn_after(const struct control *c, const struct conn *n);
void conn_set_token(struct control *c, struct conn *n, struct mptcp_token token);
int conn_plan(struct control *c, struct conn *n, const struct ctl_flow *f); /* -ENOENT: there is no path; -ENOMEM */
/* conn_resume() - Its plan is gone: room for as many paths as it may have, each chosen when a join comes. */
void conn_resume(struct conn *n);
/* conn_has_hole() - A planned path is gone, or was never chosen: conn_other_path() fills it. */
bool conn_has_hole(const struct conn *n);
bool conn_uses_path(const struct control *c, const struct conn *n, const struct peer_path *pp);
unsigned int conn_live_flows(const struct control *c, const struct conn *n);
/* conn_plan_also() - @pp is in the plan from now on, if there is room. */
void conn_plan_also(const struct control *c, struct conn *n, struct peer_path *pp);
/* The planned path that no flow has yet, dead ones last; NULL: all are taken. */
struct peer_path *conn_next_path(const struct control *c, const struct conn *n);
enum other_path {
	OTHER_UNUSED, /* any that the connection does not use */
	OTHER_LIVING, /* one that is neither suspect nor down */
	OTHER_HEARD,  /* and was heard when the flow's own was not (trials.c) */
};
struct peer_path *conn_other_path(const struct ctl_flow *f, enum other_path which);
void conn_forget_path(struct peer_path *pp);

/* ---- subflows.c ---- */
int subflows_start(struct control *c); /* once the flows of before are there */
void subflows_stop(struct control *c);
bool subflows_are_ours(const struct control *c, uint8_t side);
/* The SYN of a join that was ordered; false: it is something else. */
bool subflows_syn(struct ctl_flow *f, const struct up_msg *m, const struct tcp_hdr *tcp);
void subflows_expire(struct ctl_flow *f); /* that SYN did not come */
void subflows_opened(const struct ctl_flow *f);
void subflows_reset(struct ctl_flow *f); /* a RST ended it, either way */
void subflows_left(struct conn *n, const struct ctl_flow *f); /* @f is no longer in it */
void subflows_forget(struct control *c, struct conn *n);
void subflows_paths_changed(struct peer *p); /* some are up, down, new or gone */
void subflows_measured(struct peer_path *pp);

/* ---- lost_sockets.c ---- */
int lost_sockets_start(struct control *c);
void lost_sockets_stop(struct control *c);

/* ---- offering.c ---- */
void offering_open(struct control *c, const struct arrival *a, struct rd *r);
void offering_packet(struct ctl_flow *f, const struct up_msg *m, const struct ip_pkt *ip, const struct tcp_hdr *tcp);
/* An ICMP error of the local kernel about the SYN of this flow (a firewall); false: of no consequence. */
bool offering_icmp(struct ctl_flow *f, const struct ip_pkt *ip, uint8_t type, uint8_t code);
void offering_confirmed(struct ctl_flow *f);
void offering_timer(struct ctl_flow *f);
void offering_forget_synack(struct ctl_flow *f);
/* A late OPEN of this flow must not open it again; @reason: it is answered by REJECT, unless that is NONE. */
void offering_ended(const struct ctl_flow *f, enum frame_reason reason);

/* ---- datagrams.c ---- */
void datagrams_add(struct ctl_flow *f); /* a DATAGRAM flow of a client of ours; twice does no harm */
void datagrams_remove(struct ctl_flow *f);
uint16_t datagrams_mtu(const struct tmpl *t); /* largest packet that two parts carry */
/* An ICMP error of the local kernel; false: it quotes nothing. */
bool datagrams_icmp_error(struct control *c, const struct up_msg *m, const struct ip_pkt *ip, const struct flow_key *key);
/* Server: a packet without a flow to a client that has others; false: to nobody. */
bool datagrams_from_server(struct control *c, const struct up_msg *m, const struct ip_pkt *ip, const struct flow_key *key);
/* Whether our server spoke first from the port that this OPEN names. */
bool datagrams_expected(struct control *c, const struct scion_addr *peer, const struct frame_open *o,
			const struct ip_addr *local);
void datagrams_confirmed(struct ctl_flow *f); /* the client was heard */
/* Client: a DATAGRAM that may be from another port of the server. */
void datagrams_related(struct control *c, struct ctl_flow *f, const struct arrival *a, const struct frame_hdr *h,
		       const struct rd *r);
void datagrams_free(struct control *c);

/* ---- moves.c ---- */
void moves_path_left(struct peer_path *pp); /* it is silent: those of its flows go for which others are better */
void moves_path_died(struct peer_path *pp);
void moves_stranded(struct control *c); /* once more those that are still on a dead path */
void moves_path_renewed(struct control *c, struct peer_path *pp);
void moves_path_up(struct peer_path *pp);
void moves_path_back(struct peer_path *pp); /* for the flows that stayed on it */
void moves_set_renewed(struct control *c, const struct path_set *s); /* flows of servers */
void moves_follow(struct control *c, struct ctl_flow *f, const struct arrival *a, const struct frame_hdr *h,
		  bool syn); /* @syn: DATA with a SYN, whose ack nobody checked */
bool moves_probe_reply(struct control *c, const struct peer *from, const struct frame_probe *p);
void moves_forget_probe(struct ctl_flow *f);
void flow_use_path(struct ctl_flow *f, struct peer_path *pp); /* client: counts, sets f->path */

/* ---- announcing.c ---- */
void announcing_alive(struct ctl_flow *f); /* an ALIVE, soon */
void announcing_move(struct ctl_flow *f);  /* ALIVEs until the other side has followed, or long enough */
void announcing_timer(struct ctl_flow *f);
void announcing_forget(struct ctl_flow *f);

/* ---- parking.c ---- */
void parking_rest(struct ctl_flow *f); /* nothing to do but to look whether it is idle */
void parking_timer(struct ctl_flow *f);
void parking_try(struct ctl_flow *f); /* with wake_tries */
bool parking_wake(struct ctl_flow *f); /* false: there is no path, counted */
void parking_forget(struct ctl_flow *f);

/* ---- peers.c ---- */
struct peer *peer_find(struct control *c, const struct scion_addr *addr);
struct peer *peer_get(struct control *c, const struct scion_addr *addr); /* made if need be; NULL: limit */
void peer_hello(struct control *c, struct peer *p);
void peer_doubt(struct peer *p); /* it may have been restarted: is asked until that is known */
bool peer_has_port(const struct peer *p, uint16_t port); /* of a worker */
void peer_on_hello(struct control *c, const struct arrival *a, const struct frame_hdr *h, struct rd *r);
void peer_heard(struct peer *p);
void peer_fail(struct control *c, struct peer *p); /* OPENs stayed unanswered */
void peers_free(struct control *c);
uint16_t peer_port(const struct control *c, const struct peer *p, uint16_t port_a, uint16_t port_b, bool contact);
bool peer_log_ok(struct peer *p); /* at most one line a second about what it does wrong */

/* ---- limits.c ---- */
/* limits_check() - VERDICT_PASS, or the limit that one more flow of that client there would exceed: counted. */
enum verdict limits_check(struct control *c, const struct scion_addr *addr, const struct ip_addr *client);
/*
 * limits_forget_half_open() - The oldest half-open flow of that peer or AS makes room, if that is the limit. Who can
 * send OPENs in the name of a peer must not keep it out: it itself answers its ACCEPT, the others do not.
 */
bool limits_forget_half_open(struct control *c, const struct scion_addr *addr, enum verdict limit);
bool limits_peer_new(struct control *c, struct peer *p); /* false: no memory */
void limits_peer_busy(struct control *c, struct peer *p); /* not to be forgotten */
void limits_peer_gone(struct control *c, struct peer *p);
void limits_count_open(struct control *c, struct peer *p);
void limits_count(struct ctl_flow *f); /* after each change of peer, state and `confirmed` */
void limits_uncount(struct ctl_flow *f);
int limits_pool_get(struct control *c, struct peer *p, const struct ip_addr *client, struct ip_addr *out);
/* As pool_restore(). */
int limits_pool_restore(struct control *c, struct peer *p, const struct ip_addr *client, const struct ip_addr *address);
void limits_pool_put(struct control *c, struct peer *p, const struct ip_addr *address);
struct limit_use {
	const char *name;
	uint32_t limit, used, worst; /* the most that anybody has, and ever had */
	enum verdict verdict;	     /* counts refusals */
};
bool limits_next(struct control *c, size_t i, struct limit_use *out); /* for i = 0, 1, ... until false */

/* ---- paths.c ---- */
struct path_set *path_set_get(struct control *c, struct isd_as ia);
void path_set_join(struct path_set *s, struct peer *p);
struct peer_path *peer_path_new(struct control *c, struct peer *p, struct path *path); /* not yet in p->paths */
void path_set_ask(struct path_set *s, bool refresh);
void path_set_look(struct path_set *s); /* something is wrong with its paths: ask soon */
void path_sets_stop(struct control *c); /* closes handles */
void path_set_resume(struct path_set *s, struct path *path); /* takes a path that an earlier daemon knew */
void path_sets_free(struct control *c); /* once the path source is closed */
/* Asks for the paths to an AS that nobody has a route to: what its received paths are called. */
void path_set_want(struct control *c, struct isd_as ia);
/* Number @n of a set, counted round and round; NULL: there is none. */
struct path *path_set_nth(struct control *c, struct isd_as ia, unsigned int n);
/* The path of a set with the interface ids of a received one, which has no AS numbers; or NULL. */
const struct path *path_known(struct control *c, struct isd_as ia, const struct path *reversed);
struct path *path_set_match(const struct path_set *s, const struct path *reversed); /* within a set */
size_t peer_candidates(struct control *c, struct peer *p, const struct path_policy *policy, struct path_candidate *out,
		       struct peer_path **pps, size_t max);

/* ---- probing.c ---- */
void probing_start(struct control *c);
void probing_stop(struct control *c);
void probing_reply(struct control *c, const struct arrival *a, struct rd *r);
void probing_request(struct control *c, const struct arrival *a, struct rd *r);
/* SCMP: look at @first and all paths with that interface, with probes of together at most @bytes at once, with the others soon. */
void probing_hint(struct control *c, struct peer_path *first, struct isd_as ia, uint64_t ifid, size_t bytes);
/* probing_refused() - A router quotes the PROBE: if it is waited for it will not be answered. @link: because a link is down */
void probing_refused(struct control *c, struct peer_path *pp, const struct frame_probe *probe, bool link);
void probing_now(struct control *c, struct peer *p);
void probing_look(struct control *c, struct peer *p);
void probing_wake(struct control *c); /* something is to be done soon: flows came to a path, orders wait */
void peer_path_free(struct peer_path *pp);

void probing_suspect(struct control *c, struct peer_path *pp); /* the path does not answer, perhaps: it is probed soon */
/* probing_send() - A PROBE whose answer is not waited for here. Return: its id, 0: it was not sent. */
uint32_t probing_send(struct control *c, struct peer_path *pp, uint64_t now_us);
void probing_leave(struct control *c, struct peer_path *pp); /* it is silent while others answer: its flows go there */
void probing_lives(struct peer_path *pp); /* it answers after all */
void probing_dead(struct control *c, struct peer_path *pp); /* nothing comes back over it, as others know */
bool probing_damped(const struct peer_path *pp); /* it answers, but has to do so for longer */

/* ---- beats.c ---- */
/* beats_look() - Other paths are asked beforehand, for the flows on this one. Return: when to look again; UINT64_MAX: not at all. */
uint64_t beats_look(struct control *c, struct peer_path *pp, uint64_t now_us);
bool beats_reply(struct peer *p, const struct frame_probe *reply); /* false: it was not asked for that */

/* ---- trials.c ---- */
void trials_start(struct control *c);
void trials_suspect(struct control *c, struct peer_path *pp); /* the frames of flows on this path are not answered */
bool trials_reply(struct control *c, struct peer *p, const struct frame_probe *reply); /* false: not of a trial */
bool trials_doubtful(const struct peer_path *pp); /* it was asked lately, and has not answered: no good place to go to */
/* trials_late() - A timer came so much later than it was to: a machine that has much to do is patient with others. */
void trials_late(struct control *c, uint64_t late_us, uint64_t now_us);
/* trials_leads() - Whether @to was heard since @from was not: flows that leave @from go there. */
bool trials_leads(const struct peer_path *from, const struct peer_path *to);
void trials_forget_path(struct peer_path *pp);
void trials_free(struct peer *p);

/* ---- witness.c ---- */
void witness_look(struct control *c, struct peer_path *pp, uint64_t now_us); /* asks, if that is due */
bool witness_reply(struct control *c, const struct arrival *a, const struct scmp_msg *m); /* false: nobody asked */
bool witness_blames_peer(struct peer_path *pp); /* it went down, but its flows have nowhere better to go */
const char *witness_str(const struct path_set *s, const struct path *path); /* or NULL */
const char *witness_why(const struct path_set *s, const struct path *path); /* goes on after "it does not answer probes" */

/* ---- hints.c ---- */
void hints_scmp(struct control *c, const struct arrival *a);

/* ---- living.c ---- */
void living_join(struct control *c, struct tmpl *t); /* for a template that is not yet used */
void living_free(struct peer *p);
void living_suspect(struct control *c, const struct up_msg *m);
/* What is known best about a path: the record with the newest answer; NULL: none has any. */
const struct liveness *living_newest(const struct peer *p, const struct path *path);
/* When the last answer to a frame came, and the last frame of all; 0: never. */
uint64_t living_answered_us(const struct peer *p, const struct path *path);
uint64_t living_heard_us(const struct peer *p, const struct path *path);
/* living_rests() - Whether no frame of a flow went either way on the path lately, and none waits for an answer. */
bool living_rests(const struct peer *p, const struct path *path, uint64_t now_us);

/* ---- faults.c ---- */
void faults_start(struct control *c);
void faults_look(struct control *c); /* may be called often */
uint64_t faults_due_us(struct control *c); /* how long it has time until then */
bool faults_stood_still(const struct control *c); /* up to now: stopped, or without a CPU for seconds */
void control_no_memory(struct control *c); /* counts it: something was given up for want of memory */

/* ---- answers.c ---- */
void answer_unreachable(struct control *c, unsigned int worker, const struct held_packet *h, enum inet_unreach why);
void answer_reset(struct control *c, unsigned int worker, const struct held_packet *h, int mptcp_reason);
bool answer_may_log(struct control *c); /* 20 refusals a second */
/* Answer what the flow holds, log why, and free it. */
void flow_refuse(struct ctl_flow *f, enum verdict v, enum inet_unreach why, const char *sentence);
void flow_refuse_reset(struct ctl_flow *f, int mptcp_reason, const char *sentence);
/* For a packet that no flow will be made for. */
void packet_refuse(struct control *c, const struct up_msg *m, enum verdict v, enum inet_unreach why,
		   const char *sentence);
void packet_reset(struct control *c, const struct up_msg *m, int mptcp_reason);
void answer_too_big(struct control *c, unsigned int worker, uint8_t tun, const uint8_t *bytes, uint32_t len,
		    uint16_t mtu);

/* ---- keep.c ---- */
/*
 * flow_keep() - Bring the record of an open flow up to date. To be called before anything that the other side or
 * the local kernel learns from rests on it.
 */
void flow_keep(struct ctl_flow *f);
void flow_keep_no_more(struct ctl_flow *f);
struct flow_hot *flow_kept_hot(struct ctl_flow *f); /* for its worker; NULL: not kept */
void peer_keep(struct control *c, struct peer *p);
void peer_keep_no_more(struct control *c, struct peer *p);
void path_set_keep(struct path_set *s);	 /* all its paths */
void path_set_keep_no_more(struct path_set *s);
void keeping_tick(struct control *c); /* tries again what had no room */

/* ---- resume.c ---- */
void resume_paths(struct control *c, const struct store_saved *saved);
void resume_flows(struct control *c, const struct store_saved *saved);

/* ---- for daemon.c ---- */
int control_new(const struct control_setup *setup, struct control **out);
/*
 * control_stop() - Stops the workers, closes all handles on the loop, then calls @done.
 * @detach: the flows stay in the state file for the next daemon; else each gets a CLOSE
 */
void control_stop(struct control *c, bool detach, void (*done)(void *ctx), void *ctx);
/* control_set_as() - The SCION daemon told about the local AS after the start. */
void control_set_as(struct control *c, const struct local_as *as);
void control_free(struct control *c); /* after @done */
json_t *report_status(struct control *c);
json_t *report_limit(const char *name, uint64_t limit, uint64_t used, uint64_t worst, uint64_t refused);
/* One element after the other, NULL at the end. */
json_t *report_next_peer(struct control *c, struct rpc_cursor *at);
json_t *report_next_path(struct control *c, struct isd_as only, bool why, struct rpc_cursor *at);
json_t *report_next_flow(struct control *c, struct rpc_cursor *at);
json_t *report_drops(struct control *c);
json_t *report_next_event(struct control *c, struct rpc_cursor *at);

#endif
