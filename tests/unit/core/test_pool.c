/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/pool.h"

#include "tests/unit/check.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <time.h>

static struct pool *pool;

static void begin(const char *a, const char *b)
{
	struct ip_prefix p[2];
	size_t n = 0;

	if (a && !ip_prefix_parse(a, &p[n]))
		n++;
	if (b && !ip_prefix_parse(b, &p[n]))
		n++;
	pool = pool_new(p, n);
}

/* The address of client @client behind peer number @peer, as text; or what went wrong. */
static const char *get(int peer, const char *client)
{
	static char text[8][IP_ADDR_STRLEN];
	static unsigned int next;
	struct scion_addr a;
	struct ip_addr c, out;
	char name[40];
	int err;

	snprintf(name, sizeof(name), "1-%d,10.0.0.1", 64512 + peer);
	scion_addr_parse(name, &a);
	ip_addr_parse(client, &c);
	err = pool_get(pool, &a, &c, &out);
	switch (err) {
	case 0:
		return ip_addr_str(&out, text[next++ % 8]);
	case -ENOSPC:
		return "ENOSPC";
	case -EAFNOSUPPORT:
		return "EAFNOSUPPORT";
	default:
		return "?";
	}
}

static void put(const char *address)
{
	struct ip_addr a;

	ip_addr_parse(address, &a);
	pool_put(pool, &a);
}

static bool is(const char *a, const char *b)
{
	bool same = !strcmp(a, b);

	if (!same)
		printf("%s is not %s\n", a, b);
	return same;
}

static void test_addresses(void)
{
	begin("10.64.0.0/29", NULL);
	CHECK("network and broadcast are left out", pool_size(pool) == 6);
	CHECK("the first", is(get(0, "10.7.1.1"), "10.64.0.1"));
	CHECK("the same client again", is(get(0, "10.7.1.1"), "10.64.0.1") && pool_used(pool) == 1);
	CHECK("another of that peer", is(get(0, "10.7.1.2"), "10.64.0.2"));
	CHECK("the same address behind another peer", is(get(1, "10.7.1.1"), "10.64.0.3"));
	put("10.64.0.1");
	CHECK("used twice, given back once", pool_used(pool) == 3);
	put("10.64.0.1");
	CHECK("and twice", pool_used(pool) == 2);
	put("10.64.0.1");
	put("10.9.9.9");
	CHECK("what is not used cannot be given back", pool_used(pool) == 2);
	CHECK("a fresh one first: the old one may still be in somebody's tables", is(get(0, "10.7.1.1"), "10.64.0.4"));
	CHECK("no prefix of that family", is(get(0, "fd00::1"), "EAFNOSUPPORT"));
	pool_free(pool);
}

static void test_families(void)
{
	begin("fd64::/64", "10.64.0.0/30");
	CHECK("2^32 - 1 of IPv6 and 2 of IPv4", pool_size(pool) == 0xffffffffull + 2);
	CHECK("IPv6", is(get(0, "fd07::1"), "fd64::1"));
	CHECK("IPv4", is(get(0, "10.7.1.1"), "10.64.0.1"));
	CHECK("both of one peer", is(get(0, "10.7.1.2"), "10.64.0.2"));
	CHECK("full for one family only", is(get(1, "10.7.1.1"), "ENOSPC") && is(get(1, "fd07::1"), "fd64::2"));
	pool_free(pool);
	begin("10.64.0.0/30", "10.65.0.0/30");
	CHECK("the next prefix when one is full", is(get(0, "10.0.0.1"), "10.64.0.1") && is(get(0, "10.0.0.2"), "10.64.0.2") &&
	      is(get(0, "10.0.0.3"), "10.65.0.1"));
	pool_free(pool);
	begin("10.64.0.0/32", "10.65.0.0/31");
	CHECK("too small for any", pool_size(pool) == 0 && is(get(0, "10.0.0.1"), "ENOSPC"));
	pool_free(pool);
	begin(NULL, NULL);
	CHECK("none at all", is(get(0, "10.0.0.1"), "EAFNOSUPPORT"));
	pool_free(pool);
	pool_free(NULL);
}

static int restore(int peer, const char *client, const char *address)
{
	struct scion_addr from;
	struct ip_addr c, a;
	char name[40];

	snprintf(name, sizeof(name), "1-%d,10.0.0.1", 64512 + peer);
	scion_addr_parse(name, &from);
	ip_addr_parse(client, &c);
	ip_addr_parse(address, &a);
	return pool_restore(pool, &from, &c, &a);
}

static void test_restore(void)
{
	begin("10.64.3.128/25", "fd64::/64");
	CHECK("as it was", !restore(0, "10.0.0.1", "10.64.3.130") && !restore(0, "fd07::1", "fd64::1:5"));
	CHECK("twice by two flows", !restore(0, "10.0.0.1", "10.64.3.130") && pool_used(pool) == 2);
	CHECK("another one's", restore(1, "10.0.0.1", "10.64.3.130") == -EEXIST);
	CHECK("a second one", restore(0, "10.0.0.1", "10.64.3.131") == -EEXIST);
	CHECK("of another pool", restore(1, "10.0.0.1", "10.64.3.127") == -EADDRNOTAVAIL &&
	      restore(1, "10.0.0.1", "10.64.3.128") == -EADDRNOTAVAIL && restore(1, "10.0.0.1", "10.64.3.255") == -EADDRNOTAVAIL);
	CHECK("it is given to its client", is(get(0, "10.0.0.1"), "10.64.3.130"));
	CHECK("and to nobody else", is(get(1, "10.0.0.1"), "10.64.3.129") && is(get(1, "10.0.0.2"), "10.64.3.131"));
	for (int i = 0; i < 3; i++)
		put("10.64.3.130");
	put("fd64::1:5");
	CHECK("free with its last use", pool_used(pool) == 2 && !restore(1, "10.0.0.3", "10.64.3.130"));
	pool_free(pool);
}

static void test_exhaustion(void)
{
	struct timespec from, to;
	size_t before;
	double ms;

	begin("10.64.0.0/16", NULL);
	for (int i = 0; i < 65534; i++) {
		char client[20];

		snprintf(client, sizeof(client), "10.%d.%d.1", i / 256, i % 256);
		if (get(0, client)[0] != '1') {
			CHECK("all of them", false);
			break;
		}
	}
	CHECK("full", pool_used(pool) == pool_size(pool) && is(get(1, "10.0.0.1"), "ENOSPC"));
	before = mallinfo2().uordblks;
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (int i = 0; i < 2000; i++)
		get(1 + i % 900, "10.0.0.1"); /* strangers, who cost the control thread nothing much */
	clock_gettime(CLOCK_MONOTONIC, &to);
	ms = 1e3 * (double)(to.tv_sec - from.tv_sec) + 1e-6 * (double)(to.tv_nsec - from.tv_nsec);
	CHECK("2000 refusals are not 2000 searches", ms < 500);
#ifndef __SANITIZE_ADDRESS__
	CHECK("and leave no memory behind", mallinfo2().uordblks < before + 4096);
#else
	(void)before;
#endif
	put("10.64.200.7");
	CHECK("the one that is free is found", is(get(1, "10.0.0.1"), "10.64.200.7"));
	pool_free(pool);
}

const struct unit_test unit_tests[] = {
	{ "addresses", test_addresses },
	{ "families", test_families },
	{ "restored after a restart", test_restore },
	{ "exhaustion", test_exhaustion },
	{ 0 },
};
