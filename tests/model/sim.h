/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_MODEL_SIM_H
#define TESTS_MODEL_SIM_H

/*
 * Two ends of shila in one process and one thread, as they are, in a world that is made up: time, event
 * loop, threads, random numbers, sockets, TUN devices and paths are replaced when the program is linked.
 *
 *     sim_uv.c    time, loops and threads; random numbers
 *     sim_net.c   sockets and TUNs; the network between the ends and what it does to datagrams
 *     sim_path.c  paths: their bytes, their state, the path source
 *     watch.c     what may be on the wire: who owes whom which answer
 *     sim_tcp.c   the kernels' TCP at both ends
 *     sim_udp.c   and UDP
 *     ends.c      making and removing ends; what must be zero when all is over
 *     plan.c      schedules: what happens when
 *     explore.c   running them, and what must have come of it
 */

#include "shila/control/control.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { LEFT, RIGHT, NUM_ENDS };

/* ---- time, loops, chance (sim_uv.c) ---- */

#define MS 1000ull    /* in µs */
#define SEC 1000000ull

extern uint64_t sim_now_us;
extern int sim_end;	      /* whose code runs: LEFT, RIGHT; -1: the world's */
extern uint32_t sim_lag_us; /* a thread wakes up to this late */

struct rng {
	uint64_t s;
};

extern struct rng sim_rng;     /* decisions of the schedule */
extern struct rng product_rng; /* what getrandom() gives */

uint64_t rng_next(struct rng *r);
uint32_t rng_below(struct rng *r, uint32_t n); /* 0..n-1 */
bool rng_permille(struct rng *r, uint32_t p);

uv_loop_t *sim_world(void); /* the loop of what is not shila */
/* A loop that belongs to an end from now on. */
void sim_loop_init(uv_loop_t *loop, int end);
/* Runs what is due until @until_us, or until @done says so. */
void sim_run(uint64_t until_us, bool (*done)(void));
/* A timer of the world, in µs. */
void sim_timer_us(uv_timer_t *t, uv_timer_cb cb, uint64_t us);
void sim_timer_fini(uv_timer_t *t); /* at once; its memory may be freed */
void sim_jump(uint64_t us); /* nothing runs meanwhile: as if the machine had slept */
void sim_readable(int fd);  /* something lies in the queue of a descriptor */

/* ---- failures and trace (explore.c) ---- */

extern bool sim_failed, sim_verbose;

void sim_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void sim_trace_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define sim_trace(...)                                                                             \
	do {                                                                                       \
		if (sim_verbose)                                                                   \
			sim_trace_line(__VA_ARGS__);                                               \
	} while (0)

/* ---- the network (sim_net.c, sim_path.c) ---- */

#define NUM_PATHS 4
#define PATH_MTU  1472

struct fate { /* of one datagram */
	unsigned int copies;
	uint64_t delay_us[2];
};

struct net {
	uint32_t loss, dup, late; /* permille */
	uint64_t jitter_us, late_us;
	/* The first so many frames of a type are lost or late, whatever else: [type] */
	uint8_t drop_first[16], delay_first[16];
	bool fair; /* nothing is lost any more */
	/* decides about frames of flows instead of all that is above */
	bool (*decide)(int from, uint8_t type, struct fate *fate);
};

struct sim_path {
	bool down[NUM_ENDS]; /* in that direction: from that end */
	uint64_t delay_us;
	uint32_t timestamp;  /* of its info field: changes when it is renewed */
	uint32_t expired_before; /* bytes with an older one are refused */
	uint16_t seg_id;
	uint16_t mtu;
	bool tells;	     /* routers say so when it is down */
};

extern struct net net;
extern struct sim_path sim_paths[NUM_PATHS];

extern const struct scion_addr *sim_addr(int end);
void sim_path_keep_down(int path); /* net_reset() leaves it so; -1: none */
void net_reset(void); /* fair, all paths up */
void net_forget(void); /* what is under way is lost */
unsigned int net_in_flight(void);
bool sim_net_alive(int end); /* false: what it sends goes nowhere */
void sim_net_set_alive(int end, bool alive);

int sim_socket(int end, uint16_t port);
int sim_tun(int end, uint8_t tun, unsigned int worker);
void sim_close_all(int end);
/* A packet of the kernel for the queue of a TUN. */
void sim_tun_give(int end, uint8_t tun, unsigned int worker, const struct vnet_hdr *vnet, const uint8_t *pkt,
		  size_t len);

/* Which path a raw path is, and which end it starts from. -1: none. */
int sim_path_find(const uint8_t *raw, size_t len, int *from);
void sim_paths_reset(void);
void sim_path_renew(int path);
void sim_path_expire(int path); /* the bytes that are out there are refused from now on */
bool sim_path_expired(const uint8_t *raw, size_t len, int path);

struct path_source;
enum source_mood { SOURCE_FINE, SOURCE_SLOW, SOURCE_FAILS, SOURCE_NONE };
extern enum source_mood sim_source_mood[NUM_ENDS];
struct path_source *sim_source(int end);
void sim_source_cancel(int end); /* answers that are under way */

/* ---- what may be on the wire (watch.c) ---- */

struct watch_counts {
	uint64_t sent[16], got[16]; /* by frame type */
};

extern struct watch_counts watch_counts[NUM_ENDS], watch_total; /* of the ends that are; of those that were */

void watch_sent(int end, const struct scion_pkt *pkt, const struct scion_udp *udp);
void watch_got(int end, const struct scion_pkt *pkt, const struct scion_udp *udp); /* read by the daemon */
void watch_reset(int end); /* the end lost its state */
const char *watch_type(uint8_t type);

/* ---- kernels and programs (sim_tcp.c, sim_udp.c) ---- */

enum conn_kind { CONN_PLAIN, CONN_MAIN, CONN_JOIN, CONN_UDP };
enum outcome { RUNNING, FINISHED, REFUSED, RESET };

/* A connection that a program is to make: what is planned, and what came of it. */
struct conn_plan {
	unsigned int id;
	int client;	    /* end */
	enum conn_kind kind;
	uint8_t tun;	    /* of the client, from 1 */
	uint16_t client_port, server_port;
	uint64_t start_us;
	struct conn_plan *main; /* of a join: starts @start_us behind it is open */
	struct conn_plan *after; /* starts @start_us after that one is over: the same ports again */
	uint32_t bytes[2];  /* from client, from server */
	uint16_t segment;
	uint64_t accept_us; /* how long the server's kernel takes for its SYN/ACK */
	uint64_t speak_us[2]; /* silence before the first byte */
	bool closes[2];	    /* closes by itself when all is sent, else when the other side has closed */
	bool abort;	    /* the client resets instead of closing */
	bool closed_port, surplus;
	/* what came of it */
	enum outcome outcome;
	bool started, was_open, icmp;
	bool lost_state; /* an end forgot it: it may be reset, and its SYN offered once more */
	uint64_t started_us, over_us, opened_us;
	uint8_t key[8];	    /* MPTCP, of the server */
	struct tcp_end *ends[2]; /* client, server */
	uint32_t synacks;
	unsigned int udp_next, udp_count; /* datagrams answered, to be answered */
	uv_timer_t timer;
};

#define MAX_CONNS 16

extern struct conn_plan conns[MAX_CONNS];
extern unsigned int num_conns;

void tcp_reset_all(void); /* forgets all connections */
void tcp_start(struct conn_plan *p);
bool tcp_stranded(const struct conn_plan *p);
bool conns_over(void); /* each client has finished or given up */
/* Programs end: what is still open is reset. Return: how many there were. */
unsigned int tcp_abort_rest(void);
/* A packet that shila wrote into a TUN. */
void kernel_packet(int end, uint8_t tun, const struct vnet_hdr *vnet, uint8_t *pkt, size_t len);
void udp_packet(int end, const uint8_t *pkt, const struct ip_pkt *ip);
void udp_start(struct conn_plan *p);
uint8_t conn_byte(const struct conn_plan *p, int from_server, uint32_t at);
void kernel_send(int end, uint8_t tun, const struct vnet_hdr *vnet, const uint8_t *pkt, size_t len);
struct ip_addr kernel_client_addr(int end, uint8_t tun);
struct ip_addr kernel_target(int end); /* what clients of @end connect to */

/* ---- ends (ends.c) ---- */

struct end {
	struct config *cfg;
	struct control *c;
	uv_loop_t loop;
	struct control_setup s;
	int fds[4][CONFIG_MAX_WORKERS];
	unsigned int workers;
	uint64_t boots, ports;
};

extern struct end ends[NUM_ENDS];

struct end_params {
	unsigned int workers[NUM_ENDS];
	unsigned int queue; /* limits.control_queue */
};

void ends_up(const struct end_params *p);
void ends_down(void);
void end_crash(int end);   /* gone, with all it knew; nothing is said */
void end_stop(int end);	   /* as by SIGINT: CLOSE for every flow */
void end_start(int end);
/* Nothing is left of what was: tells what is. @tcp_only: DATAGRAM flows may still be idle. */
bool ends_clean(char *why, size_t len);
void ends_agree(void);
unsigned int ends_flows(void);


#endif
