/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Small packets, for scripts/micro/small and tests/system/test_small.py. One line of JSON at the end.
 *
 *     small udp-send ADDRESS PORT RATE SECONDS SIZE[,SIZE...] [SEGMENTS [PAUSE_MS]]
 *         RATE datagrams a second, whose sizes go round; each holds its number, its size and a pattern. With
 *         SEGMENTS > 1 so many of each size in one call (UDP_SEGMENT), the last one shorter. PAUSE_MS: a
 *         datagram alone before everything, so that the flow is open
 *     small udp-sink ADDRESS PORT COUNT SECONDS
 *         until COUNT datagrams came or nothing did for SECONDS; says what was lost, doubled, late, wrong
 *     small tcp-pong ADDRESS PORT
 *         one connection: every byte comes back
 *     small tcp-ping ADDRESS PORT COUNT [PAUSE_US]
 *         one byte there and back, COUNT times
 */
#include "tests/tools/common.h"

#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

#define MAX_SIZES 64
#define BATCH	  64
#define HEAD	  8 /* number, size, what the size is a check of */

static socklen_t address(const char *text, const char *port, struct sockaddr_storage *out)
{
	socklen_t len = address_of(text, (uint16_t)atoi(port), out);

	if (!len) {
		fprintf(stderr, "small: %s is no address\n", text);
		exit(1);
	}
	return len;
}

static uint8_t pattern(uint32_t number, size_t at)
{
	return (uint8_t)(number * 31 + at * 7);
}

static void fill(uint8_t *p, uint32_t number, uint16_t size)
{
	uint16_t check = (uint16_t)~size;

	memcpy(p, &number, 4);
	memcpy(p + 4, &size, 2);
	memcpy(p + 6, &check, 2);
	for (size_t i = HEAD; i < size; i++)
		p[i] = pattern(number, i);
}

static bool right(const uint8_t *p, size_t len, uint32_t *number)
{
	uint16_t size, check;

	if (len < HEAD)
		return false;
	memcpy(number, p, 4);
	memcpy(&size, p + 4, 2);
	memcpy(&check, p + 6, 2);
	if (size != len || (check ^ size) != 0xffff)
		return false;
	for (size_t i = HEAD; i < len; i++)
		if (p[i] != pattern(*number, i))
			return false;
	return true;
}

/* ---- udp-send ---- */

static void set_segment(int fd, int size)
{
	static int last;

	if (size == last)
		return;
	last = size;
	if (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)) < 0)
		die("UDP_SEGMENT");
}

/* One call: @segments datagrams of @size, the last one shorter if there are several. Return: how many. */
static uint32_t send_some(int fd, uint32_t number, uint16_t size, uint32_t segments, uint64_t *refused)
{
	static uint8_t bytes[65536];
	size_t len = 0;

	for (uint32_t i = 0; i < segments; i++) {
		uint16_t n = segments > 1 && i == segments - 1 && size > HEAD ? (uint16_t)((size + HEAD) / 2) : size;

		fill(bytes + len, number + i, n);
		len += n;
	}
	set_segment(fd, segments > 1 ? size : 0);
	if (send(fd, bytes, len, 0) < 0) {
		if (errno != ENOBUFS && errno != EAGAIN && errno != ECONNREFUSED)
			die("send");
		*refused += segments;
	}
	return segments;
}

static int udp_send(char **arg, int n)
{
	struct sockaddr_storage to;
	socklen_t len = address(arg[0], arg[1], &to);
	uint64_t rate = strtoull(arg[2], NULL, 0), count, start, refused = 0;
	uint32_t segments = n > 5 ? (uint32_t)atoi(arg[5]) : 1, number = 0, calls = 0;
	uint16_t sizes[MAX_SIZES];
	unsigned int num_sizes = 0;
	int fd = socket(to.ss_family, SOCK_DGRAM, 0);

	count = (uint64_t)((double)rate * atof(arg[3]));
	for (char *s = strtok(arg[4], ","); s && num_sizes < MAX_SIZES; s = strtok(NULL, ","))
		sizes[num_sizes++] = (uint16_t)atoi(s);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, len) < 0)
		die("connect");
	prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0);
	if (n > 6) {
		number += send_some(fd, number, HEAD, 1, &refused);
		sleep_until(now_ns() + strtoull(arg[6], NULL, 0) * 1000000u);
	}
	start = now_ns();
	while (number < count) {
		uint64_t due = (uint64_t)((double)(now_ns() - start) * (double)rate / 1e9) + 1;

		while (number < due && number < count) {
			uint32_t left = (uint32_t)(count - number);

			number += send_some(fd, number, sizes[calls % num_sizes], left < segments ? left : segments, &refused);
			calls++;
		}
		sleep_until(now_ns() + 50000);
	}
	printf("{\"sent\": %u, \"refused\": %lu, \"seconds\": %.3f}\n", number, refused, (double)(now_ns() - start) / 1e9);
	return 0;
}

/* ---- udp-sink ---- */

static int udp_sink(char **arg)
{
	static uint8_t bytes[BATCH][65536];
	static struct mmsghdr msgs[BATCH];
	static struct iovec iov[BATCH];
	struct sockaddr_storage at;
	socklen_t len = address(arg[0], arg[1], &at);
	uint32_t count = (uint32_t)strtoul(arg[2], NULL, 0), got = 0, wrong = 0, doubled = 0, late = 0, next = 0;
	double seconds = atof(arg[3]);
	struct timeval wait = { (time_t)seconds, (suseconds_t)((seconds - (double)(time_t)seconds) * 1e6) };
	uint8_t *seen = calloc(1, count ? count : 1);
	int fd = socket(at.ss_family, SOCK_DGRAM, 0), room = 64 << 20, err;
	uint64_t first = 0, last = 0;

	if (fd < 0 || !seen)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (bind(fd, (struct sockaddr *)&at, len) < 0)
		die("bind");
	while (got - doubled < count) {
		for (int i = 0; i < BATCH; i++) {
			iov[i] = (struct iovec){ bytes[i], sizeof(bytes[i]) };
			msgs[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
		}
		err = recvmmsg(fd, msgs, BATCH, MSG_WAITFORONE, NULL);
		if (err < 0 && (errno == EAGAIN || errno == EINTR)) {
			if (errno == EAGAIN)
				break;
			continue;
		}
		if (err < 0)
			die("recvmmsg");
		last = now_ns();
		if (!first)
			first = last;
		for (int i = 0; i < err; i++) {
			uint32_t number = 0;

			got++;
			if (!right(bytes[i], msgs[i].msg_len, &number) || number >= count) {
				wrong++;
				continue;
			}
			doubled += seen[number];
			seen[number] = 1;
			late += number < next;
			next = number >= next ? number + 1 : next;
		}
		if (err < BATCH / 4)
			sleep_until(now_ns() + 100000); /* to read many at once: the sink is not what is measured */
	}
	printf("{\"got\": %u, \"lost\": %u, \"wrong\": %u, \"doubled\": %u, \"late\": %u, \"seconds\": %.3f}\n", got,
	       count - (got - wrong - doubled), wrong, doubled, late, (double)(last - first) / 1e9);
	free(seen);
	close(fd);
	return 0;
}

/* ---- tcp ---- */

static int tcp_socket(int family)
{
	int on = 1, fd = socket(family, SOCK_STREAM, 0);

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static int tcp_pong(char **arg)
{
	struct sockaddr_storage at;
	socklen_t len = address(arg[0], arg[1], &at);
	int on = 1, fd, listener = tcp_socket(at.ss_family);
	ssize_t n;
	char byte[16];

	if (bind(listener, (struct sockaddr *)&at, len) < 0 || listen(listener, 1) < 0)
		die("listen");
	fd = accept(listener, NULL, NULL);
	if (fd < 0)
		die("accept");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	while ((n = read(fd, byte, sizeof(byte))) > 0)
		if (write(fd, byte, (size_t)n) < 0)
			die("write");
	return 0;
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static int tcp_ping(char **arg, int n)
{
	struct sockaddr_storage to;
	socklen_t len = address(arg[0], arg[1], &to);
	uint32_t count = (uint32_t)strtoul(arg[2], NULL, 0);
	uint64_t pause_us = n > 3 ? strtoull(arg[3], NULL, 0) : 0;
	uint32_t *ns = calloc(count + 1, sizeof(*ns));
	int fd = tcp_socket(to.ss_family);
	char byte = 'x';

	if (!ns || connect(fd, (struct sockaddr *)&to, len) < 0)
		die("connect");
	prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0);
	for (uint32_t i = 0; i < count + count / 10; i++) { /* the first tenth does not count */
		uint64_t start = now_ns();

		if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
			die("ping");
		if (i >= count / 10)
			ns[i - count / 10] = (uint32_t)(now_ns() - start);
		if (pause_us)
			sleep_until(now_ns() + pause_us * 1000);
	}
	qsort(ns, count, sizeof(*ns), by_size);
	printf("{\"count\": %u, \"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f}\n", count,
	       ns[count / 2] / 1e3, ns[count * 9 / 10] / 1e3, ns[count * 99 / 100] / 1e3, ns[count - 1] / 1e3);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "udp-send") && argc >= 7 && argc <= 9)
		return udp_send(argv + 2, argc - 2);
	if (!strcmp(what, "udp-sink") && argc == 6)
		return udp_sink(argv + 2);
	if (!strcmp(what, "tcp-pong") && argc == 4)
		return tcp_pong(argv + 2);
	if (!strcmp(what, "tcp-ping") && (argc == 5 || argc == 6))
		return tcp_ping(argv + 2, argc - 2);
	fprintf(stderr, "usage: see the head of tests/tools/small.c\n");
	return 2;
}
