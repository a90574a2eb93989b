/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CORE_DATAGRAM_RUNS_H
#define SHILA_CORE_DATAGRAM_RUNS_H

#include "shila/base/train.h"
#include "shila/base/verdict.h"
#include "shila/core/flow.h"
#include "shila/wire/inet.h"

#include <sys/uio.h>

/*
 * UDP datagrams of one flow that came in one receive batch, of one size but for the last, are written to the TUN as
 * one train (VNET_GSO_UDP): the kernel cuts it into the same datagrams where it puts them into the socket. What
 * a program would see is what it would have seen: only whole packets join whose checksums are right, with equal
 * headers, and IP identifications that go on by one unless they mean nothing.
 */

#define DATAGRAM_RUN_MAX 64 /* datagrams; Linux before 6.9 takes no more */
#define DATAGRAM_RUNS	 8  /* flows with an open one */

struct datagram_run {
	struct flow *flow;
	const uint8_t *pkt; /* the first one; written as it is if no other joined */
	uint32_t pkt_len, hdr_len;
	uint32_t bytes, seg_bytes; /* payload: of all, of every one but the last */
	unsigned int num;
	uint16_t last_id; /* IPv4 identification */
	bool closed;
	struct iovec iov[1 + DATAGRAM_RUN_MAX];
	uint8_t hdr[TRAIN_VNET_HDR_LEN + 40 + 8];
};

struct datagram_runs {
	bool on; /* the TUNs take them */
	unsigned int num_open;
	struct datagram_run open[DATAGRAM_RUNS];
};

/* How one packet is written: a virtio_net_hdr first. */
struct tun_writer {
	enum verdict (*write)(void *ctx, uint8_t tun, struct iovec *iov, int n);
	void *ctx;
	uint64_t *verdicts;
};

/**
 * datagram_runs_take() - @pkt begins or joins a run of @f.
 * @pkt: addresses as the receiver sees them; lent until the run is flushed
 * Return: false: it is none that can be in a run, and no run of @f is open any more.
 */
bool datagram_runs_take(struct datagram_runs *r, const struct tun_writer *w, struct flow *f, const uint8_t *pkt,
			const struct ip_pkt *ip);

void datagram_runs_flush(struct datagram_runs *r, const struct tun_writer *w);
void datagram_runs_flush_flow(struct datagram_runs *r, const struct tun_writer *w, const struct flow *f);

#endif
