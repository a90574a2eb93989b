/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_WIRE_INET_H
#define SHILA_WIRE_INET_H

#include "shila/base/bytes.h"
#include "shila/base/ip_addr.h"

/* Inner packets, as TUN devices give and take them: IP, TCP, UDP, ICMP. */

enum {
	INET_PROTO_ICMP = 1,
	INET_PROTO_TCP = 6,
	INET_PROTO_UDP = 17,
	INET_PROTO_ICMPV6 = 58,
};

enum { /* 8 low bits of the flags; NS is not carried by anybody */
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_PSH = 0x08,
	TCP_ACK = 0x10,
	TCP_URG = 0x20,
	TCP_ECE = 0x40,
	TCP_CWR = 0x80,
};

/* A parsed IP packet; pointers look into it. */
struct ip_pkt {
	uint8_t version;       /* 4 or 6 */
	uint8_t proto;	       /* behind IPv6 extension headers */
	uint8_t traffic_class; /* DSCP and ECN */
	uint8_t ttl;
	uint8_t addr_len;      /* 4 or 16 */
	bool fragment;	       /* part of a fragmented packet */
	bool later_fragment;   /* and not the first: no layer-4 header */
	const uint8_t *src, *dst;
	uint16_t l4_off;       /* offset of layer 4 */
	uint32_t len;	       /* whole packet */
};

/**
 * ip_parse() - Check and take apart an IP packet.
 * @len: bytes that there are; the packet must be exactly that long (TUN gives whole packets)
 * Source-routed packets count as malformed. The IPv4 header checksum is left to the receiving kernel.
 * Return: 0; -EBADMSG malformed; -EPROTONOSUPPORT other IP version.
 */
int ip_parse(const uint8_t *p, size_t len, struct ip_pkt *out);

/**
 * ip_parse_quote() - Like ip_parse() for a packet that may be cut off behind its IP headers, as ICMP
 * errors quote it: length fields are not believed, @len of the result is what is there.
 */
int ip_parse_quote(const uint8_t *p, size_t len, struct ip_pkt *out);
struct ip_addr ip_pkt_src(const struct ip_pkt *pkt);
struct ip_addr ip_pkt_dst(const struct ip_pkt *pkt);

/* A parsed TCP header, host byte order. */
struct tcp_hdr {
	uint16_t src_port, dst_port;
	uint32_t seq, ack;
	uint8_t flags;
	uint8_t hdr_len;  /* options included */
	uint8_t opts_len; /* 0..40 */
	uint16_t window, urgent;
	const uint8_t *opts;
};

/* tcp_parse() - TCP header at @p of @len bytes (header and payload). Return: 0 or -EBADMSG. */
int tcp_parse(const uint8_t *p, size_t len, struct tcp_hdr *out);

enum icmp_class {
	ICMP_NOT,   /* another protocol */
	ICMP_ECHO,  /* request or reply: bytes 4 and 5 are the identifier */
	ICMP_ERROR, /* quotes a packet behind its 8 bytes */
	ICMP_OTHER,
};

/* icmp_classify() - What an ICMP or ICMPv6 message of this @type is. */
enum icmp_class icmp_classify(const struct ip_pkt *ip, uint8_t type);

/*
 * inet_payload_len() - Bytes that a program sent in this packet: behind the header of UDP or ICMP; all of
 * layer 4 in a later fragment and in other protocols.
 */
uint32_t inet_payload_len(const struct ip_pkt *ip);

/**
 * inet_ports() - Ports of TCP and UDP; for ICMP echo (4 and 6) the identifier in both, for an ICMP
 * error those of the quoted packet *swapped* (so that the error belongs to the same flow); else 0, 0.
 */
void inet_ports(const uint8_t *pkt, const struct ip_pkt *ip, uint16_t *src_port, uint16_t *dst_port);

/**
 * inet_quote() - The packet that an ICMP or ICMPv6 error is about, as far as it is quoted.
 * @out: its @len is what is there, @l4_off counts from the start of the quote
 * Return: 0; -ENOMSG this is not an ICMP error; -EBADMSG nothing usable is quoted.
 */
int inet_quote(const uint8_t *pkt, const struct ip_pkt *ip, struct ip_pkt *out);

/**
 * inet_l4_csum_ok() - Verify TCP, UDP, ICMP, ICMPv6 checksum of a whole, unfragmented packet.
 * True as well for what has no checksum that we know, and for fragments.
 */
bool inet_l4_csum_ok(const uint8_t *pkt, const struct ip_pkt *ip);

/**
 * inet_l4_csum_set() - Compute and store the layer-4 checksum of a whole, unfragmented packet in
 * place (TCP, UDP, ICMP, ICMPv6; others are left alone).
 */
void inet_l4_csum_set(uint8_t *pkt, const struct ip_pkt *ip);

/* inet_csum_pseudo() - Pseudo header sum of TCP and UDP over IPv4 or IPv6 (host-order numbers). */
uint64_t inet_csum_pseudo(const uint8_t *src, const uint8_t *dst, uint8_t addr_len, uint8_t proto, uint32_t l4_len);

/**
 * inet_rewrite() - Replace both addresses of a whole packet in place, with incremental update of the
 * IPv4 header checksum and of the layer-4 checksum (TCP, UDP, ICMPv6; first fragments too). In an ICMP
 * or ICMPv6 error, quoted addresses that equal the old ones (swapped) are replaced likewise.
 * The layer-4 checksum must be complete (a packet with NEEDS_CSUM gets it by inet_l4_csum_set() first).
 * @src, @dst: of the packet's family
 * Return: 0, or -EAFNOSUPPORT if a family differs.
 */
int inet_rewrite(uint8_t *pkt, const struct ip_pkt *ip, const struct ip_addr *src, const struct ip_addr *dst);

/* What inet_build_tcp() needs; host byte order. */
struct tcp_build {
	const struct ip_addr *src, *dst;
	uint16_t src_port, dst_port;
	uint32_t seq, ack;
	uint8_t flags;
	uint16_t window, urgent;
	const uint8_t *opts;
	uint8_t opts_len; /* multiple of 4 */
	const uint8_t *data;
	size_t len;
	uint8_t traffic_class;
};

/**
 * inet_build_tcp() - A whole IP/TCP packet, checksums complete.
 * Return: its length; -EMSGSIZE; -EAFNOSUPPORT if the addresses are of two families.
 */
int inet_build_tcp(uint8_t *buf, size_t cap, const struct tcp_build *b);

/**
 * inet_build_tcp_rst() - The RST (with ACK where TCP wants it) that answers the segment in @pkt, from its
 * destination to its source. RFC 9293 section 3.5.2. With @mptcp_reason >= 0 an MP_TCPRST option.
 * Return: length; -EMSGSIZE; -ENOMSG if there is no answer: a RST, a fragment, multicast, malformed.
 */
int inet_build_tcp_rst(uint8_t *buf, size_t cap, const uint8_t *pkt, const struct ip_pkt *ip, int mptcp_reason);

enum inet_unreach { INET_UNREACH_HOST, INET_UNREACH_ADMIN, INET_UNREACH_PORT };

/**
 * inet_build_unreach() - ICMP or ICMPv6 destination unreachable that answers @pkt, quote included.
 * @from: source address of the answer
 * Return: length; -EMSGSIZE; -ENOMSG if @pkt must not be answered (ICMP error, later fragment, multicast);
 *         -EAFNOSUPPORT if @from is of the other family.
 */
int inet_build_unreach(uint8_t *buf, size_t cap, const uint8_t *pkt, const struct ip_pkt *ip,
		       enum inet_unreach why, const struct ip_addr *from);

/* inet_build_too_big() - ICMP fragmentation needed or ICMPv6 packet too big with @mtu. As above. */
int inet_build_too_big(uint8_t *buf, size_t cap, const uint8_t *pkt, const struct ip_pkt *ip,
		       uint16_t mtu, const struct ip_addr *from);

#endif
