/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_WORKER_WORKER_H
#define SHILA_WORKER_WORKER_H

#include "shila/base/train.h"
#include "shila/base/verdict.h"
#include "shila/core/admit.h"
#include "shila/core/flow.h"
#include "shila/io/wake.h"

#include <stdatomic.h>
#include <uv.h>

/*
 * One data-plane thread: carries the flows that the control thread installed, and hands everything
 * else to it. Both talk through two bounded queues; nothing mutable is shared but counters.
 */

#define WORKER_MAX_TUNS 72
#define WORKER_MAX	8

/* ---- worker to control ---- */

enum up_type {
	UP_TUN = 1,  /* a packet from a TUN that no open flow took */
	UP_UNDERLAY, /* a datagram that is not the daily bread of an open flow */
	UP_FLOW,     /* what a flow saw */
	UP_SUSPECT,  /* the path of a flow does not answer: @saw is the epoch of the flow on it */
	UP_TMPL,     /* a template that is no longer used, to be put: @bytes is the pointer */
};

struct up_msg {
	uint8_t type;
	uint8_t tun;	     /* UP_TUN */
	uint8_t side;	     /* UP_TUN */
	uint8_t saw;	     /* UP_FLOW: FLOW_SAW_* */
	uint8_t verdict;     /* UP_UNDERLAY: VERDICT_CONTROL, VERDICT_PARKED or VERDICT_FRAME_UNKNOWN_FLOW */
	struct flow_name flow; /* flow it belongs to, id 0: none; may be gone by now */
	uint32_t len;	     /* of @bytes */
	struct vnet_hdr vnet; /* UP_TUN */
	union sock_addr from; /* UP_UNDERLAY */
	_Alignas(8) uint8_t bytes[];
};

/* worker_up_tmpl() - The template of UP_TMPL; its reference goes to the caller. */
struct tmpl *worker_up_tmpl(const struct up_msg *m);

/* ---- set-up ---- */

struct worker_config {
	unsigned int index;
	struct scion_addr local;
	uint16_t port;		/* own SCION/UDP port */
	int underlay_fd;	/* borrowed, open as long as the worker */
	unsigned int num_tuns;
	struct worker_tun {
		int fd; /* a queue of the device, borrowed */
		int bulk_fd; /* that of its second lane (bpf/lane.h), borrowed; -1: there is none */
		uint8_t side;
	} tuns[WORKER_MAX_TUNS];
	uint32_t max_flows;
	uint32_t queue_bytes;	/* of each queue */
	bool datagram_trains;	/* the TUNs take VNET_GSO_UDP */
	uint32_t busy_poll_us;	/* looks for more so long before it sleeps; 0: sleeps at once */
	unsigned int num_rings; /* workers that pass trains on to each other; 0: each gets its own */
	uint64_t hash_seed;
	uint32_t replay_flow_bytes, replay_bytes; /* kept of a flow, of all, until it is acknowledged; 0: nothing is */
	const struct admit_set *peers; /* whose frames control takes, at which rates; borrowed; NULL: all */
	struct admit_rates rates;
	struct wake *control;	/* wakes the control thread */
};

/* Counters of a worker: one writer, read by anybody. */
struct worker_stats {
	atomic_uint_fast64_t verdicts[VERDICT_COUNT];
	atomic_uint_fast64_t tun_reads, tun_writes, underlay_sends, underlay_receives; /* system calls */
	atomic_uint_fast64_t underlay_messages; /* in underlay_sends */
	atomic_uint_fast64_t trains_out, trains_in, segments_in;
	atomic_uint_fast64_t trains_passed; /* to other workers */
	atomic_uint_fast64_t acks_spared;   /* outbound, not sent because another one of the batch says the same */
	atomic_uint_fast64_t alives, suspects; /* ALIVEs sent for want of other frames; paths that did not answer */
	atomic_uint_fast64_t alive_bytes; /* of those ALIVEs, underlay IP packets */
	atomic_uint_fast64_t replays;	    /* flows whose trains, if any, were sent again because their path died */
	atomic_uint_fast64_t replayed_trains, replayed_bytes; /* of packets */
	atomic_uint_fast64_t replayed_acks; /* bare ones that told of a move */
	atomic_uint_fast64_t replay_used, replay_worst; /* bytes of blocks, now and at most */
	atomic_uint_fast64_t replay_lost_to_flow, replay_lost_to_worker; /* trains that the limits left no room for */
	atomic_uint_fast64_t acks_merged;   /* inbound, not written because a later one followed */
};

struct worker;

int worker_new(const struct worker_config *cfg, struct worker **out);
/* worker_adopt() - Take a flow of an earlier daemon, before worker_start(). Takes f->tmpl. */
void worker_adopt(struct worker *w, uint32_t slot, const struct flow *f);
/* worker_connect() - With num_rings: who the others are, all of them, before any is started. */
void worker_connect(struct worker *const *all, unsigned int n);
int worker_start(struct worker *w); /* starts the thread; 0 or -errno */
/* workers_quiet() - None passes anything on to another from then on: before the first is freed. */
void workers_quiet(struct worker *const *all, unsigned int n);
void worker_free(struct worker *w); /* stops and joins the thread if it runs */

/* ---- for the control thread ---- */

/* worker_next() - Oldest message of the worker or NULL; valid until worker_done(). */
const struct up_msg *worker_next(struct worker *w);
void worker_done(struct worker *w);

/*
 * Orders to the worker, carried out in the order given. All return 0, or -ENOBUFS if its queue is full;
 * worker_kick() wakes it once a batch of orders is complete, if there is one that does not have time until its next
 * packet: it carries all out before it looks at that. True: others are left, for worker_flush() before long.
 */
int worker_install(struct worker *w, uint32_t slot, const struct flow *f); /* takes f->tmpl on success */
int worker_remove(struct worker *w, uint32_t slot); /* the slot may be installed again at once */

/* Why a flow gets another template. */
enum path_change {
	PATH_RENEWED, /* the same path, or none was used before */
	PATH_MOVED,   /* another path, though the old one lives */
	PATH_FOLLOWED, /* another path, by the peer; what was sent on the old one is sent again if the worker finds that it was silent */
	PATH_LOST,    /* another path, since what was sent on the old one of late may be lost */
	PATH_BACK,    /* the same path, which was dead and is alive again; what was sent meanwhile is lost */
};

/* worker_set_path() - Takes @t on success; NULL: no path. */
int worker_set_path(struct worker *w, uint32_t slot, struct tmpl *t, uint8_t epoch, enum path_change change);
int worker_asked_done(struct worker *w, uint32_t slot); /* a move that control refused */
int worker_open_flow(struct worker *w, uint32_t slot, const struct flow_name *theirs); /* no longer slow */
int worker_heard(struct worker *w, uint32_t slot); /* its client is real */
int worker_tell(struct worker *w, uint32_t slot); /* its last bare ACK, if one is kept, is sent again: it was moved */
int worker_write(struct worker *w, uint8_t tun, const struct vnet_hdr *vnet, const void *pkt, uint32_t len);
/* worker_retry() - Treat a packet as if it had just been read from that TUN. */
int worker_retry(struct worker *w, uint8_t tun, uint8_t side, const struct vnet_hdr *vnet,
		 const void *pkt, uint32_t len);
/* worker_arrived() - Treat a SCION packet as if it had just come from @from. */
int worker_arrived(struct worker *w, const union sock_addr *from, const void *pkt, uint32_t len);
int worker_reset_local(struct worker *w, uint32_t slot); /* RST into the local TUN */
bool worker_kick(struct worker *w);
void worker_flush(struct worker *w); /* wakes it also for orders that have time until its next packet */

/* worker_flow() - The flow in a slot, for reading its stats only. */
const struct flow_stats *worker_flow_stats(const struct worker *w, uint32_t slot);
uint8_t worker_flow_rx_epoch(const struct worker *w, uint32_t slot); /* of the newest frame */
uint64_t worker_orders_lost(const struct worker *w); /* orders that found the queue full */
const struct worker_stats *worker_get_stats(const struct worker *w);

#endif
