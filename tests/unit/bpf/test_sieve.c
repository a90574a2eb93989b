/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/sieve.h"

#include "tests/unit/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sieve *sieve;
static int rx, tx;

static void put_ia(uint8_t *p, uint64_t ia)
{
	for (int i = 0; i < 8; i++)
		p[i] = (uint8_t)(ia >> (56 - 8 * i));
}

static bool begin(uint32_t peers, uint32_t as, uint32_t strangers)
{
	struct sieve_rates rates = { { peers, as, strangers }, 8 };
	struct sieve_host host = { .host = { 10, 1, 0, 1 }, .host_len = 4 }, host6 = { .host = { 0xfd, 9 }, .host_len = 16 },
			  any = { 0 };
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int err = sieve_open(&rates, 3, &sieve);

	if (err < 0) {
		printf("the kernel refuses the program (%s): not tested\n", strerror(-err));
		return false;
	}
	put_ia(host.ia, 1);
	put_ia(host6.ia, 1);
	put_ia(any.ia, 2);
	CHECK("hosts", !sieve_add(sieve, &host) && !sieve_add(sieve, &host6) && !sieve_add(sieve, &any));
	rx = socket(AF_INET, SOCK_DGRAM, 0);
	tx = socket(AF_INET, SOCK_DGRAM, 0);
	CHECK("sockets", !bind(rx, (struct sockaddr *)&a, len) && !getsockname(rx, (struct sockaddr *)&a, &len) &&
				 !connect(tx, (struct sockaddr *)&a, len));
	CHECK("attached", !sieve_attach(sieve, rx));
	return true;
}

static void end(void)
{
	close(rx);
	close(tx);
	sieve_close(sieve);
}

static size_t packet(uint8_t *p, uint64_t ia, bool v6, uint8_t type, uint32_t name)
{
	size_t hdr = v6 ? 48 : 36;
	uint8_t *frame = p + hdr + 8;

	memset(p, 0, hdr + 8 + 76);
	p[4] = 17;
	p[5] = (uint8_t)(hdr / 4);
	p[9] = v6 ? 0x03 : 0;
	put_ia(p + 12, 7);
	put_ia(p + 20, ia);
	memcpy(p + 32, v6 ? "\xfd\x09" : "\x0a\x01\x00\x01", v6 ? 2 : 4);
	frame[0] = (uint8_t)(0x10 | type);
	memcpy(frame + 12, &name, 4);
	return hdr + 8 + 76;
}

static bool passes(const uint8_t *p, size_t len)
{
	uint8_t got[2048];

	return send(tx, p, len, 0) == (ssize_t)len && recv(rx, got, sizeof(got), MSG_DONTWAIT) == (ssize_t)len;
}

static uint32_t name;

static unsigned int count(uint64_t ia, bool v6, uint8_t type, unsigned int n)
{
	unsigned int passed = 0;
	uint8_t p[256];

	while (n--)
		passed += passes(p, packet(p, ia, v6, type, ++name));
	return passed;
}

#define ABOUT(n, least) ((n) >= (least) && (n) <= (least) + 12) /* time goes on meanwhile */

static void test_shares(void)
{
	uint8_t p[256];
	size_t len;

	if (!begin(40, 20, 4))
		return;
	CHECK("OPENs of a peer", ABOUT(count(1, false, 3, 100), 40));
	CHECK("its other frames", ABOUT(count(1, false, 4, 100), 40));
	CHECK("counted", sieve_dropped(sieve, SIEVE_FRAMES + SIEVE_PEER) > 90);
	CHECK("of another one at the same address family", count(1, true, 3, 100) < 12);
	CHECK("hosts of an AS", ABOUT(count(2, false, 3, 100), 20));
	CHECK("strangers", ABOUT(count(3, false, 3, 100), 4) && ABOUT(count(3, false, 9, 100), 4));
	CHECK("counted, too", sieve_dropped(sieve, SIEVE_FRAMES + SIEVE_STRANGER) > 170);
	CHECK("traffic of flows passes", count(3, false, 7, 100) == 100 && count(3, false, 8, 10) == 10 &&
						 count(3, false, 6, 10) == 10);
	len = packet(p, 1, false, 3, 0x1234567);
	CHECK("an OPEN that is repeated", !passes(p, len) && passes(p, len));
	len = packet(p, 3, false, 3, 0x1234567);
	CHECK("one of a stranger", !passes(p, len) && !passes(p, len));
	len = packet(p, 1, false, 7, 1);
	p[0] = 0x10;
	CHECK("another SCION version", !passes(p, len) && sieve_dropped(sieve, SIEVE_MALFORMED) == 1);
	len = packet(p, 1, false, 7, 1);
	p[4] = 202;
	for (int i = 0; i < 40; i++)
		passes(p, len);
	CHECK("SCMP", sieve_dropped(sieve, SIEVE_SCMP) > 20);
	CHECK("too short to tell", passes(p, 11) && passes(p, 0));
	len = packet(p, 1, false, 3, 1);
	p[9] = 0x44;
	CHECK("a service address: the daemon's business", passes(p, len));
	p[9] = 0;
	p[5] = 255;
	CHECK("a header that is longer than the packet", passes(p, len));
	end();
}

const struct unit_test unit_tests[] = {
	{ "shares", test_shares },
	{ 0 },
};
