/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/io/mptcp_pm.h"

#include "tests/unit/check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FAMILY 0x21

/* Hexadecimal digits, anything else ignored; aligned as netlink wants it. */
static const uint8_t *bytes(const char *hex, size_t *len)
{
	static _Alignas(8) uint8_t out[1024];
	int high = -1;

	*len = 0;
	for (; *hex; hex++) {
		int d = *hex >= '0' && *hex <= '9' ? *hex - '0' : *hex >= 'a' && *hex <= 'f' ? *hex - 'a' + 10 : -1;

		if (d < 0)
			continue;
		if (high < 0) {
			high = d;
		} else {
			out[(*len)++] = (uint8_t)(high << 4 | d);
			high = -1;
		}
	}
	return out;
}

static bool is(const void *msg, int len, const char *hex)
{
	size_t n;
	const uint8_t *want = bytes(hex, &n);

	return len == (int)n && !memcmp(msg, want, n);
}

static struct ip_addr ip(const char *text)
{
	struct ip_addr a = { 0 };

	ip_addr_parse(text, &a);
	return a;
}

/* The bytes of these vectors are of a little-endian machine, as is where they were taken. */
static bool little_endian(void)
{
	const uint16_t one = 1;

	return *(const uint8_t *)&one;
}

static void test_commands(void)
{
	_Alignas(8) uint8_t buf[512];
	struct mptcp_pm_subflow s = {
		.token = 0xd90986f0, .local = ip("10.7.1.2"), .remote = ip("10.7.0.9"), .local_port = 40000, .remote_port = 5001,
		.id = 2, .ifindex = 3,
	};
	int n;

	n = mptcp_pm_build(buf, sizeof(buf), FAMILY, 7, MPTCP_PM_CREATE, &s);
	CHECK("create", is(buf, n,
			   "64000000 2100 0500 07000000 00000000 0a010000 08000400 f08609d9"
			   "2c000180 06000100 02000000 05000200 02000000 08000300 0a070102 06000500 409c0000 08000700 03000000"
			   "1c000680 06000100 02000000 08000300 0a070009 06000500 89130000"));
	s.backup = true;
	s.ifindex = 0;
	n = mptcp_pm_build(buf, sizeof(buf), FAMILY, 7, MPTCP_PM_CREATE, &s);
	CHECK("create for backup", is(buf, n,
			   "64000000 2100 0500 07000000 00000000 0a010000 08000400 f08609d9"
			   "2c000180 06000100 02000000 05000200 02000000 08000300 0a070102 06000500 409c0000 08000600 04000000"
			   "1c000680 06000100 02000000 08000300 0a070009 06000500 89130000"));
	n = mptcp_pm_build(buf, sizeof(buf), FAMILY, 8, MPTCP_PM_PRIORITY, &s);
	CHECK("to backup", is(buf, n,
			      "5c000000 2100 0500 08000000 00000000 07010000 08000400 f08609d9"
			      "24000180 06000100 02000000 08000300 0a070102 06000500 409c0000 08000600 04000000"
			      "1c000680 06000100 02000000 08000300 0a070009 06000500 89130000"));
	s.backup = false;
	n = mptcp_pm_build(buf, sizeof(buf), FAMILY, 8, MPTCP_PM_PRIORITY, &s);
	CHECK("and back", is(buf, n,
			     "5c000000 2100 0500 08000000 00000000 07010000 08000400 f08609d9"
			     "24000180 06000100 02000000 08000300 0a070102 06000500 409c0000 08000600 00000000"
			     "1c000680 06000100 02000000 08000300 0a070009 06000500 89130000"));
	n = mptcp_pm_build(buf, sizeof(buf), FAMILY, 9, MPTCP_PM_DESTROY, &s);
	CHECK("destroy", is(buf, n,
			    "54000000 2100 0500 09000000 00000000 0b010000 08000400 f08609d9"
			    "1c000180 06000100 02000000 08000300 0a070102 06000500 409c0000"
			    "1c000680 06000100 02000000 08000300 0a070009 06000500 89130000"));
	n = mptcp_pm_build(buf, sizeof(buf), FAMILY, 10, MPTCP_PM_REMOVE, &s);
	CHECK("remove", is(buf, n, "24000000 2100 0500 0a000000 00000000 09010000 08000400 f08609d9 05000500 02000000"));
	s.local = ip("fd00:7:1::2");
	CHECK("two families", mptcp_pm_build(buf, sizeof(buf), FAMILY, 1, MPTCP_PM_CREATE, &s) == -EINVAL);
	s.remote = ip("fd00:70::1");
	n = mptcp_pm_build(buf, sizeof(buf), FAMILY, 9, MPTCP_PM_DESTROY, &s);
	CHECK("IPv6", is(buf, n,
			 "6c000000 2100 0500 09000000 00000000 0b010000 08000400 f08609d9"
			 "28000180 06000100 0a000000 14000400 fd000007 00010000 00000000 00000002 06000500 409c0000"
			 "28000680 06000100 0a000000 14000400 fd000070 00000000 00000000 00000001 06000500 89130000"));
	CHECK("no room", mptcp_pm_build(buf, 255, FAMILY, 1, MPTCP_PM_CREATE, &s) == -EMSGSIZE);
}

/* ---- what Linux 6.18 said when a connection over the loopback device began and ended ---- */

#define SERVER_ESTABLISHED                                                                                                   \
	"64000000 2100 0000 00000000 00000000 02010000 08000100 7e91de68 05001200 01000000 06000d00 02000000 06000200 02000000" \
	"08000500 7f000001 08000700 7f000001 06000900 15b30000 06000a00 c55e0000 05000300 00000000 05000400 00000000"
#define CLIENT_ESTABLISHED                                                                                                   \
	"54000000 2100 0000 00000000 00000000 02010000 08000100 db663e09 06000200 02000000 08000500 7f000001 08000700 7f000001" \
	"06000900 c55e0000 06000a00 15b30000 05000300 00000000 05000400 00000000"
#define CLOSED "1c000000 2100 0000 00000000 00000000 03010000 08000100 db663e09"

static void test_events(void)
{
	struct mptcp_pm_event e;
	size_t len;
	const uint8_t *p = bytes(SERVER_ESTABLISHED CLIENT_ESTABLISHED CLOSED, &len);
	struct ip_addr loopback = ip("127.0.0.1");
	int n = mptcp_pm_parse(p, len, FAMILY, &e);

	CHECK("the server's", n == 100 && e.type == MPTCP_PM_ESTABLISHED && e.server_side && e.token == 0x68de917e);
	CHECK("ports", e.local_port == 5555 && e.remote_port == 0xc55e);
	p += n;
	len -= (size_t)n;
	n = mptcp_pm_parse(p, len, FAMILY, &e);
	CHECK("the client's", n == 84 && e.type == MPTCP_PM_ESTABLISHED && !e.server_side && !e.no_joins);
	CHECK("addresses", ip_addr_eq(&e.local, &loopback) && ip_addr_eq(&e.remote, &loopback) && e.remote_port == 5555);
	CHECK("token", e.token == 0x093e66db);
	p += n;
	len -= (size_t)n;
	n = mptcp_pm_parse(p, len, FAMILY, &e);
	CHECK("the end", n == 28 && e.type == MPTCP_PM_CLOSED && e.token == 0x093e66db && (size_t)n == len);
	CHECK("another family is passed over", mptcp_pm_parse(p, len, FAMILY + 1, &e) == 28 && e.type == MPTCP_PM_OTHER);
	for (size_t cut = 0; cut < len; cut++)
		CHECK("cut off", mptcp_pm_parse(p, cut, FAMILY, &e) == -EBADMSG);

	/* A subflow that a RST ended, of a socket of IPv6 that speaks IPv4. */
	p = bytes("7c000000 2100 0000 00000000 00000000 0b010000 08000100 db663e09 06000200 0a000000"
		  "14000600 00000000 00000000 0000ffff 0a070102 14000800 00000000 00000000 0000ffff 0a070009"
		  "06000900 9c400000 06000a00 13890000 05000300 02000000 05000400 00000000 05000c00 68000000 05000b00 00000000",
		  &len);
	n = mptcp_pm_parse(p, len, FAMILY, &e);
	struct ip_addr local = ip("10.7.1.2"), remote = ip("10.7.0.9");

	CHECK("closed by RST", n == (int)len && e.type == MPTCP_PM_SUBFLOW_CLOSED && e.error == ECONNRESET);
	CHECK("IPv4", ip_addr_eq(&e.local, &local) && ip_addr_eq(&e.remote, &remote) && e.local_port == 40000);

	p = bytes("1c000000 2100 0000 00000000 00000000 02010000 08000100 db663e09", &len);
	CHECK("established without addresses", mptcp_pm_parse(p, len, FAMILY, &e) == -EBADMSG);
	p = bytes("10000000 2100 0000 00000000 00000000", &len);
	CHECK("nothing in it", mptcp_pm_parse(p, len, FAMILY, &e) == -EBADMSG);
	p = bytes("0c000000 2100 0000 00000000 00000000", &len);
	CHECK("too short for itself", mptcp_pm_parse(p, len, FAMILY, &e) == -EBADMSG);
	p = bytes("1c000000 2100 0000 00000000 00000000 02010000 f0ff0100 db663e09", &len);
	CHECK("an attribute that is longer than all", mptcp_pm_parse(p, len, FAMILY, &e) == -EBADMSG);
}

static void test_answers(void)
{
	char why[MPTCP_PM_WHY_LEN];
	size_t len;
	const uint8_t *p = bytes("24000000 0200 0001 07000000 00000000 00000000 64000000 2100 0500 07000000 00000000", &len);

	CHECK("done", !mptcp_pm_parse_answer(p, len, 7, why) && !*why);
	CHECK("to another command", mptcp_pm_parse_answer(p, len, 8, why) == 1);
	p = bytes("38000000 0200 0003 07000000 00000000 eaffffff 64000000 2100 0500 07000000 00000000"
		  "12000100 696e76616c696420746f6b656e00 0000", &len);
	CHECK("no such connection", mptcp_pm_parse_answer(p, len, 7, why) == -ESRCH && !strcmp(why, "invalid token"));
	p = bytes("48000000 0200 0003 07000000 00000000 eaffffff 64000000 2100 0500 07000000 00000000"
		  "21000100 646964206e6f74206d61746368206164647265737320616e6420696400 000000", &len);
	CHECK("its id is taken", mptcp_pm_parse_answer(p, len, 7, why) == -EEXIST);
	p = bytes("24000000 0200 0001 07000000 00000000 95ffffff 64000000 2100 0500 07000000 00000000", &len);
	CHECK("without words", mptcp_pm_parse_answer(p, len, 7, why) == -ENOTCONN);
	p = bytes("24000000 0200 0001 07000000 00000000 05000000 64000000 2100 0500 07000000 00000000", &len);
	CHECK("no error number", mptcp_pm_parse_answer(p, len, 7, why) == -EBADMSG);
	for (size_t cut = 0; cut < len; cut++)
		CHECK("cut off", mptcp_pm_parse_answer(p, cut, 7, why) == -EBADMSG);
}

const char *unit_skip(void)
{
	return little_endian() ? NULL : "the vectors are of a little-endian machine";
}

const struct unit_test unit_tests[] = {
	{ "commands", test_commands },
	{ "events", test_events },
	{ "answers", test_answers },
	{ 0 },
};
