/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/io/underlay.h"

#include "tests/unit/check.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* On loopback, with the real UDP_SEGMENT and UDP_GRO. */

static struct underlay_rx rx;
static uint8_t data[70000];

static struct ip_addr loopback(bool v6)
{
	struct ip_addr a;

	ip_addr_parse(v6 ? "::1" : "127.0.0.1", &a);
	return a;
}

static int open_any(bool v6, uint16_t *port)
{
	struct ip_addr a = loopback(v6);

	*port = 0;
	return underlay_open(&a, port, 42000, 42999);
}

static void test_ports(void)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct ip_addr a = loopback(v6);
		uint16_t first, second = 0, same;
		int one = open_any(v6, &first), two = open_any(v6, &second), three;

		CHECK("the first that is free", one >= 0 && first >= 42000 && first <= 42999);
		CHECK("then the next", two >= 0 && second > first);
		same = first;
		three = underlay_open(&a, &same, 1, 65535);
		CHECK("a port of its own is not replaced by another", three == -EADDRINUSE && same == first);
		same = 0;
		CHECK("none is free", underlay_open(&a, &same, first, first) == -EADDRINUSE && !same);
		close(one);
		close(two);
	}
	struct ip_addr other;
	uint16_t port = 0;

	ip_addr_parse("192.0.2.77", &other);
	CHECK("not an address of ours", underlay_open(&other, &port, 42000, 42999) == -EADDRNOTAVAIL);
}

static void test_local_address(void)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct ip_addr a = loopback(v6), got = { 0 };
		union sock_addr to = sock_addr_make(&a, 30042);

		CHECK("towards loopback: loopback", !underlay_local_address(&to, &got) && ip_addr_eq(&got, &a));
	}
}

/* All that waits, segment by segment, into @out. Return: number of segments; @sizes of each. */
static unsigned int receive(int fd, uint8_t *out, size_t *sizes, unsigned int want, size_t *total)
{
	unsigned int n = 0;

	*total = 0;
	while (n < want) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int got;

		if (poll(&p, 1, 2000) <= 0)
			break;
		got = underlay_recv(fd, &rx, UNDERLAY_RX_BUFFERS);
		for (int i = 0; i < got; i++) {
			size_t left = rx.msgs[i].msg_len, seg = underlay_rx_segment(&rx, (unsigned int)i);
			uint8_t *from = rx.iov[i].iov_base;

			while (left) {
				size_t len = left < seg ? left : seg;

				memcpy(out + *total, from, len);
				*total += len;
				sizes[n++] = len;
				from += len;
				left -= len;
			}
		}
	}
	return n;
}

/* Sends from the same port and gets nothing, whoever sends; the port is still ours alone. */
static void test_twin(void)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct ip_addr a = loopback(v6);
		uint16_t port, other, again;
		int fd = open_any(v6, &port), twin = underlay_twin(fd), peer = open_any(v6, &other);
		union sock_addr to = sock_addr_make(&a, port), back = sock_addr_make(&a, other), from;
		socklen_t len = sizeof(from);
		unsigned int n = 0;
		char c;

		CHECK("there", twin >= 0);
		CHECK("sends", underlay_sendto(twin, &back, "x", 1) == VERDICT_PASS);
		CHECK("from the port", recvfrom(peer, &c, 1, 0, &from.sa, &len) == 1 && !memcmp(&from, &to, sock_addr_len(&to)));
		for (int i = 0; i < 50; i++) {
			uint16_t p;
			int s = open_any(v6, &p);

			CHECK("sent", underlay_sendto(s, &to, "y", 1) == VERDICT_PASS);
			close(s);
		}
		while (recv(fd, &c, 1, 0) == 1)
			n++;
		CHECK("all of it arrives where it is read", n == 50);
		again = port;
		CHECK("taken", underlay_open(&a, &again, 0, 0) == -EADDRINUSE);
		close(twin);
		CHECK("sent", underlay_sendto(peer, &to, "z", 1) == VERDICT_PASS);
		CHECK("also without it", recv(fd, &c, 1, 0) == 1);
		close(fd);
		close(peer);
	}
	CHECK("no socket", underlay_twin(-1) == -EBADF);
}

static void test_segments(void)
{
	static uint8_t got[200000];
	size_t sizes[200], total;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 13 + i / 251);
	for (int v6 = 0; v6 < 2; v6++) {
		uint16_t from_port, to_port;
		int from = open_any(v6, &from_port), to = open_any(v6, &to_port);
		struct ip_addr a = loopback(v6);
		union sock_addr dest = sock_addr_make(&a, to_port);
		uint64_t verdicts[VERDICT_COUNT] = { 0 };
		struct iovec iov[128];
		struct underlay_msg msgs[3];
		unsigned int n;
		bool fine = true;

		CHECK("nothing there", underlay_recv(to, &rx, UNDERLAY_RX_BUFFERS) == 0);
		/* 64 segments of 1000 bytes, gathered from headers of 100 and payload of 900; one shorter; one alone. */
		for (int i = 0; i < 64; i++) {
			iov[2 * i] = (struct iovec){ data + 1000 * i, 100 };
			iov[2 * i + 1] = (struct iovec){ data + 1000 * i + 100, 900 };
		}
		msgs[0] = (struct underlay_msg){ &dest, iov, 128, 1000, 64 };
		msgs[1] = (struct underlay_msg){ &dest, (struct iovec[]){ { data, 2500 } }, 1, 1000, 3 };
		msgs[2] = (struct underlay_msg){ &dest, (struct iovec[]){ { data, 77 } }, 1, 77, 1 };
		underlay_send(from, msgs, 3, verdicts);
		n = receive(to, got, sizes, 68, &total);
		CHECK("64, 3 and 1 datagrams", n == 68 && total == 64000 + 2500 + 77);
		for (unsigned int i = 0; i < n; i++)
			fine &= sizes[i] == (i == 66 ? 500 : i == 67 ? 77 : 1000);
		CHECK("cut as they were sent", fine);
		CHECK("the same bytes", !memcmp(got, data, 64000) && !memcmp(got + 64000, data, 2500) &&
		      !memcmp(got + 66500, data, 77));
		CHECK("from the sender", sock_addr_port(&rx.from[0]) == from_port);
		for (int v = 0; v < VERDICT_COUNT; v++)
			fine &= !verdicts[v];
		CHECK("no drop", fine);
		close(from);
		close(to);
	}
}

/* What a kernel does not cut is sent in pieces that look the same. */
static void test_uncut(void)
{
	static uint8_t got[200000];
	uint16_t from_port, to_port;
	int from = open_any(false, &from_port), to = open_any(false, &to_port);
	struct ip_addr a = loopback(false);
	union sock_addr dest = sock_addr_make(&a, to_port);
	uint64_t verdicts[VERDICT_COUNT] = { 0 };
	struct iovec iov[] = { { data, 100 }, { data + 100, 900 }, { data + 1000, 100 }, { data + 1100, 900 },
			       { data + 2000, 100 }, { data + 2100, 33 } };
	struct underlay_msg m = { &dest, iov, 6, 1000, 3 };
	size_t sizes[200], total;

	underlay_send_uncut(from, &m, verdicts);
	CHECK("three datagrams", receive(to, got, sizes, 3, &total) == 3 && total == 2133);
	CHECK("cut where UDP_SEGMENT cuts", sizes[0] == 1000 && sizes[1] == 1000 && sizes[2] == 133);
	CHECK("the same bytes", !memcmp(got, data, 2133));
	close(from);
	close(to);
}

/* One message that the kernel refuses does not take the others with it. */
static void test_refused(void)
{
	static uint8_t got[200000];
	uint16_t from_port, to_port;
	int from = open_any(false, &from_port), to = open_any(false, &to_port);
	struct ip_addr a = loopback(false);
	union sock_addr dest = sock_addr_make(&a, to_port), nowhere = sock_addr_make(&a, 0);
	uint64_t verdicts[VERDICT_COUNT] = { 0 };
	size_t sizes[200], total;
	struct underlay_msg msgs[] = {
		{ &nowhere, (struct iovec[]){ { data, 10 } }, 1, 10, 1 },
		{ &dest, (struct iovec[]){ { data, 11 } }, 1, 11, 1 },
		{ &dest, (struct iovec[]){ { data, 65508 } }, 1, 65508, 1 },
		{ &dest, (struct iovec[]){ { data, 12 } }, 1, 12, 1 },
		{ &nowhere, (struct iovec[]){ { data, 10 } }, 1, 10, 1 },
	};

	underlay_send(from, msgs, 5, verdicts);
	CHECK("the others arrive", receive(to, got, sizes, 2, &total) == 2 && sizes[0] == 11 && sizes[1] == 12);
	CHECK("counted by reason", verdicts[VERDICT_SEND_FAILED] == 2 && verdicts[VERDICT_SEND_TOO_BIG] == 1);
	CHECK("one datagram, too large", underlay_sendto(from, &dest, data, 65508) == VERDICT_SEND_TOO_BIG);
	CHECK("one datagram", underlay_sendto(from, &dest, data, 65507) == VERDICT_PASS);
	CHECK("as large as it gets", receive(to, got, sizes, 1, &total) == 1 && total == 65507);
	close(from);
	close(to);
}

static void test_many(void)
{
	static uint8_t got[200000];
	uint16_t from_port, to_port;
	int from = open_any(false, &from_port), to = open_any(false, &to_port);
	struct ip_addr a = loopback(false);
	union sock_addr dest = sock_addr_make(&a, to_port);
	uint64_t verdicts[VERDICT_COUNT] = { 0 };
	struct underlay_msg msgs[UNDERLAY_MAX_BATCH];
	struct iovec iov[UNDERLAY_MAX_BATCH];
	size_t sizes[200], total;

	for (unsigned int i = 0; i < UNDERLAY_MAX_BATCH; i++) {
		iov[i] = (struct iovec){ data, 1 + i };
		msgs[i] = (struct underlay_msg){ &dest, &iov[i], 1, (uint16_t)(1 + i), 1 };
	}
	underlay_send(from, msgs, UNDERLAY_MAX_BATCH, verdicts);
	CHECK("a full batch, over several receives", receive(to, got, sizes, 64, &total) == 64 && total == 64 * 65 / 2);
	close(from);
	close(to);
}

static void test_begin(void)
{
	CHECK("memory", !underlay_rx_init(&rx));
}

static void test_end(void)
{
	underlay_rx_fini(&rx);
	underlay_rx_fini(&rx);
	CHECK("twice is fine", !rx.bytes);
}

/* Without CAP_NET_ADMIN the limit of the kernel counts, and it shows. */
static void test_receive_buffer(void)
{
	static uint8_t bytes[60000];
	struct ip_addr a = loopback(false);
	uint16_t port;
	int fd = open_any(false, &port), status = -1;
	union sock_addr to = sock_addr_make(&a, port);
	FILE *f = fopen("/proc/sys/net/core/rmem_max", "r");
	unsigned int most = 0;
	pid_t child;

	CHECK("rmem_max", f && fscanf(f, "%u", &most) == 1 && most);
	if (f)
		fclose(f);
	if (!geteuid())
		CHECK("all of it", underlay_receive_bytes(fd) == UNDERLAY_RECEIVE_BYTES);
	child = fork();
	if (!child) {
		uint16_t other;
		uint32_t got;
		int own;

		if (!geteuid() && setuid(65534) < 0)
			_exit(2);
		own = open_any(false, &other);
		got = underlay_receive_bytes(own);
		_exit(own < 0 || got != (most < UNDERLAY_RECEIVE_BYTES ? most : UNDERLAY_RECEIVE_BYTES));
	}
	CHECK("what there is without CAP_NET_ADMIN", waitpid(child, &status, 0) == child && status == 0);
	CHECK("nothing was dropped", underlay_dropped(fd) == 0);
	for (int i = 0; i < 400; i++)
		underlay_sendto(fd, &to, bytes, sizeof(bytes));
	CHECK("what found no room is counted", underlay_dropped(fd) > 50 && underlay_dropped(fd) < 400);
	close(fd);
	CHECK("of no socket", !underlay_receive_bytes(-1) && !underlay_dropped(-1));
}

const struct unit_test unit_tests[] = {
	{ "receive buffer", test_receive_buffer },
	{ "buffers", test_begin },
	{ "ports", test_ports },
	{ "local address", test_local_address },
	{ "twin", test_twin },
	{ "segments", test_segments },
	{ "segments without UDP_SEGMENT", test_uncut },
	{ "refused messages", test_refused },
	{ "full batch", test_many },
	{ "buffers again", test_end },
	{ 0 },
};
