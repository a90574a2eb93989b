/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_WIRE_SCMP_H
#define SHILA_WIRE_SCMP_H

#include "shila/wire/scion.h"

enum scmp_type {
	SCMP_DEST_UNREACHABLE = 1,
	SCMP_PACKET_TOO_BIG = 2,
	SCMP_PARAMETER_PROBLEM = 4,
	SCMP_EXT_IF_DOWN = 5,
	SCMP_INT_CONN_DOWN = 6,
	SCMP_ECHO_REQUEST = 128,
	SCMP_ECHO_REPLY = 129,
	SCMP_TRACEROUTE_REQUEST = 130,
	SCMP_TRACEROUTE_REPLY = 131,
};

#define SCMP_CODE_PATH_EXPIRED 52
#define SCMP_CODE_INVALID_MAC  51

/* A parsed message, host byte order; which fields mean something depends on @type. */
struct scmp_msg {
	uint8_t type, code;
	uint16_t mtu;		  /* PACKET_TOO_BIG */
	uint16_t pointer;	  /* PARAMETER_PROBLEM */
	struct isd_as ia;	  /* 5, 6, 131 */
	uint64_t ingress, egress; /* 5: egress only; 6: both; 131: ingress is the interface */
	uint16_t id, seq;	  /* 128..131 */
	const uint8_t *data;	  /* errors: the quote; echo: the data; else what is left (nothing) */
	size_t len;
};

/**
 * scmp_parse() - Parse the SCMP message of a parsed packet, checksum verified.
 * Return: 0, -EBADMSG too short, -EILSEQ checksum, -ENOMSG unknown type.
 */
int scmp_parse(const struct scion_pkt *pkt, struct scmp_msg *out);

/* What a quote in an SCMP error tells about the packet that we sent. */
struct scmp_quote {
	struct scion_pkt pkt;
	bool has_ports; /* the quote is long enough for UDP ports or an SCMP identifier */
	uint16_t src_port, dst_port; /* UDP; for echo and traceroute requests src_port = identifier */
};

/* scmp_quote_parse() - Return: 0 or as scion_parse_quote(). */
int scmp_quote_parse(const uint8_t *p, size_t len, struct scmp_quote *out);

/**
 * scmp_build() - A whole SCION packet with an SCMP message.
 * @h: next_hdr and payload_len are filled in
 * Return: its length, or -EMSGSIZE, or -EINVAL for a type it does not know.
 */
int scmp_build(uint8_t *buf, size_t cap, const struct scion_hdr *h, const struct scmp_msg *m);

/* scmp_type_str() - Short name of a type, "unknown" else. */
const char *scmp_type_str(uint8_t type);

#endif
