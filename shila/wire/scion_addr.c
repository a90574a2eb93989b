/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/scion_addr.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* Number at *@s, moves *@s behind it. strtoul() would let signs and spaces through. */
static int parse_num(const char **s, int base, int max_digits, uint64_t max, uint64_t *out)
{
	const char *p = *s;
	uint64_t v = 0;

	for (; p - *s <= max_digits; p++) {
		int digit;

		if (*p >= '0' && *p <= '9')
			digit = *p - '0';
		else if (base == 16 && (*p | 0x20) >= 'a' && (*p | 0x20) <= 'f')
			digit = (*p | 0x20) - 'a' + 10;
		else
			break;
		v = v * (uint64_t)base + (uint64_t)digit;
	}
	if (p == *s || p - *s > max_digits || v > max)
		return -EINVAL;
	*s = p;
	*out = v;
	return 0;
}

static int parse_as(const char **s, uint64_t *out)
{
	const char *p = *s;
	uint64_t as = 0;

	if (!strchr(p, ':'))
		return parse_num(s, 10, 10, UINT32_MAX, out);
	for (int i = 0; i < 3; i++) {
		uint64_t group;

		if (i && *p++ != ':')
			return -EINVAL;
		if (parse_num(&p, 16, 4, UINT16_MAX, &group))
			return -EINVAL;
		as = as << 16 | group;
	}
	*s = p;
	*out = as;
	return 0;
}

int isd_as_parse(const char *text, struct isd_as *out)
{
	uint64_t isd, as;

	if (parse_num(&text, 10, 5, UINT16_MAX, &isd) || *text++ != '-')
		return -EINVAL;
	if (parse_as(&text, &as) || *text)
		return -EINVAL;
	out->v = isd << 48 | as;
	return 0;
}

char *isd_as_str(struct isd_as ia, char *buf)
{
	unsigned int isd = (unsigned int)(ia.v >> 48);
	uint64_t as = ia.v & 0xffffffffffff;

	if (as <= UINT32_MAX) /* BGP style */
		snprintf(buf, ISD_AS_STRLEN, "%u-%" PRIu64, isd, as);
	else
		snprintf(buf, ISD_AS_STRLEN, "%u-%x:%x:%x", isd, (unsigned int)(as >> 32),
			 (unsigned int)(as >> 16 & 0xffff), (unsigned int)(as & 0xffff));
	return buf;
}

bool scion_addr_eq(const struct scion_addr *a, const struct scion_addr *b)
{
	return a->ia.v == b->ia.v && ip_addr_eq(&a->host, &b->host);
}

/* The @n characters at @s as a string in @buf of @cap; -EINVAL if there is no room. */
static int cut(char *buf, size_t cap, const char *s, size_t n)
{
	if (n >= cap)
		return -EINVAL;
	memcpy(buf, s, n);
	buf[n] = '\0';
	return 0;
}

/* Host, with or without brackets if @brackets, @n characters at @s. */
static int parse_host(const char *s, size_t n, bool brackets, struct ip_addr *out)
{
	char buf[IP_ADDR_STRLEN];

	if (brackets && n >= 2 && s[0] == '[' && s[n - 1] == ']') {
		s++;
		n -= 2;
	}
	if (cut(buf, sizeof(buf), s, n))
		return -EINVAL;
	return ip_addr_parse(buf, out);
}

/* "ISD-AS,host", @n characters at @s. */
static int parse_addr(const char *s, size_t n, bool brackets, struct scion_addr *out)
{
	const char *comma = memchr(s, ',', n);
	struct scion_addr a = { 0 };
	char buf[ISD_AS_STRLEN];

	if (!comma || cut(buf, sizeof(buf), s, (size_t)(comma - s)) || isd_as_parse(buf, &a.ia))
		return -EINVAL;
	n -= (size_t)(comma + 1 - s);
	if (parse_host(comma + 1, n, brackets, &a.host))
		return -EINVAL;
	*out = a;
	return 0;
}

int scion_addr_parse(const char *text, struct scion_addr *out)
{
	return parse_addr(text, strlen(text), true, out);
}

char *scion_addr_str(const struct scion_addr *a, char *buf)
{
	char ia[ISD_AS_STRLEN], host[IP_ADDR_STRLEN];

	snprintf(buf, SCION_ADDR_STRLEN, "%s,%s", isd_as_str(a->ia, ia),
		 ip_addr_str(&a->host, host));
	return buf;
}

static int parse_port(const char *s, uint16_t *out)
{
	uint64_t port;

	if (parse_num(&s, 10, 5, UINT16_MAX, &port) || *s)
		return -EINVAL;
	*out = (uint16_t)port;
	return 0;
}

/* The colon before the port of the older form: after a bracket, or the only one in the host. */
static const char *port_colon(const char *text)
{
	const char *comma = strchr(text, ',');
	const char *colon = comma ? strrchr(comma, ':') : NULL;

	if (!colon || colon[-1] == ']')
		return colon;
	return strchr(comma, ':') == colon ? colon : NULL;
}

int scion_endpoint_parse(const char *text, struct scion_endpoint *out)
{
	struct scion_endpoint e = { 0 };
	const char *colon;
	int err;

	if (text[0] == '[') {
		const char *end = strrchr(text, ']');

		if (!end || end[1] != ':')
			return -EINVAL;
		colon = end + 1;
		err = parse_addr(text + 1, (size_t)(end - text - 1), false, &e.addr);
	} else {
		colon = port_colon(text);
		err = parse_addr(text, colon ? (size_t)(colon - text) : strlen(text), true,
				 &e.addr);
	}
	if (err || (colon && parse_port(colon + 1, &e.port)))
		return -EINVAL;
	*out = e;
	return 0;
}

char *scion_endpoint_str(const struct scion_endpoint *e, char *buf)
{
	char addr[SCION_ADDR_STRLEN];

	if (e->port)
		snprintf(buf, SCION_ENDPOINT_STRLEN, "[%s]:%u", scion_addr_str(&e->addr, addr),
			 e->port);
	else
		snprintf(buf, SCION_ENDPOINT_STRLEN, "%s", scion_addr_str(&e->addr, addr));
	return buf;
}
