/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Small UDP datagrams at a rate, for scripts/bench.
 *
 *     datagrams receiver PORT
 *     datagrams sender ADDRESS PORT RATE SECONDS [--bytes N] [--every-us N]
 *
 * The sender wakes up every N µs (200) and sends, with one system call for up to 64, what is due by then. Before that
 * it sends a few that do not count and waits a second, for whatever has to be set up on the way. The receiver has room
 * for what comes in bursts and runs until SIGTERM. Both end with one line of JSON.
 */
#include "tests/tools/common.h"

#include <signal.h>
#include <unistd.h>

#define BATCH	    64
#define MAX_BYTES   1400
#define ROOM	    (32 << 20)
#define WARM_UP	    5
#define WARM_UP_US  200000
#define COUNTS	    1 /* first byte */

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
	(void)number;
	stop = 1;
}

static void receive(uint16_t port)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	static uint8_t bytes[BATCH][MAX_BYTES];
	struct iovec iov[BATCH];
	struct mmsghdr msgs[BATCH];
	uint64_t received = 0, first = 0, last = 0;
	int room = ROOM, fd = socket(AF_INET6, SOCK_DGRAM, 0);

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0)
		die("bind");
	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){ bytes[i], MAX_BYTES };
		msgs[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &iov[i], .msg_iovlen = 1 } };
	}
	while (!stop) {
		int n = recvmmsg(fd, msgs, BATCH, MSG_WAITFORONE, NULL);

		for (int i = 0; i < n; i++)
			received += bytes[i][0] == COUNTS;
		if (n > 0 && received) {
			last = now_ns();
			first = first ? first : last;
		}
	}
	printf("{\"received\": %llu, \"seconds\": %.3f}\n", (unsigned long long)received,
	       (double)(last - first) / (double)NS_PER_S);
}

static void send_at_rate(int fd, uint32_t rate, double seconds, uint32_t size, uint32_t every_us)
{
	static uint8_t bytes[MAX_BYTES];
	struct iovec iov = { bytes, size };
	struct mmsghdr msgs[BATCH];
	uint64_t start, sent = 0, failed = 0, all = (uint64_t)(rate * seconds), next, done_ns;

	for (int i = 0; i < BATCH; i++)
		msgs[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } };
	for (int i = 0; i < WARM_UP; i++) {
		if (send(fd, bytes, size, 0) < 0 && errno != ECONNREFUSED)
			die("send");
		usleep(WARM_UP_US);
	}
	bytes[0] = COUNTS;
	start = next = now_ns();
	while (!stop && sent + failed < all) {
		uint64_t due = (now_ns() - start) * rate / NS_PER_S;
		struct timespec t;

		due = due < all ? due : all;
		while (sent + failed < due) {
			uint64_t left = due - sent - failed;
			int n = sendmmsg(fd, msgs, left < BATCH ? (unsigned int)left : BATCH, 0);

			if (n > 0)
				sent += (uint64_t)n;
			else
				failed++;
		}
		next += every_us * 1000ull;
		t = (struct timespec){ (time_t)(next / NS_PER_S), (long)(next % NS_PER_S) };
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
	}
	done_ns = now_ns() - start;
	printf("{\"sent\": %llu, \"failed\": %llu, \"seconds\": %.3f}\n", (unsigned long long)sent,
	       (unsigned long long)failed, (double)done_ns / (double)NS_PER_S);
}

static void usage(void)
{
	fprintf(stderr, "usage: datagrams receiver PORT\n"
			"       datagrams sender ADDRESS PORT RATE SECONDS [--bytes N] [--every-us N]\n");
	exit(2);
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct sockaddr_in in4 = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	int bytes = 64, every_us = 200, err, fd;

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	if (argc == 3 && !strcmp(argv[1], "receiver")) {
		receive((uint16_t)atoi(argv[2]));
		return 0;
	}
	if (argc < 6 || strcmp(argv[1], "sender") != 0)
		usage();
	for (int i = 6; i < argc; i += 2) {
		if (i + 1 < argc && !strcmp(argv[i], "--bytes"))
			bytes = atoi(argv[i + 1]);
		else if (i + 1 < argc && !strcmp(argv[i], "--every-us"))
			every_us = atoi(argv[i + 1]);
		else
			usage();
	}
	if (bytes < 1 || bytes > MAX_BYTES || every_us < 1)
		usage();
	in4.sin_port = in6.sin6_port = htons((uint16_t)atoi(argv[3]));
	if (inet_pton(AF_INET, argv[2], &in4.sin_addr) == 1) {
		fd = socket(AF_INET, SOCK_DGRAM, 0);
		err = connect(fd, (struct sockaddr *)&in4, sizeof(in4));
	} else if (inet_pton(AF_INET6, argv[2], &in6.sin6_addr) == 1) {
		fd = socket(AF_INET6, SOCK_DGRAM, 0);
		err = connect(fd, (struct sockaddr *)&in6, sizeof(in6));
	} else {
		usage();
		return 2;
	}
	if (err < 0)
		die("connect");
	send_at_rate(fd, (uint32_t)atoi(argv[4]), atof(argv[5]), (uint32_t)bytes, (uint32_t)every_us);
	return 0;
}
