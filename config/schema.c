/* SPDX-License-Identifier: Apache-2.0 */
#include "config/schema.h"

#include <string.h>

/* The last part of the key is the name of the member, unless KEY_AS() says otherwise. */
#define KEY_AS(t, of, k, member, ...)                                                              \
	{                                                                                          \
		.key = k, .type = t, .at = offsetof(struct of, member), __VA_ARGS__                \
	}
#define TOP(t, member, ...)     KEY_AS(t, config, #member, member, __VA_ARGS__)
#define EGRESS(t, member, ...)  KEY_AS(t, config_egress, "egress." #member, member, __VA_ARGS__)
#define INGRESS(t, member, ...) KEY_AS(t, config_ingress, "ingress." #member, member, __VA_ARGS__)
#define ROUTE(t, member, ...)   KEY_AS(t, config_route, "routes." #member, member, __VA_ARGS__)
#define PATHS(t, member, ...)   KEY_AS(t, config_paths, "paths." #member, member, __VA_ARGS__)
/* A section without a struct of its own: its keys count from the one around it. */
#define GROUP(k, ...)                                                                              \
	{                                                                                          \
		.key = k, .type = CFG_MAP, __VA_ARGS__                                             \
	}
#define LIMIT(member, least, most, deflt, ...)                                                     \
	{                                                                                          \
		.key = "limits." #member, .type = CFG_U32,                                         \
		.at = offsetof(struct config_limits, member), .min = least, .max = most,           \
		.def = deflt, .help = __VA_ARGS__                                                  \
	}

/* Where a list keeps its values: an array in the struct, or with CFG_HEAP a pointer to one. */
#define MANY(of, count, member, most)                                                              \
	.count_at = offsetof(struct of, count), .max_count = most,                                 \
	.size = sizeof(((struct of *)0)->member[0])

/* In the order in which sections are read: `paths` before `routes`, which inherit it. */
const struct cfg_key cfg_keys[] = {
	TOP(CFG_U32, version, .flags = CFG_REQUIRED, .min = 1, .max = 1,
	    .help = "Version of this format."),

	GROUP("scion", .help = "The SCION network that this host is attached to."),
	TOP(CFG_SOCK, scion.daemon, .def = "127.0.0.1:30255",
	    .help = "gRPC address of the SCION daemon; $SCION_DAEMON goes before the default."),
	TOP(CFG_ADDR, scion.address, .flags = CFG_AUTO | CFG_LOOPBACK, .def = "auto",
	    .help = "Local underlay address; auto: what the kernel uses towards the border "
		    "router."),

	GROUP("contact", .help = "The SCION/UDP ports of this host."),
	TOP(CFG_PORT, contact.port, .def = "31654", .help = "Port where peers make contact."),
	KEY_AS(CFG_PORT, config, "contact.traffic", contact.traffic, .flags = CFG_LIST | CFG_AUTO,
	       MANY(config, contact.num_traffic, contact.traffic, CONFIG_MAX_WORKERS),
	       .def = "auto",
	       .help = "Ports of the workers, one each; auto: free ones, kept once chosen."),
	TOP(CFG_U32, contact.open_deadline_ms, .min = 100, .max = 60000, .def = "3000",
	    .help = "How long a new connection waits for the peer, in ms."),

	KEY_AS(CFG_MAP, config, "egress", egress, .flags = CFG_OPTIONAL | CFG_LIST,
	       MANY(config, num_egress, egress, CONFIG_MAX_EGRESS),
	       .help = "Namespaces for clients, one or a list. Without it this host has no "
		       "clients."),
	EGRESS(CFG_NETNS, namespace, .def = "shila-egress",
	       .help = "Network namespace, made and removed unless it is there already."),
	EGRESS(CFG_U32, interfaces, .min = 1, .max = CONFIG_MAX_INTERFACES, .def = "3",
	       .help = "TUN devices, one subflow each."),
	EGRESS(CFG_PATH_MANAGER, path_manager, .def = "auto",
	       .help = "Who makes and repairs subflows: shila (own), or the kernel."),
	EGRESS(CFG_PREFIX, addresses, .flags = CFG_LIST,
	       MANY(config_egress, num_addresses, addresses, CONFIG_MAX_PREFIXES),
	       .def = "10.7.1.0/24", .help = "Every TUN gets one address out of each prefix."),

	TOP(CFG_MAP, ingress, .flags = CFG_OPTIONAL,
	    .help = "The namespace for servers. Without it this host serves nobody."),
	INGRESS(CFG_NETNS, namespace, .def = "shila-ingress",
		.help = "Network namespace, made and removed unless it is there already."),
	KEY_AS(CFG_ADDR, config_ingress, "ingress.address", addresses, .flags = CFG_LIST,
	       MANY(config_ingress, num_addresses, addresses, CONFIG_MAX_PREFIXES),
	       .def = "10.70.0.9", .help = "Where servers listen, at most one address a family."),
	INGRESS(CFG_PREFIX, pool, .flags = CFG_LIST,
		MANY(config_ingress, num_pool, pool, CONFIG_MAX_PREFIXES), .def = "10.64.0.0/16",
		.help = "How remote clients appear to servers."),
	INGRESS(CFG_ALLOW, allow, .flags = CFG_LIST | CFG_HEAP,
		MANY(config_ingress, num_allow, allow, CONFIG_MAX_ALLOW),
		.help = "Who may connect; none: the peers named in routes."),
	INGRESS(CFG_SERVE, serve, .flags = CFG_LIST | CFG_HEAP | CFG_MAY_BE_EMPTY,
		MANY(config_ingress, num_serve, serve, CONFIG_MAX_SERVE),
		.def = "tcp/*, udp/*, icmp", .help = "What peers may reach."),

	TOP(CFG_MAP, paths, .help = "How paths are chosen."),
	PATHS(CFG_METRIC, metric, .def = "latency",
	      .help = "What is better among equally disjoint paths."),
	PATHS(CFG_U32, share, .min = 1, .max = CONFIG_MAX_INTERFACES, .def = "1",
	      .help = "Subflows of one connection that may use the same link."),
	PATHS(CFG_POLICY, policy, .flags = CFG_LIST,
	      MANY(config_paths, num_policy, policy, CONFIG_MAX_POLICY),
	      .help = "Access control list in SCION's notation; none: every path."),
	PATHS(CFG_BOOL, replay, .def = "on",
	      .help = "Send again on the new path what was not acknowledged on the old one."),

	TOP(CFG_MAP, routes, .flags = CFG_OPTIONAL | CFG_LIST | CFG_HEAP,
	    MANY(config, num_routes, routes, CONFIG_MAX_ROUTES),
	    .help = "Which destinations are behind which peers."),
	ROUTE(CFG_PREFIX, to, .flags = CFG_REQUIRED | CFG_REMOTE,
	      .help = "What applications connect to; the longest prefix wins."),
	ROUTE(CFG_VIA, via, .flags = CFG_REQUIRED | CFG_LIST,
	      MANY(config_route, num_via, via, CONFIG_MAX_VIA),
	      .help = "SCION addresses of the peer, in order of preference."),
	ROUTE(CFG_ADDR, as, .help = "Destination at the server; none: its ingress address."),
	ROUTE(CFG_MODE, mode, .def = "forward",
	      .help = "Whether shila carries the main flow too (forward) or the subflows only "
		      "(join)."),
	ROUTE(CFG_U32, subflows, .flags = CFG_AUTO, .min = 1, .max = CONFIG_MAX_INTERFACES,
	      .def = "auto", .help = "TCP subflows of a connection; auto: one per interface."),
	ROUTE(CFG_BOOL, backup, .def = "off",
	      .help = "Subflows carry data only while the main flow cannot."),
	ROUTE(CFG_MAP, paths, .flags = CFG_INHERIT, .like = "paths",
	      .help = "Keys of paths that differ for this route."),

	KEY_AS(CFG_U32, config, "workers", workers, .flags = CFG_AUTO, .min = 1,
	       .max = CONFIG_MAX_WORKERS, .def = "auto",
	       .help = "Data-plane threads; auto: one per contact.traffic port, else per CPU."),

	TOP(CFG_STEERING, steering, .def = "auto",
	    .help = "How what programs send gets to its worker: by a BPF program, or through rings."),

	TOP(CFG_U32, busy_poll_us, .min = 0, .max = 10000, .def = "0",
	    .help = "How long a worker looks for more before it sleeps, in us; needs more CPUs than workers."),

	TOP(CFG_MAP, limits, .help = "What one daemon holds at most."),
	LIMIT(flows, 16, 1048575, "65536", "Flows of one worker."),
	LIMIT(flows_per_peer, 1, 1048575, "16384", "Flows with one peer."),
	LIMIT(half_open_per_peer, 1, 1048575, "1024", "Flows with one peer that are not yet open."),
	LIMIT(opens_per_second_per_peer, 1, 1000000, "2000",
	      "New flows from one peer in a second."),
	LIMIT(pool_addresses_per_peer, 1, 1048576, "4096",
	      "Pool addresses that the clients of one peer use."),
	LIMIT(flows_per_as, 1, 8388600, "32768", "Flows with all hosts of one AS."),
	LIMIT(half_open_per_as, 1, 8388600, "2048",
	      "Flows with all hosts of one AS that are not yet open."),
	LIMIT(opens_per_second_per_as, 1, 1000000, "4000",
	      "New flows from all hosts of one AS in a second."),
	LIMIT(pool_addresses_per_as, 1, 1048576, "16384",
	      "Pool addresses that the clients of all hosts of one AS use."),
	LIMIT(peers_per_as, 1, 65536, "768", "Hosts of one AS with flows."),
	LIMIT(linger_s, 1, 3600, "60", "Seconds for which a connection that ended is still known."),
	LIMIT(park_after_s, 1, 86400, "300",
	      "Seconds without traffic after which a TCP connection has no path until it is used."),
	LIMIT(frames_per_second_peers, 10, 1000000, "2000",
	      "Frames, and as many OPENs, that one port takes in a second from hosts in routes or allow."),
	LIMIT(frames_per_second_as, 0, 1000000, "1000",
	      "The same from other hosts of the ASes in allow."),
	LIMIT(frames_per_second_strangers, 0, 1000000, "100",
	      "The same from all others, who only get refusals."),
	LIMIT(scmp_per_second, 10, 1000000, "1000", "SCMP messages that one port takes in a second."),
	LIMIT(control_queue, 16, 65536, "1024",
	      "Packets of one worker that wait for the control thread."),
	LIMIT(held_syns, 1, 65536, "1024", "SYNs that wait for a path or a peer."),
	LIMIT(subflows_per_second, 1, 100000, "2000",
	      "Subflows that shila's path manager creates in a second."),
	LIMIT(peers, 1, 65536, "1024", "Peers."),
	LIMIT(paths_per_as, 1, 512, "512", "Paths kept to one AS."),
	LIMIT(kept_paths, 16, 65536, "4096", "Paths in the state file, for a restart."),
	LIMIT(replay_kib_per_flow, 128, 16384, "1024",
	      "KiB that one connection sent, kept until acknowledged: see paths.replay."),
	LIMIT(replay_mib_per_worker, 2, 2048, "64", "The same of all connections of a worker, MiB."),
	LIMIT(control_clients, 1, 256, "32", "Programs connected to the control socket."),

	TOP(CFG_FILE, state, .def = "/run/shila", .help = "Directory of the state file."),
	TOP(CFG_FILE, control, .def = "/run/shila/shilad.sock", .help = "Control socket."),
};

const size_t cfg_num_keys = sizeof(cfg_keys) / sizeof(cfg_keys[0]);

_Static_assert(sizeof(((struct config *)0)->state) == CFG_FILE_LEN &&
		       sizeof(((struct config *)0)->control) == CFG_FILE_LEN,
	       "CFG_FILE fits its members");
_Static_assert(sizeof(enum config_metric) == sizeof(int) && sizeof(enum config_mode) == sizeof(int) &&
		       sizeof(enum config_steering) == sizeof(int) &&
		       sizeof(enum config_path_manager) == sizeof(int),
	       "enums are stored as int");

const char *cfg_name(const struct cfg_key *k)
{
	const char *dot = strrchr(k->key, '.');

	return dot ? dot + 1 : k->key;
}

bool cfg_in_section(const struct cfg_key *k, const char *section)
{
	size_t len = strlen(section);
	const char *name = cfg_name(k);

	if (!len)
		return name == k->key;
	return name == k->key + len + 1 && !strncmp(k->key, section, len);
}
