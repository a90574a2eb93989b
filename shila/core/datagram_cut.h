/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CORE_DATAGRAM_CUT_H
#define SHILA_CORE_DATAGRAM_CUT_H

#include "shila/base/train.h"

#include <stdbool.h>

/*
 * A program that sends many equal datagrams with one call (UDP_SEGMENT: QUIC, mostly) reaches the TUN as one train
 * (VNET_GSO_UDP): one read instead of one for each. Here it becomes the whole packets that the kernel would have made of it,
 * so that nothing behind has to know about such trains.
 */

struct datagram_cut {
	const struct train *whole;
	uint32_t ip_len; /* headers before that of UDP */
	uint32_t at;	 /* payload that was cut so far */
	uint16_t num;	 /* packets so far */
};

/* datagram_cut_begin() - Return: false: @whole is no train of datagrams. It is lent until the last of them. */
bool datagram_cut_begin(struct datagram_cut *cut, const struct train *whole);

/* datagram_cut_most() - Bytes that none of its packets exceeds. */
uint32_t datagram_cut_most(const struct datagram_cut *cut);

/**
 * datagram_cut_next() - The next packet, copied to @mem, which has room for datagram_cut_most() bytes.
 * @one: that packet, with NEEDS_CSUM
 * Return: false: there is no more.
 */
bool datagram_cut_next(struct datagram_cut *cut, uint8_t *mem, struct train *one);

#endif
