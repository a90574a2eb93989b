/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_BASE_IP_ADDR_H
#define SHILA_BASE_IP_ADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* An IP address. @len is 4 or 16, or 0 for "none"; unused bytes are zero, so == is memcmp(). */
struct ip_addr {
	uint8_t len;
	uint8_t b[16]; /* network byte order */
};

struct ip_prefix {
	struct ip_addr addr; /* host bits are zero */
	uint8_t bits;
};

#define IP_ADDR_STRLEN	 46
#define IP_PREFIX_STRLEN 50

struct ip_addr ip_addr_make(const void *bytes, uint8_t len);
bool ip_addr_eq(const struct ip_addr *a, const struct ip_addr *b);
bool ip_addr_is_loopback(const struct ip_addr *a);
bool ip_addr_is_multicast(const struct ip_addr *a); /* and the IPv4 limited broadcast */
bool ip_addr_is_unspecified(const struct ip_addr *a); /* 0.0.0.0, :: */

/**
 * ip_addr_parse() - Text to address.
 * Return: 0, or -EINVAL; IPv4-mapped IPv6 is unmapped, zones are refused.
 */
int ip_addr_parse(const char *text, struct ip_addr *out);
/* ip_addr_str() - Canonical text in @buf (IP_ADDR_STRLEN); returns @buf. "-" for none. */
char *ip_addr_str(const struct ip_addr *a, char *buf);

/**
 * ip_prefix_parse() - "10.0.0.0/8", or an address alone (/32, /128).
 * Return: 0, -EINVAL for bad text, -ERANGE for bits beyond the family, -EDOM if host bits are set.
 */
int ip_prefix_parse(const char *text, struct ip_prefix *out);
char *ip_prefix_str(const struct ip_prefix *p, char *buf);
bool ip_prefix_contains(const struct ip_prefix *p, const struct ip_addr *a);
bool ip_prefix_overlap(const struct ip_prefix *a, const struct ip_prefix *b);

/* ip_addr_nth() - The @n-th address of a prefix (0: the network address); len 0 when beyond it. */
struct ip_addr ip_addr_nth(const struct ip_prefix *p, uint64_t n);

/* A socket address of either family that is no larger than it must be. */
union sock_addr {
	struct sockaddr sa;
	struct {
		uint16_t family;
		uint16_t port_be;
		uint8_t addr[4];
	} v4;
	struct {
		uint16_t family;
		uint16_t port_be;
		uint32_t flowinfo;
		uint8_t addr[16];
		uint32_t scope_id;
	} v6;
};

union sock_addr sock_addr_make(const struct ip_addr *a, uint16_t port);
socklen_t sock_addr_len(const union sock_addr *sa);
struct ip_addr sock_addr_ip(const union sock_addr *sa);
uint16_t sock_addr_port(const union sock_addr *sa);
bool sock_addr_eq(const union sock_addr *a, const union sock_addr *b);

/**
 * sock_addr_parse() - "10.0.0.1:30255" or "[fd00::1]:30255".
 * Return: 0 or -EINVAL.
 */
int sock_addr_parse(const char *text, union sock_addr *out);

#endif
