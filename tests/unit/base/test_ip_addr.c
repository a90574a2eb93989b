/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/base/ip_addr.h"

#include "tests/unit/check.h"

#include <errno.h>
#include <string.h>

static void test_addr(void)
{
	static const struct {
		const char *why, *in, *out;
	} rows[] = {
		{ "IPv4", "10.0.0.1", "10.0.0.1" },
		{ "IPv6 is shortened", "2001:db8:0:0::1", "2001:db8::1" },
		{ "mapped IPv4 becomes IPv4", "::ffff:10.0.0.1", "10.0.0.1" },
		{ "not an address", "10.0.0", NULL },
		{ "zone", "fe80::1%eth0", NULL },
		{ "empty", "", NULL },
	};
	struct ip_addr a;
	char text[IP_ADDR_STRLEN];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int err = ip_addr_parse(rows[i].in, &a);

		CHECK(rows[i].why, rows[i].out ? !err && !strcmp(ip_addr_str(&a, text), rows[i].out) :
						 err == -EINVAL);
	}
}

static void test_prefix(void)
{
	static const struct {
		const char *why, *in;
		int err;
	} rows[] = {
		{ "IPv4", "10.1.0.0/16", 0 },
		{ "everything", "0.0.0.0/0", 0 },
		{ "address alone", "10.1.0.1", 0 },
		{ "IPv6", "fd00::/8", 0 },
		{ "too long", "10.0.0.0/33", -ERANGE },
		{ "host bits", "10.1.0.1/16", -EDOM },
		{ "no number", "10.0.0.0/", -EINVAL },
		{ "sign", "10.0.0.0/+8", -EINVAL },
		{ "rubbish", "10.0.0.0/8x", -EINVAL },
	};
	struct ip_prefix p, q;
	struct ip_addr a;
	char text[IP_PREFIX_STRLEN];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CHECK(rows[i].why, ip_prefix_parse(rows[i].in, &p) == rows[i].err);

	ip_prefix_parse("10.64.0.0/10", &p);
	CHECK("prints", !strcmp(ip_prefix_str(&p, text), "10.64.0.0/10"));
	ip_addr_parse("10.127.255.255", &a);
	CHECK("last address inside", ip_prefix_contains(&p, &a));
	ip_addr_parse("10.128.0.0", &a);
	CHECK("next one outside", !ip_prefix_contains(&p, &a));
	ip_prefix_parse("10.0.0.0/8", &q);
	CHECK("nested prefixes overlap", ip_prefix_overlap(&p, &q) && ip_prefix_overlap(&q, &p));
	ip_prefix_parse("10.128.0.0/10", &q);
	CHECK("neighbours do not", !ip_prefix_overlap(&p, &q));
	ip_prefix_parse("fd00::/8", &q);
	CHECK("families do not", !ip_prefix_overlap(&p, &q));

	a = ip_addr_nth(&p, 258);
	CHECK("the 258th", !strcmp(ip_addr_str(&a, text), "10.64.1.2"));
	CHECK("beyond the prefix", !ip_addr_nth(&p, 1u << 22).len);
}

static void test_sock_addr(void)
{
	union sock_addr a, b;

	CHECK("IPv4", !sock_addr_parse("127.0.0.1:30255", &a) && sock_addr_port(&a) == 30255 &&
			      sock_addr_len(&a) == 16);
	CHECK("IPv6", !sock_addr_parse("[fd00::1]:1", &b) && sock_addr_len(&b) == 28);
	CHECK("differ", !sock_addr_eq(&a, &b) && sock_addr_eq(&a, &a));
	CHECK("no port", sock_addr_parse("127.0.0.1", &a) == -EINVAL);
	CHECK("port 0", sock_addr_parse("127.0.0.1:0", &a) == -EINVAL);
	CHECK("large port", sock_addr_parse("127.0.0.1:65536", &a) == -EINVAL);
	CHECK("IPv6 without brackets", sock_addr_parse("fd00::1:80", &a) == -EINVAL);
}

const struct unit_test unit_tests[] = {
	{ "addresses", test_addr },
	{ "prefixes", test_prefix },
	{ "socket addresses", test_sock_addr },
	{ 0 },
};
