/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Sends SCION packets to an underlay socket at a rate: what a host of the same AS could do. For tests, on
 * networks of their own.
 *
 *     flood KIND SOURCE TARGET PORT[,PORT...] SINK PACKETS_PER_SECOND SECONDS SLICE_MS
 *
 *     KIND	open    OPENs of TCP connections to port 8000
 *		random  in turn: no SCION at all, a good SCION/UDP header with a random frame, DATA for random flows
 *		mixed   both in turn
 *     SOURCE	ISD-AS,ADDRESS as in 1-64512,10.12.0.9; an address ending in .0.0 is random in its lower half
 *     SINK	a port that the same packets go to in every first of two slices of time; 0: none
 *
 * Prints how many went to the ports and how many to the sink, and CLOCK_MONOTONIC in ms when it began. IPv4, path
 * type Empty, ISD-AS with a decimal AS number.
 */
#include "tests/tools/common.h"

#define BATCH	    64
#define MAX_PACKET  512
#define SCION_HDR   36 /* common header, two ISD-AS, two IPv4 addresses */
#define UDP_HDR	    8
#define FRAME_AT    (SCION_HDR + UDP_HDR)
#define MAX_RATE    1000000u
#define MAX_SECONDS 120u

struct addr {
	uint64_t ia;
	uint32_t host; /* host byte order */
	int vary;
};

static uint64_t state = 88172645463325252ull;

static uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

static void put64(uint8_t *p, uint64_t v)
{
	put32(p, (uint32_t)(v >> 32));
	put32(p + 4, (uint32_t)v);
}

static int parse_addr(const char *text, struct addr *out)
{
	unsigned int isd;
	unsigned long long as;
	char host[64];
	struct in_addr in;

	if (sscanf(text, "%u-%llu,%63s", &isd, &as, host) != 3 || inet_pton(AF_INET, host, &in) != 1)
		return -EINVAL;
	out->ia = (uint64_t)isd << 48 | as;
	out->host = ntohl(in.s_addr);
	out->vary = !(out->host & 0xffff);
	return 0;
}

static uint32_t sum16(const uint8_t *p, size_t len)
{
	uint32_t s = 0;

	for (; len > 1; p += 2, len -= 2)
		s += (uint32_t)p[0] << 8 | p[1];
	return len ? s + ((uint32_t)p[0] << 8) : s;
}

/* SCION and UDP header around a frame of @len bytes at p + FRAME_AT. Return: length of it all. */
static size_t wrap(uint8_t *p, size_t len, const struct addr *src, const struct addr *dst, uint16_t sport, uint16_t dport)
{
	uint32_t l4 = (uint32_t)(UDP_HDR + len), s;

	put32(p, 1);
	p[4] = 17;
	p[5] = SCION_HDR / 4;
	put16(p + 6, l4);
	put32(p + 8, 0); /* path type Empty, two IPv4 addresses */
	put64(p + 12, dst->ia);
	put64(p + 20, src->ia);
	put32(p + 28, dst->host);
	put32(p + 32, src->vary ? src->host | (rnd() & 0xffff) : src->host);
	put16(p + SCION_HDR, sport);
	put16(p + SCION_HDR + 2, dport);
	put16(p + SCION_HDR + 4, l4);
	put16(p + SCION_HDR + 6, 0);
	s = sum16(p + 12, 24) + l4 + 17 + sum16(p + SCION_HDR, l4);
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	put16(p + SCION_HDR + 6, s == 0xffff ? 0xffff : ~s & 0xffff);
	return SCION_HDR + l4;
}

static size_t frame_hdr(uint8_t *f, unsigned int type)
{
	memset(f, 0, 12);
	f[0] = (uint8_t)(0x10 | type);
	return 12;
}

/* docs/protocol.md, section 4: a plain connection, another one each time. */
static size_t open_frame(uint8_t *f)
{
	uint64_t r = rnd();
	uint8_t *thin = f + 40;

	memset(f, 0, 76);
	frame_hdr(f, 3);
	put32(f + 12, (uint32_t)(r & 0xfffff) << 12 | 0x1000 | (r >> 20 & 0xfff));
	put16(f + 16, (uint32_t)(r >> 32));
	put16(f + 18, 1472);
	f[20] = 3;
	f[21] = 6;
	f[22] = 4;
	put16(f + 24, 1024 + (r >> 48) % 60000);
	put16(f + 26, 8000);
	put16(f + 28, 12);
	put32(f + 32, 0x0a070101); /* 10.7.1.1, where the peer's own programs are */
	put32(thin, (uint32_t)rnd());
	thin[8] = 0x50;
	thin[9] = 0x02;
	put16(thin + 10, 64240);
	return 76;
}

static size_t random_bytes(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(rnd() >> 24);
	return len;
}

static size_t random_packet(uint8_t *p, const struct addr *src, const struct addr *dst, uint16_t sport, uint16_t dport)
{
	uint64_t r = rnd();

	switch (r % 3) {
	case 0:
		return random_bytes(p, 20 + (r >> 8) % 300);
	case 1:
		return wrap(p, random_bytes(p + FRAME_AT, 1 + (r >> 8) % 300), src, dst, sport, dport);
	default:
		random_bytes(p + FRAME_AT, 60);
		frame_hdr(p + FRAME_AT, 7);
		random_bytes(p + FRAME_AT + 6, 6);
		p[FRAME_AT + 20] = 0x50;
		return wrap(p, 60, src, dst, sport, dport);
	}
}

#define MAX_PORTS 8

int main(int argc, char **argv)
{
	static uint8_t bytes[BATCH][MAX_PACKET];
	struct sockaddr_in to = { .sin_family = AF_INET }, own;
	socklen_t own_len = sizeof(own);
	struct iovec iov[BATCH];
	struct mmsghdr msgs[BATCH];
	struct addr src, dst;
	unsigned long rate, seconds, slice_ms, sink;
	uint16_t ports[MAX_PORTS];
	unsigned int num_ports = 0, batch = 0, packet = 0;
	uint64_t start, sent = 0, counts[2] = { 0 };
	int fd;

	if (argc != 9 || parse_addr(argv[2], &src) < 0 || parse_addr(argv[3], &dst) < 0) {
		fprintf(stderr, "usage: flood open|random|mixed SOURCE TARGET PORT[,PORT] SINK RATE SECONDS SLICE_MS\n");
		return 2;
	}
	for (char *p = strtok(argv[4], ","); p && num_ports < MAX_PORTS; p = strtok(NULL, ","))
		ports[num_ports++] = (uint16_t)strtoul(p, NULL, 10);
	sink = strtoul(argv[5], NULL, 10);
	rate = strtoul(argv[6], NULL, 10);
	seconds = strtoul(argv[7], NULL, 10);
	slice_ms = strtoul(argv[8], NULL, 10);
	if (!num_ports || !slice_ms || !rate || rate > MAX_RATE || seconds > MAX_SECONDS)
		return 2;
	to.sin_addr.s_addr = htonl(dst.host);
	to.sin_port = htons(ports[0]);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&(struct sockaddr_in){ .sin_family = AF_INET }, sizeof(to)) < 0 ||
	    getsockname(fd, (struct sockaddr *)&own, &own_len) < 0) {
		perror("flood");
		return 1;
	}
	memset(msgs, 0, sizeof(msgs));
	for (int i = 0; i < BATCH; i++) {
		iov[i].iov_base = bytes[i];
		msgs[i].msg_hdr.msg_iov = &iov[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
		msgs[i].msg_hdr.msg_name = &to;
		msgs[i].msg_hdr.msg_namelen = sizeof(to);
	}
	start = now_ns();
	state ^= start;
	for (;;) {
		uint64_t ns = now_ns() - start, due = ns / 1000 * rate / 1000000;
		unsigned int n = due - sent < BATCH ? (unsigned int)(due - sent) : BATCH;
		int into_sink = sink && ns / 1000000 / slice_ms % 2 == 0;
		uint16_t port = ports[batch % num_ports];

		if (ns >= seconds * 1000000000ull)
			break;
		if (due - sent > rate / 10)
			sent = due - rate / 10; /* it was not running: no burst for that */
		if (n < BATCH / 4) {
			struct timespec t = { 0, 200000 };

			nanosleep(&t, NULL);
			continue;
		}
		for (unsigned int i = 0; i < n; i++, packet++) {
			int is_open = argv[1][0] == 'o' || (argv[1][0] == 'm' && packet % 2);

			iov[i].iov_len = is_open ? wrap(bytes[i], open_frame(bytes[i] + FRAME_AT), &src, &dst,
							ntohs(own.sin_port), port) :
						   random_packet(bytes[i], &src, &dst, ntohs(own.sin_port), port);
		}
		to.sin_port = htons(into_sink ? (uint16_t)sink : port);
		if (sendmmsg(fd, msgs, n, 0) < 0 && errno != ECONNREFUSED && errno != EAGAIN && errno != ENOBUFS) {
			perror("flood");
			return 1;
		}
		batch++;
		sent += n;
		counts[into_sink] += n;
	}
	printf("%llu %llu %llu\n", (unsigned long long)counts[0], (unsigned long long)counts[1],
	       (unsigned long long)(start / 1000000));
	return 0;
}
