/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/scion_addr.h"

#include "tests/unit/check.h"

#include <errno.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void test_isd_as(void)
{
	static const struct {
		const char *text;
		uint64_t want;
		const char *canonical;
	} good[] = {
		{ "0-0", 0, "0-0" },
		{ "1-1", 1ull << 48 | 1, "1-1" },
		{ "1-64512", 1ull << 48 | 64512, "1-64512" },
		{ "65535-1", 0xffffull << 48 | 1, "65535-1" },
		{ "1-4294967295", 1ull << 48 | 0xffffffff, "1-4294967295" },
		{ "1-1:0:0", 1ull << 48 | 1ull << 32, "1-1:0:0" },
		{ "1-1:fcd1:1", 0x00010001fcd10001, "1-1:fcd1:1" },
		{ "1-ff00:0:110", 0x0001ff0000000110, "1-ff00:0:110" },
		{ "1-FF00:0:aBc", 0x0001ff0000000abc, "1-ff00:0:abc" },
		{ "1-ff00:0000:0110", 0x0001ff0000000110, "1-ff00:0:110" },
		{ "2-0:0:fc00", 2ull << 48 | 64512, "2-64512" },
		{ "2-0:0:1", 2ull << 48 | 1, "2-1" },
		{ "65535-ffff:ffff:ffff", UINT64_MAX, "65535-ffff:ffff:ffff" },
	};
	static const char *const bad[] = {
		"",
		"a",
		"1a-2b",
		"-",
		"1",
		"1-",
		"-1",
		"-1-",
		"1--1",
		"65536-1",
		"99999999999-1",
		"1-4294967296",
		"1-18446744073709551617",
		"1-0x0",
		"1-ff",
		"1-:",
		"1-0:0:0:",
		"1-:0:0:",
		"1-0:0",
		"1-10000:0:0",
		"1-0:10000:0",
		"1-ffff:ffff:10000",
		"1-0:0x0:0",
		"1-ff000:0:0",
		"1-0:0:0:0",
		"1- 1",
		" 1-1",
		"1-1 ",
		"+1-1",
		"1-+1",
		"1_1",
		"1-0::0",
		"1-ff00:0:110,",
		"1-g:0:0",
		"1-ff00_0_110",
		"ISD1-AS1",
		"1-1\n",
	};
	char buf[ISD_AS_STRLEN];

	for (size_t i = 0; i < COUNT(good); i++) {
		struct isd_as ia = { 0 };

		CHECK(good[i].text, !isd_as_parse(good[i].text, &ia) && ia.v == good[i].want);
		CHECK(good[i].canonical, !strcmp(isd_as_str(ia, buf), good[i].canonical));
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct isd_as ia = { 42 };

		CHECK(bad[i], isd_as_parse(bad[i], &ia) == -EINVAL && ia.v == 42);
	}
}

static void test_addr(void)
{
	static const struct {
		const char *text, *canonical;
	} good[] = {
		{ "0-0,::", "0-0,::" },
		{ "0-0,0.0.0.0", "0-0,0.0.0.0" },
		{ "1-64512,10.0.0.1", "1-64512,10.0.0.1" },
		{ "1-ffaa:0:1101,::1", "1-ffaa:0:1101,::1" },
		{ "1-64512,[::1]", "1-64512,::1" },
		{ "1-ff00:0:300,[1.2.3.4]", "1-ff00:0:300,1.2.3.4" },
		{ "65535-1,ff00::1", "65535-1,ff00::1" },
		{ "1-1:fcd1:1,::ffff:192.0.2.128", "1-1:fcd1:1,192.0.2.128" },
		{ "65535-ffff:ffff:ffff,2001:db8:1234:5678:9abc:def0:1234:5678",
		  "65535-ffff:ffff:ffff,2001:db8:1234:5678:9abc:def0:1234:5678" },
	};
	static const char *const bad[] = {
		"",
		",",
		"a",
		"0-0::",
		"0-0,::,",
		"1,ffaa:0:1101::",
		"65536-1,ff00::1",
		"[1-ffaa:0:1101,127.0.0.1]",
		"1-64512",
		"1-64512,",
		"1-64512,[]",
		"1-64512,[::1",
		"1-64512,::1]",
		"1-64512,[[::1]]",
		"1-64512,CS",
		"1-64512,10.0.0",
		"1-64512,10.0.0.256",
		"1-64512,10.0.0.1:80",
		"1-64512,fe80::1%eth0",
		"1-64512, 10.0.0.1",
		"1-64512,host",
		"1-64512,2001:db8:1234:5678:9abc:def0:1234:5678:9abc:def0:1234:5678:9abc:def0:1234",
	};
	struct scion_addr a, b;
	char buf[SCION_ADDR_STRLEN];

	for (size_t i = 0; i < COUNT(good); i++) {
		CHECK(good[i].text, !scion_addr_parse(good[i].text, &a) &&
					    !strcmp(scion_addr_str(&a, buf), good[i].canonical));
		CHECK("canonical text parses to the same",
		      !scion_addr_parse(buf, &b) && scion_addr_eq(&a, &b));
	}
	b = a;
	for (size_t i = 0; i < COUNT(bad); i++)
		CHECK(bad[i], scion_addr_parse(bad[i], &b) == -EINVAL && scion_addr_eq(&a, &b));
	b.ia.v ^= 1;
	CHECK("another AS", !scion_addr_eq(&a, &b));
	b = a;
	b.host.b[15] ^= 1;
	CHECK("another host", !scion_addr_eq(&a, &b));
}

static void test_endpoint(void)
{
	static const struct {
		const char *text, *canonical;
		uint16_t port;
	} good[] = {
		{ "[1-64512,10.0.0.1]:9000", "[1-64512,10.0.0.1]:9000", 9000 },
		{ "[1-ffaa:0:1101,::1]:54321", "[1-ffaa:0:1101,::1]:54321", 54321 },
		{ "[0-0,::]:65535", "[0-0,::]:65535", 65535 },
		{ "[0-0,0.0.0.0]:1234", "[0-0,0.0.0.0]:1234", 1234 },
		{ "[0-0,::]:0", "0-0,::", 0 },
		{ "[1-ffaa:0:1101,127.0.0.1]:010", "[1-ffaa:0:1101,127.0.0.1]:10", 10 },
		{ "1-64512,10.0.0.1:9000", "[1-64512,10.0.0.1]:9000", 9000 },
		{ "1-ff00:0:300,1.2.3.4:0", "1-ff00:0:300,1.2.3.4", 0 },
		{ "1-64512,[::1]:9000", "[1-64512,::1]:9000", 9000 },
		{ "1-ff00:0:300,[1.2.3.4]:80", "[1-ff00:0:300,1.2.3.4]:80", 80 },
		{ "1-64512,10.0.0.1", "1-64512,10.0.0.1", 0 },
		{ "1-ff00:0:302,::1", "1-ff00:0:302,::1", 0 },
		{ "1-ff00:0:302,2001:db8::1:80", "1-ff00:0:302,2001:db8::1:80", 0 },
		{ "1-ff00:0:301,[1.2.3.4]", "1-ff00:0:301,1.2.3.4", 0 },
		{ "1-ff00:0:301,[::1]", "1-ff00:0:301,::1", 0 },
	};
	static const char *const bad[] = {
		"",
		"foo",
		"5-",
		"2-ff00:0:300,[",
		"5-ff00:0:300,[]:",
		"5-ff00:0:300,[127.0.0.1]:",
		"40-ff00:0:300,[]:19",
		"1-ff00:0:300,[]:13,[f",
		"1-ff00:0:300,[host]:12",
		"1-ff00:0:300]:14,[1.2.3.4]",
		"1-ff00:0:300,[1.2.3.4]:70000",
		"1-ff00:0:300,[1.2.3.4]]",
		"1-ff00:0:300,::1:60000",
		"[1-ff00:0:110,1.2.3.4]:70:300",
		"[1-ff00:0:110,1.2.3.4,80]:80",
		"[1-ff00:0:110,1.2.3.4]",
		"[1-,127.0.0.1]:80",
		"[1-ff00:0:110,::1%some-zone]",
		"1-ff000:0:0,192.168.1.1:80",
		"1-ff00:0:1,192.1688.1.1:80",
		"1-ff00:0:1,192.168.1.1:123456",
		"1-ff00:0:1x192.168.1.1:80",
		"1-ff00:0:1,[dead::beef%some-zone]:80",
		"[]",
		"[]:",
		"[0-0,::]:65536",
		"[0-0,::]:http",
		"[0-0,::]:",
		"[1-ffaa:0:1101,127.0.0.1]:0xff",
		"[1-ffaa:0:1101,127.0.0.1]:-1",
		"[1-ffaa:0:1101,127.0.0.1]: 1",
		"[1-64512,CS]:42",
		"[1-64512,[::1]]:80",
		"1-64512,10.0.0.1:",
		"1-64512:80",
		":80",
		"[",
		"]:1",
		"1-1,:",
		"1-1,]:1",
		"[1-64512,10.0.0.1]9000",
		"[1-64512,10.0.0.1]:9000 ",
	};
	struct scion_endpoint e = { 0 }, again;
	char buf[SCION_ENDPOINT_STRLEN];

	for (size_t i = 0; i < COUNT(good); i++) {
		CHECK(good[i].text,
		      !scion_endpoint_parse(good[i].text, &e) && e.port == good[i].port &&
			      !strcmp(scion_endpoint_str(&e, buf), good[i].canonical));
		CHECK("canonical text parses to the same",
		      !scion_endpoint_parse(buf, &again) && again.port == e.port &&
			      scion_addr_eq(&again.addr, &e.addr));
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		again = e;
		CHECK(bad[i], scion_endpoint_parse(bad[i], &again) == -EINVAL &&
				      scion_addr_eq(&again.addr, &e.addr));
	}
	e.port = 65535;
	scion_addr_parse("65535-ffff:ffff:ffff,2001:db8:1234:5678:9abc:def0:1234:5678", &e.addr);
	CHECK("the longest text fits", strlen(scion_endpoint_str(&e, buf)) + 1 <= sizeof(buf) &&
					       !scion_endpoint_parse(buf, &again) &&
					       again.port == 65535);
}

const struct unit_test unit_tests[] = {
	{ "ISD-AS", test_isd_as },
	{ "address", test_addr },
	{ "endpoint", test_endpoint },
	{ 0 },
};
