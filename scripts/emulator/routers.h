/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_EMULATOR_ROUTERS_H
#define SHILA_EMULATOR_ROUTERS_H

#include "scripts/emulator/loop.h"
#include "scripts/emulator/network.h"
#include "scripts/emulator/router.h"

#include <stdio.h>

/*
 * The routers of a lab in one process: one per AS, each with its sockets in the namespace of its AS. What they do with
 * packets is in router.h. Links between them may be in the process as well (network.h); then only hosts are behind
 * sockets, and a train crosses all ASes with one call to receive it and one to send it.
 */

#define ROUTERS_MAX 64

/* What routers of one link tell each other of it, and when it counts as dead (as real ones in the lab). */
#define HELLO_INTERVAL_MS 100
#define HELLO_TIMEOUT_MS  300

enum hello_state { HELLO_DOWN = 1, HELLO_INIT, HELLO_UP }; /* as in BFD (RFC 5880) */

struct node;

/* An interface, or (id 0) the internal address. */
struct gate {
	struct loop_source source; /* its socket; fd -1: closed, or never one */
	struct node *node;
	struct network_end *end; /* an end of a link in this process, in place of the socket */
	uint16_t id;
	union sock_addr local, remote; /* remote: interfaces only */
	struct isd_as neighbour;
	bool bfd;
	enum hello_state hello;
	int64_t heard_ms; /* the last hello, monotonic */
	union sock_addr from; /* of the train that is being handled */
	uint64_t rx_packets, tx_packets, tx_bytes, tx_failed;
};

struct node {
	struct routers *routers;
	struct router router;
	struct hop_key *key;
	const char *netns;
	bool open;
	unsigned int num_gates; /* the internal one first */
	struct gate gates[ROUTER_MAX_INTERFACES + 1];
	uint64_t drops[ROUTER_NUM_DROPS], answers;
};

struct routers {
	struct loop *loop;
	struct parcel_pool *pool;
	int home; /* the network namespace that the process was started in */
	unsigned int num;
	struct node *nodes[ROUTERS_MAX];
};

/**
 * node_load() - Read topology.json and keys/master0.key of an AS, as its border router does.
 * @netns: path or name below /run/netns; kept
 * Return: NULL after an error message.
 */
struct node *node_load(const char *netns, const char *dir);
void node_free(struct node *n);

/**
 * node_open() - Open the sockets in the namespace of the AS.
 * Return: 0, or a negative errno after an error message.
 */
int node_open(struct routers *rs, struct node *n);
void node_close(struct node *n); /* as if the router had ended */

/* routers_attach() - struct network_inside's attach, of a struct routers. */
int routers_attach(void *ctx, const json_t *config, struct network_end *end);

/* gate_send() - To the other end of the link, or, of the internal address, @to. Return: whether it was taken. */
bool gate_send(struct gate *p, const union sock_addr *to, const uint8_t *data, size_t len, size_t seg_len);

/* routers_hello() - Every HELLO_INTERVAL_MS / 2: say that we are there, and see who is not. */
void routers_hello(struct routers *rs, int64_t now_ms, bool send);
/* gate_take_hello() - If the last packet of a train is a hello, take note of it. Return: its length, 0 if it is none. */
size_t gate_take_hello(struct gate *p, const uint8_t *train, size_t len, size_t seg_len);
struct router_interface *gate_interface(struct gate *p); /* not of the internal one */

/**
 * routers_command() - One line of the control socket, as scripts/lab sends it.
 * @f: where the answer, JSON, goes
 */
void routers_command(struct routers *rs, char *line, FILE *f);

#endif
