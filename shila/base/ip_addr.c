/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/base/ip_addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ip_addr ip_addr_make(const void *bytes, uint8_t len)
{
	struct ip_addr a = { .len = len };

	if (len == 4) /* known lengths are moves, others an inlined `rep movs`, which takes long to begin */
		memcpy(a.b, bytes, 4);
	else if (len == 16)
		memcpy(a.b, bytes, 16);
	else
		memcpy(a.b, bytes, len);
	return a;
}

bool ip_addr_eq(const struct ip_addr *a, const struct ip_addr *b)
{
	return !memcmp(a, b, sizeof(*a));
}

bool ip_addr_is_loopback(const struct ip_addr *a)
{
	static const uint8_t v6[16] = { [15] = 1 };

	return a->len == 4 ? a->b[0] == 127 : a->len == 16 && !memcmp(a->b, v6, 16);
}

bool ip_addr_is_multicast(const struct ip_addr *a)
{
	static const uint8_t bcast[4] = { 255, 255, 255, 255 };

	if (a->len == 4)
		return (a->b[0] & 0xf0) == 0xe0 || !memcmp(a->b, bcast, 4);
	return a->len == 16 && a->b[0] == 0xff;
}

bool ip_addr_is_unspecified(const struct ip_addr *a)
{
	static const uint8_t zero[16];

	return !memcmp(a->b, zero, 16);
}

int ip_addr_parse(const char *text, struct ip_addr *out)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct ip_addr a = { 0 };

	if (inet_pton(AF_INET, text, a.b) == 1)
		a.len = 4;
	else if (inet_pton(AF_INET6, text, a.b) == 1)
		a.len = 16;
	else
		return -EINVAL;
	if (a.len == 16 && !memcmp(a.b, mapped, sizeof(mapped)))
		a = ip_addr_make(a.b + 12, 4);
	*out = a;
	return 0;
}

char *ip_addr_str(const struct ip_addr *a, char *buf)
{
	if (!a->len || !inet_ntop(a->len == 4 ? AF_INET : AF_INET6, a->b, buf, IP_ADDR_STRLEN))
		strcpy(buf, "-");
	return buf;
}

/* True if bits @from.. of @b are all zero. */
static bool tail_is_zero(const struct ip_addr *a, unsigned int from)
{
	for (unsigned int i = from; i < a->len * 8u; i++)
		if (a->b[i / 8] & (0x80 >> (i % 8)))
			return false;
	return true;
}

int ip_prefix_parse(const char *text, struct ip_prefix *out)
{
	char buf[IP_PREFIX_STRLEN + 8];
	struct ip_prefix p;
	char *slash;

	if (strlen(text) >= sizeof(buf))
		return -EINVAL;
	strcpy(buf, text);
	slash = strchr(buf, '/');
	if (slash)
		*slash++ = '\0';
	if (ip_addr_parse(buf, &p.addr) < 0)
		return -EINVAL;
	p.bits = p.addr.len * 8;
	if (slash) {
		char *end;
		unsigned long bits = strtoul(slash, &end, 10);

		if (*slash < '0' || *slash > '9' || *end)
			return -EINVAL;
		if (bits > p.addr.len * 8u)
			return -ERANGE;
		p.bits = (uint8_t)bits;
	}
	if (!tail_is_zero(&p.addr, p.bits))
		return -EDOM;
	*out = p;
	return 0;
}

char *ip_prefix_str(const struct ip_prefix *p, char *buf)
{
	ip_addr_str(&p->addr, buf);
	sprintf(buf + strlen(buf), "/%u", p->bits);
	return buf;
}

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned int bits)
{
	unsigned int rest = bits % 8;

	if (memcmp(a, b, bits / 8))
		return false;
	return !rest || !((a[bits / 8] ^ b[bits / 8]) >> (8 - rest));
}

bool ip_prefix_contains(const struct ip_prefix *p, const struct ip_addr *a)
{
	return p->addr.len == a->len && same_bits(p->addr.b, a->b, p->bits);
}

bool ip_prefix_overlap(const struct ip_prefix *a, const struct ip_prefix *b)
{
	return a->addr.len == b->addr.len &&
	       same_bits(a->addr.b, b->addr.b, a->bits < b->bits ? a->bits : b->bits);
}

struct ip_addr ip_addr_nth(const struct ip_prefix *p, uint64_t n)
{
	struct ip_addr a = p->addr;
	unsigned int host_bits = a.len * 8u - p->bits;

	if (host_bits < 64 && n >> host_bits)
		return (struct ip_addr){ 0 };
	for (int i = a.len - 1; i >= 0 && n; i--, n >>= 8)
		a.b[i] |= n & 0xff;
	return a;
}

union sock_addr sock_addr_make(const struct ip_addr *a, uint16_t port)
{
	union sock_addr sa;

	memset(&sa, 0, sizeof(sa));
	if (a->len == 16) {
		sa.v6.family = AF_INET6;
		sa.v6.port_be = htons(port);
		memcpy(sa.v6.addr, a->b, 16);
	} else {
		sa.v4.family = AF_INET;
		sa.v4.port_be = htons(port);
		memcpy(sa.v4.addr, a->b, 4);
	}
	return sa;
}

socklen_t sock_addr_len(const union sock_addr *sa)
{
	return sa->sa.sa_family == AF_INET6 ? 28 : 16;
}

struct ip_addr sock_addr_ip(const union sock_addr *sa)
{
	return sa->sa.sa_family == AF_INET6 ? ip_addr_make(sa->v6.addr, 16) :
					      ip_addr_make(sa->v4.addr, 4);
}

uint16_t sock_addr_port(const union sock_addr *sa)
{
	return ntohs(sa->v4.port_be); /* at the same place in both families */
}

bool sock_addr_eq(const union sock_addr *a, const union sock_addr *b)
{
	struct ip_addr ia = sock_addr_ip(a), ib = sock_addr_ip(b);

	return a->sa.sa_family == b->sa.sa_family && a->v4.port_be == b->v4.port_be &&
	       ip_addr_eq(&ia, &ib);
}

int sock_addr_parse(const char *text, union sock_addr *out)
{
	char buf[IP_ADDR_STRLEN + 10];
	char *host = buf, *colon, *end;
	struct ip_addr a;
	unsigned long port;

	if (strlen(text) >= sizeof(buf))
		return -EINVAL;
	strcpy(buf, text);
	colon = strrchr(buf, ':');
	if (!colon)
		return -EINVAL;
	*colon = '\0';
	if (*host == '[') {
		if (colon == buf || colon[-1] != ']')
			return -EINVAL;
		colon[-1] = '\0';
		host++;
	} else if (strchr(host, ':')) {
		return -EINVAL; /* IPv6 without brackets is ambiguous */
	}
	port = strtoul(colon + 1, &end, 10);
	if (colon[1] < '0' || colon[1] > '9' || *end || port > 65535 || !port)
		return -EINVAL;
	if (ip_addr_parse(host, &a) < 0)
		return -EINVAL;
	*out = sock_addr_make(&a, (uint16_t)port);
	return 0;
}
