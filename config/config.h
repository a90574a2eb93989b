/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CONFIG_CONFIG_H
#define SHILA_CONFIG_CONFIG_H

#include "shila/base/ip_addr.h"
#include "shila/wire/scion_addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The checked configuration of one daemon; const once loaded. Lists are counted arrays. */

#define CONFIG_MAX_EGRESS     8
#define CONFIG_MAX_INTERFACES 8
#define CONFIG_MAX_PREFIXES   8
#define CONFIG_MAX_ALLOW      1024
#define CONFIG_MAX_SERVE      256
#define CONFIG_MAX_ROUTES     4096
#define CONFIG_MAX_VIA	      8
#define CONFIG_MAX_POLICY     64
#define CONFIG_MAX_WORKERS    8
#define CONFIG_NAME_LEN	      64

/* Who decides about the subflows of connections; auto: we do, in namespaces that we made. */
enum config_path_manager { PATH_MANAGER_AUTO, PATH_MANAGER_OWN, PATH_MANAGER_KERNEL };

struct config_egress {
	char namespace[CONFIG_NAME_LEN]; /* "": host mode */
	char device[12];		 /* prefix of the TUN names: shila-e, shila-f for the second, ... */
	uint32_t interfaces;		 /* TUNs, 1..8 */
	enum config_path_manager path_manager;
	size_t num_addresses;
	struct ip_prefix addresses[CONFIG_MAX_PREFIXES]; /* TUN i has host address i + 1 of each */
};

struct config_allow {
	struct isd_as ia;
	struct ip_addr host; /* len 0: every host of the AS */
};

struct config_serve {
	uint8_t proto; /* 6, 17; 1: icmp (both families) */
	uint16_t port_min, port_max; /* 0..65535: PROTO/ * */
	struct ip_addr address; /* len 0: every ingress address */
};

struct config_ingress {
	bool enabled; /* the file has the section, if only as `ingress: {}` */
	char namespace[CONFIG_NAME_LEN];
	char device[12]; /* shila-i */
	size_t num_addresses;
	struct ip_addr addresses[CONFIG_MAX_PREFIXES]; /* at most one a family */
	size_t num_pool;
	struct ip_prefix pool[CONFIG_MAX_PREFIXES];
	size_t num_allow;
	struct config_allow *allow; /* config_peer_allowed() knows what none means */
	size_t num_serve;
	struct config_serve *serve;
};

enum config_metric { METRIC_LATENCY, METRIC_HOPS, METRIC_MTU, METRIC_BANDWIDTH };

struct config_paths {
	enum config_metric metric;
	uint32_t share; /* subflows of one connection that may use one link, 1.. */
	bool replay;
	size_t num_policy;
	char *policy[CONFIG_MAX_POLICY]; /* ACL entries in SCION's notation, checked */
};

/* How a train gets to the worker of its ports. */
enum config_steering { STEERING_AUTO, STEERING_PROGRAM, STEERING_RINGS };

enum config_mode { MODE_FORWARD, MODE_JOIN };

struct config_route {
	struct ip_prefix to;
	size_t num_via;
	struct scion_endpoint via[CONFIG_MAX_VIA]; /* port filled with the default contact port */
	struct ip_addr as;    /* destination at the server; len 0: its ingress address */
	enum config_mode mode;
	uint32_t subflows;    /* 0: as many as the egress has interfaces */
	bool backup;
	struct config_paths paths; /* those of the file's `paths`, overridden */
	int line;	      /* where it stands, for messages */
};

/* Every limit has a name, a default and a place in `shila status`. */
struct config_limits {
	uint32_t flows;		     /* installed flows of one worker */
	uint32_t flows_per_peer;
	uint32_t half_open_per_peer; /* OPENs without a third ACK */
	uint32_t opens_per_second_per_peer;
	uint32_t pool_addresses_per_peer;
	uint32_t flows_per_as;	     /* the same for all hosts of an ISD-AS together */
	uint32_t half_open_per_as;
	uint32_t opens_per_second_per_as;
	uint32_t pool_addresses_per_as;
	uint32_t peers_per_as;	     /* hosts with flows */
	uint32_t linger_s;	     /* how long the name of a flow that ended is kept */
	uint32_t park_after_s;	     /* a TCP flow without traffic gives up its path */
	uint32_t frames_per_second_peers; /* and three more: of one port */
	uint32_t frames_per_second_as;
	uint32_t frames_per_second_strangers;
	uint32_t scmp_per_second;
	uint32_t control_queue;	     /* packets that wait for the control thread, a worker */
	uint32_t held_syns;	     /* SYNs held while a path is looked up */
	uint32_t subflows_per_second; /* created by our path manager */
	uint32_t peers;
	uint32_t paths_per_as;
	uint32_t kept_paths;
	uint32_t replay_kib_per_flow;	/* sent and not acknowledged, kept to be sent again */
	uint32_t replay_mib_per_worker;
	uint32_t control_clients;    /* connections to the control socket */
};

struct config {
	uint32_t version;
	struct {
		union sock_addr daemon;
		struct ip_addr address; /* len 0: auto */
	} scion;
	struct {
		uint16_t port;
		size_t num_traffic; /* 0: auto */
		uint16_t traffic[CONFIG_MAX_WORKERS];
		uint32_t open_deadline_ms;
	} contact;
	size_t num_egress;
	struct config_egress egress[CONFIG_MAX_EGRESS];
	struct config_ingress ingress;
	size_t num_routes;
	struct config_route *routes; /* in the order of the file */
	struct config_paths paths;
	uint32_t workers; /* 0: auto; never with contact.traffic, which has one port each */
	enum config_steering steering;
	uint32_t busy_poll_us; /* 0: off */
	struct config_limits limits;
	char state[108];   /* directory */
	char control[108]; /* socket; fits sun_path */
};

/* One complaint about a file; line and column from 1. */
struct config_message {
	int line, column;
	bool warning;
	char text[256]; /* "egress.interfaces: 40 is above 8" */
};

struct config_messages {
	size_t count;
	struct config_message *list;
};

/**
 * config_parse() - YAML text to a checked configuration. Opens and resolves nothing.
 * @env_daemon: value of $SCION_DAEMON or NULL
 * @out:  on success to be freed with config_free(); untouched on failure
 * @msgs: all errors and warnings, in file order; config_messages_free() also after failure
 * Return: 0, -EINVAL if there is any error, -ENOMEM.
 */
int config_parse(const char *text, size_t len, const char *env_daemon, struct config **out,
		 struct config_messages *msgs);

/* config_load() - The same for a file; -errno if it cannot be read. */
int config_load(const char *file, const char *env_daemon, struct config **out, struct config_messages *msgs);

/* config_messages_print() - "file:line:column: key: reason", one a line. */
void config_messages_print(const struct config_messages *msgs, const char *file, FILE *to);
void config_messages_free(struct config_messages *msgs);
void config_free(struct config *cfg);

/* config_route_find() - Longest prefix that contains @dst; of equal ones the first. NULL if none. */
const struct config_route *config_route_find(const struct config *cfg, const struct ip_addr *dst);

/* config_peer_allowed() - Whether @peer may connect; without `allow` the peers named in routes may. */
bool config_peer_allowed(const struct config *cfg, const struct scion_addr *peer);

/**
 * config_port_served() - Whether peers may reach @port of @address.
 * @proto: IP protocol, ICMPv6 counts as ICMP; @port is ignored for these
 * @address: local destination; entries without one mean the ingress addresses
 */
bool config_port_served(const struct config *cfg, uint8_t proto, uint16_t port, const struct ip_addr *address);
/* config_proto_served() - Whether they may reach any port there. */
bool config_proto_served(const struct config *cfg, uint8_t proto, const struct ip_addr *address);

#endif
