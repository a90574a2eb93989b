/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_WIRE_SCION_H
#define SHILA_WIRE_SCION_H

#include "shila/base/bytes.h"
#include "shila/base/ip_addr.h"
#include "shila/wire/scion_addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * SCION packets as an end host sees them: common header, address header, path types Empty and
 * SCION, extension headers skipped, UDP. Source: SCION header specification and RFC draft
 * "SCION data plane"; upstream doc/protocols/scion-header.rst.
 */

#define SCION_MAX_HDR_LEN  1020 /* HdrLen is 8 bits of 4-byte units */
#define SCION_MAX_HOPS     64
#define SCION_MAX_INF      3
#define SCION_MAX_PATH_LEN (4 + 8 * SCION_MAX_INF + 12 * SCION_MAX_HOPS)
#define SCION_UDP_HDR_LEN  8
#define SCION_MIN_MTU      1280 /* that every link carries, after IPv6 */

enum scion_path_type { SCION_PATH_EMPTY = 0, SCION_PATH_SCION = 1 };

enum scion_l4 {
	SCION_L4_TCP = 6,
	SCION_L4_UDP = 17,
	SCION_L4_HBH = 200,
	SCION_L4_E2E = 201,
	SCION_L4_SCMP = 202
};

/* A parsed packet; pointers look into the packet. Numbers are in host byte order. */
struct scion_pkt {
	uint32_t flow_id; /* 20 bits */
	uint8_t traffic_class;
	uint8_t path_type; /* enum scion_path_type */
	struct isd_as dst_ia, src_ia;
	const uint8_t *addr_hdr; /* DstIA, SrcIA, DstHost, SrcHost as in the packet */
	const uint8_t *dst_host, *src_host;
	uint8_t dst_len, src_len; /* 4 or 16 */
	uint8_t addr_hdr_len;
	const uint8_t *path; /* raw path, path meta included; NULL when empty */
	uint16_t path_len;
	uint16_t hdr_len;  /* common + address + path */
	uint8_t l4_proto;  /* after extension headers */
	const uint8_t *l4; /* layer-4 header */
	size_t l4_len;     /* layer-4 header and data */
};

/**
 * scion_parse() - Parse and check one packet as it arrived in an underlay datagram.
 * @p, @len: the whole datagram payload, borrowed
 * @out:     written only on success
 * Return: 0; -EBADMSG malformed (lengths, pointers, segments);
 *         -EPROTONOSUPPORT other path type; -EAFNOSUPPORT other host address type.
 * The path is checked as far as scion_path_check() does, and must be at its last hop. IPv6 hosts
 * that are mapped IPv4 count as another address type. Layer 4 is not looked at.
 */
int scion_parse(const uint8_t *p, size_t len, struct scion_pkt *out);

/**
 * scion_parse_quote() - Parse a packet quoted in an SCMP error, which may be cut off anywhere
 * behind the path.
 * Like scion_parse(), but PayloadLen need not be what is there, the current hop field may be any,
 * and l4_len is what is left of the quote (possibly 0). If that ends inside of an extension header,
 * l4_proto is the extension's number and l4_len 0.
 */
int scion_parse_quote(const uint8_t *p, size_t len, struct scion_pkt *out);

struct ip_addr scion_pkt_dst(const struct scion_pkt *pkt);
struct ip_addr scion_pkt_src(const struct scion_pkt *pkt);

/* What scion_build_hdr() needs; host byte order. */
struct scion_hdr {
	uint32_t flow_id;
	uint8_t traffic_class;
	struct scion_addr dst, src;
	const uint8_t *path; /* raw path or NULL */
	uint16_t path_len;   /* 0: path type Empty */
	uint8_t next_hdr;    /* enum scion_l4 */
	uint16_t payload_len;
};

/**
 * scion_build_hdr() - Write common header, address header and path.
 * Return: its length; -EMSGSIZE if it does not fit into @w or into HdrLen; -EINVAL for a host that
 * is not IPv4 or IPv6 (or mapped IPv4), or a path length that is not a multiple of 4.
 */
int scion_build_hdr(struct wr *w, const struct scion_hdr *h);

/* scion_hdr_len() - Length that scion_build_hdr() will write. */
size_t scion_hdr_len(const struct scion_addr *dst, const struct scion_addr *src, size_t path_len);

/**
 * scion_csum_pseudo() - Sum of the pseudo header of UDP and SCMP.
 * @addr_hdr, @len: the address header as in the packet; @l4_len: layer-4 header and data
 */
uint64_t scion_csum_pseudo(const uint8_t *addr_hdr, size_t len, uint32_t l4_len, uint8_t l4_proto);

/* SCION/UDP header, host byte order. */
struct scion_udp {
	uint16_t src_port, dst_port;
	const uint8_t *data;
	size_t len;
};

/**
 * scion_udp_parse() - UDP header of a parsed packet, checksum verified over header and data.
 * Return: 0, -EBADMSG wrong lengths, -EILSEQ wrong checksum.
 */
int scion_udp_parse(const struct scion_pkt *pkt, struct scion_udp *out);

/**
 * scion_udp_build() - A whole SCION/UDP packet into @buf.
 * @h: next_hdr and payload_len are ignored and filled in
 * Return: its length, or as scion_build_hdr().
 */
int scion_udp_build(uint8_t *buf, size_t cap, const struct scion_hdr *h, uint16_t src_port,
		    uint16_t dst_port, const void *data, size_t len);

/* ---- raw paths (path type SCION), path meta header first ---- */

struct scion_path_meta {
	uint8_t curr_inf, curr_hf;
	uint8_t seg_len[SCION_MAX_INF];
	uint8_t num_inf, num_hf; /* derived */
};

/**
 * scion_path_meta_parse() - Read and check a path meta header (4 bytes).
 * Return: 0, or -EBADMSG if it contradicts itself (gaps, no hop, pointers).
 */
int scion_path_meta_parse(struct rd *r, struct scion_path_meta *out);

/* scion_path_check() - Meta header fine and length exact. Return: 0 or -EBADMSG. */
int scion_path_check(const uint8_t *path, size_t len, struct scion_path_meta *out);

/**
 * scion_path_reverse() - The way back of a received path (any pointer position).
 * @out: @len bytes, may not overlap; router alert bits are cleared
 * Return: 0 or -EBADMSG.
 */
int scion_path_reverse(const uint8_t *path, size_t len, uint8_t *out);

/**
 * scion_path_interfaces() - Interface ids in travel order, pairs of (out of an AS, into the next).
 * @max: room in @out, which an error leaves partly written
 * Return: how many (even), or -EBADMSG, -ENOSPC.
 * What routers refuse is malformed too: segments that do not agree on peering, one hop without it.
 */
int scion_path_interfaces(const uint8_t *path, size_t len, uint16_t *out, size_t max);

/*
 * scion_path_expiry() - Unix seconds at which the first hop field expires; 0 for an empty path,
 * -EBADMSG (so: long ago) for a malformed one.
 */
int64_t scion_path_expiry(const uint8_t *path, size_t len);

/**
 * scion_path_set_alert_last() - Set the router alert bit for the far end of the last link, so that
 * the last router answers an SCMP traceroute request; @path is changed in place.
 *
 * Return: 0 or -EBADMSG.
 */
int scion_path_set_alert_last(uint8_t *path, size_t len);

#endif
