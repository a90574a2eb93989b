/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_BASE_VERDICT_H
#define SHILA_BASE_VERDICT_H

#include <stdint.h>

/*
 * What becomes of a packet. Every drop has a name (a counter, shown by `shila status --drops`) and a
 * sentence that says what it means.
 */
#define VERDICTS(X)                                                                                \
	X(PASS, "pass", "carried")                                                                 \
	X(PARKED, "parked", "handed to the control thread: its flow has no path now")              \
	X(CONTROL, "control", "handed to the control thread")                                      \
	X(CONTROL_FULL, "drop.control_full", "the queue to the control thread was full")           \
	X(RING_FULL, "drop.ring_full", "the ring to the worker of its ports was full (steering: rings)") \
	X(TUN_MALFORMED, "drop.tun_malformed", "a packet from a TUN that is not valid IP or TCP")   \
	X(TUN_CHECKSUM, "drop.tun_checksum", "a packet from a TUN with a wrong checksum")          \
	X(TUN_WRITE, "drop.tun_write", "the TUN did not take a packet (device down, no memory)")   \
	X(TUN_MULTICAST, "drop.tun_multicast", "multicast or broadcast, which shila does not carry") \
	X(TUN_ICMP, "drop.tun_icmp", "an ICMP error about no flow, or ICMP other than errors and echo")  \
	X(SCION_MALFORMED, "drop.scion_malformed", "not a valid SCION packet")                     \
	X(SCION_PATH_TYPE, "drop.scion_path_type", "a SCION path type other than Empty and SCION") \
	X(SCION_ADDR_TYPE, "drop.scion_addr_type", "a SCION host address that is not IPv4 or IPv6") \
	X(SCION_NOT_US, "drop.scion_not_us", "a SCION packet for another AS, host or port")        \
	X(SCION_CHECKSUM, "drop.scion_checksum", "a SCION/UDP or SCMP checksum was wrong")         \
	X(SCION_L4, "drop.scion_l4", "a SCION packet that is neither UDP nor SCMP")                \
	X(FRAME_MALFORMED, "drop.frame_malformed", "not a valid frame of the backbone protocol")   \
	X(FRAME_VERSION, "drop.frame_version", "a frame of another protocol version")              \
	X(FRAME_UNKNOWN_FLOW, "drop.frame_unknown_flow", "a frame for a flow that does not exist") \
	X(FRAME_WRONG_SOURCE, "drop.frame_wrong_source", "a frame for a flow of another peer")     \
	X(FRAME_STATE, "drop.frame_state", "a frame that the flow's state does not expect")        \
	X(REPEATED, "drop.repeated", "TCP data that was acknowledged before, more of it than a flow may repeat")   \
	X(SOCKET_FULL, "drop.socket_full", "a packet for which the receive buffer of an underlay socket had no room") \
	X(SEND_AGAIN, "drop.send_again", "the underlay socket's buffer was full")                  \
	X(SEND_NO_BUFFERS, "drop.send_no_buffers", "the kernel had no buffer to send on the underlay") \
	X(SEND_REFUSED, "drop.send_refused", "this host forbids to send on the underlay")          \
	X(SEND_TOO_BIG, "drop.send_too_big", "larger than the underlay's MTU")                     \
	X(SEND_FAILED, "drop.send_failed", "the kernel refused to send on the underlay")           \
	X(TOO_BIG, "drop.too_big", "a datagram that does not fit into two fragments of its path")  \
	X(FRAGMENT_LOST, "drop.fragment_lost", "one half of a datagram, the other never came")     \
	X(NO_ROUTE, "drop.no_route", "no route of the configuration for this destination")         \
	X(NO_PATH, "drop.no_path", "no SCION path to the peer")                                    \
	X(PEER_LIMIT, "drop.peer_limit", "the peer refused a flow because of one of its limits")   \
	X(NO_FLOW, "drop.no_flow", "a TCP segment that belongs to no flow")                        \
	X(NOT_ALLOWED, "drop.not_allowed", "the peer is not in ingress.allow")                     \
	X(NOT_SERVED, "drop.not_served", "the port is not in ingress.serve")                       \
	X(IN_USE, "drop.in_use", "an OPEN with addresses and ports of a flow that lives, under another name")     \
	X(LIMIT_FLOWS, "drop.limit_flows", "limits.flows was reached")                             \
	X(LIMIT_PEER_FLOWS, "drop.limit_flows_per_peer", "a peer has limits.flows_per_peer flows") \
	X(LIMIT_HALF_OPEN, "drop.limit_half_open", "a peer has limits.half_open_per_peer flows that it opened and left") \
	X(LIMIT_AS_FLOWS, "drop.limit_flows_per_as", "an AS has limits.flows_per_as flows")        \
	X(LIMIT_AS_HALF_OPEN, "drop.limit_half_open_per_as", "an AS has limits.half_open_per_as flows that it opened and left") \
	X(LIMIT_AS_OPENS, "drop.limit_opens_per_as", "an AS opens flows faster than it may")       \
	X(LIMIT_AS_POOL, "drop.limit_pool_per_as", "an AS has limits.pool_addresses_per_as addresses") \
	X(LIMIT_AS_PEERS, "drop.limit_peers_per_as", "an AS has limits.peers_per_as hosts with flows") \
	X(LIMIT_PEER_POOL, "drop.limit_pool_per_peer", "a peer has limits.pool_addresses_per_peer addresses") \
	X(LIMIT_PEERS, "drop.limit_peers", "limits.peers was reached")                             \
	X(LIMIT_OPENS, "drop.limit_opens", "a peer opens flows faster than it may")                \
	X(LIMIT_POOL, "drop.limit_pool", "no free address in ingress.pool")                        \
	X(LIMIT_HELD, "drop.limit_held", "too many packets wait for a path or for the peer's answer") \
	X(LIMIT_RELATED, "drop.limit_related", "servers send more packets a second from ports where no flow is than the slow path carries") \
	X(PROBE_LATE, "drop.probe_late", "a PROBE that came while shilad stood still")             \
	X(NO_MEMORY, "drop.no_memory", "there was no memory for something new")                    \
	X(LIMIT_FRAMES_PEERS, "drop.limit_frames_peers", "more frames than limits.frames_per_second_peers at one port")  \
	X(LIMIT_FRAMES_AS, "drop.limit_frames_as", "more frames than limits.frames_per_second_as at one port")  \
	X(LIMIT_FRAMES_STRANGERS, "drop.limit_frames_strangers", "more frames than limits.frames_per_second_strangers at one port") \
	X(LIMIT_SCMP, "drop.limit_scmp", "more SCMP messages than limits.scmp_per_second at one port")       \
	X(SCMP_UNMATCHED, "drop.scmp_unmatched", "an SCMP message about nothing that is known to be sent by us")

enum verdict {
#define X(name, text, sentence) VERDICT_##name,
	VERDICTS(X)
#undef X
	VERDICT_COUNT
};

const char *verdict_name(enum verdict v);
const char *verdict_sentence(enum verdict v);

#endif
