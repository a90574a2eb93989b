/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_WIRE_INET_PRIV_H
#define SHILA_WIRE_INET_PRIV_H

#include "shila/wire/inet.h"

/* What inet.c (taking apart) and inet_build.c (making, changing) share. */

#define IP_MAX_LEN   (40 + 65535)
#define ICMP_HDR_LEN 8

/*
 * ip_parse_quote() - Like ip_parse() for a packet quoted in an ICMP error, which may be cut off
 * behind its IP headers: length fields are not believed, @len of the result is what is there.
 */
int ip_parse_quote(const uint8_t *p, size_t len, struct ip_pkt *out);

enum icmp_class {
	ICMP_NOT,   /* another protocol */
	ICMP_ECHO,  /* request or reply: bytes 4 and 5 are the identifier */
	ICMP_ERROR, /* quotes a packet behind its 8 bytes */
	ICMP_OTHER,
};

enum icmp_class icmp_classify(const struct ip_pkt *ip, uint8_t type);

/* l4_csum_off() - Where in layer 4 the checksum is; 0 where there is none that we know. */
size_t l4_csum_off(const struct ip_pkt *ip);

#endif
