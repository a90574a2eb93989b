/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_WORKER_STATE_H
#define SHILA_WORKER_STATE_H

#include "shila/base/ring.h"
#include "shila/core/inbound.h"
#include "shila/core/liveness_list.h"
#include "shila/core/replay_pace.h"
#include "shila/core/send_batch.h"
#include "shila/io/underlay.h"
#include "shila/worker/worker.h"

/*
 * What the files of this folder share; nobody else includes it. All of it is the worker thread's,
 * but for what says that it is control's.
 *
 *     outbound  tun read -> outbound_train: find flow, split, build headers -> underlay_send out.c
 *     inbound   tun writev <- inbound: merge, rebuild header, find flow      <- underlay_recv in.c
 */

#define TRAIN_ALIGN      6 /* so that the IP header behind the virtio_net_hdr is 16-byte aligned */
#define TRAIN_SLOT_BYTES (TRAIN_ALIGN + TRAIN_VNET_HDR_LEN + TRAIN_MAX_BYTES + 48)
#define TRAINS_BYTES     (16 * (size_t)TRAIN_SLOT_BYTES)
#define PIECES_BYTES     (2 * (size_t)TRAIN_MAX_BYTES)

enum order_type {
	ORDER_INSTALL = 1,
	ORDER_REMOVE,
	ORDER_SET_PATH,
	ORDER_ASKED_DONE,
	ORDER_OPEN,
	ORDER_HEARD,
	ORDER_TELL,
	ORDER_WRITE,
	ORDER_RETRY,
	ORDER_ARRIVED,
	ORDER_RESET,
	ORDER_QUIET,
	ORDER_STOP,
};

struct order {
	uint8_t type;
	uint8_t tun, side, epoch;
	uint8_t change; /* ORDER_SET_PATH: enum path_change */
	uint32_t slot;
	struct vnet_hdr vnet;
	struct flow_name theirs;
	struct tmpl *tmpl;
	union sock_addr from; /* ORDER_ARRIVED; its family is in @side, too */
	uint32_t len;
	_Alignas(16) uint8_t bytes[]; /* ORDER_INSTALL: struct flow; ORDER_WRITE, RETRY: a packet */
};

/* A train from the TUN queue of another worker. */
struct passed {
	struct vnet_hdr vnet;
	uint8_t tun, side;
	uint32_t len;
	_Alignas(16) uint8_t bytes[];
};

/* A queue of a TUN. */
struct worker_tun_port {
	uv_poll_t poll;
	struct worker *worker;
	struct worker_tun_port *first; /* a bulk lane: the quick one, which is to be empty when this one's are sent */
	int fd;
	uint8_t index, side;
	unsigned int batch;     /* trains to look for in one wake-up: 1 or TUN_BATCH */
	unsigned int singles;   /* wake-ups that looked for one */
	unsigned int datagrams; /* of the last wake-up */
};

struct worker {
	struct worker_config cfg;
	uv_loop_t loop;
	struct wake wake;
	uv_poll_t underlay;
	uv_timer_t frag_timer;
	struct liveness_list lives; /* paths that are waited for */
	uv_timer_t lives_timer;
	uint64_t lives_at_us; /* when that expires; UINT64_MAX: it does not */
	struct worker_tun_port ports[2 * WORKER_MAX_TUNS]; /* by TUN, and behind these the bulk lanes that there are */
	unsigned int num_ports;
	int send_fd; /* twin of underlay_fd, or that itself */
	pthread_t thread;
	bool running, loop_up, stopping;
	bool carried; /* something, since busy polling looked */
	struct replay replay;
	struct replay_pace replay_pace;
	uv_timer_t replay_timer;
	bool replays_fresh; /* flows were moved that have sent nothing again yet */
	struct flow_table table;
	struct inbound in;
	struct underlay_rx rx;
	bool few_buffers; /* of @rx are asked for: they came full the last time */
	struct ring up, down;
	struct ring passed[WORKER_MAX]; /* from each other worker */
	struct worker *others[WORKER_MAX];
	uint32_t passed_to; /* bits: others to be woken */
	atomic_bool quiet;
	bool up_fresh; /* something was put into @up since control was woken, */
	bool up_late;  /* or something that may wait for TELL_MS */
	uv_timer_t tell_timer;
	bool down_urgent;     /* control's: an order was put into @down that is no matter of
				 bookkeeping, */
	bool down_late;       /* or one that is, since the worker was woken */
	uint64_t orders_lost; /* control's: its own queue was full */
	struct admit admit;
	uint64_t verdicts[VERDICT_COUNT]; /* of the current batch */
	struct worker_stats stats;
	struct send_batch batch;
	uint8_t *trains; /* TRAINS_BYTES */
	uint8_t *pieces; /* PIECES_BYTES: datagrams of the batch that came as trains */
	size_t pieces_used;
};

/* worker.c */
void worker_look_at_clock(struct worker *w);
void worker_publish_verdicts(struct worker *w);

/* messages.c: to control */
struct up_msg *up_reserve(struct worker *w, enum up_type type, const struct flow *f,
			  uint32_t len); /* NULL: full */
void up_commit(struct worker *w);
void up_wake(struct worker *w);                         /* at the end of each wake-up */
void up_look_at_flow(struct worker *w, struct flow *f); /* after each train and segment */
enum verdict up_tun(struct worker *w, const struct train *t, const struct flow *f);
enum verdict up_underlay(struct worker *w, const uint8_t *p, size_t len,
			 const union sock_addr *from, const struct flow *f, enum verdict why);
void up_give_back(struct worker *w,
		  struct tmpl *t); /* a template that is no longer used; may be NULL */

/* out.c */
void out_on_tun(uv_poll_t *handle, int status, int events);
unsigned int out_train(struct worker *w, struct train *train, uint64_t now_ms);
void out_flush(void *ctx, struct send_batch *b);
void out_send_all(struct worker *w);
void out_wake_others(struct worker *w);

/* in.c */
void in_on_underlay(uv_poll_t *handle, int status, int events);
void in_take_all(struct worker *w); /* as much as may wait in the socket for once */
enum verdict in_write(void *ctx, uint8_t tun, struct iovec *iov, int n);

/* lives.c */
void lives_arm(struct worker *w);

/* replays.c */
/* replays_begin() - The flow was moved. @old: record of the path that it left, or NULL */
void replays_begin(struct worker *w, struct flow *f, const struct liveness *old, enum path_change change);
/* replays_tell() - The other side may not know yet that the flow was moved. */
void replays_tell(struct worker *w, struct flow *f);
/* replays_run() - After a batch of orders: what flows that were moved may send at once. */
void replays_run(struct worker *w);
/* replays_end() - The flow is gone. */
void replays_end(struct worker *w, uint32_t slot);
void replays_publish(struct worker *w);

/* carry_out.c */
bool orders_take(struct worker *w);
void orders_on_wake(struct wake *wake);

/* orders.c, for the control thread */
void order_insist(struct worker *w, enum order_type type); /* one that must not be lost */

#endif
