/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_BASE_TRAIN_H
#define SHILA_BASE_TRAIN_H

#include <stdint.h>

/*
 * A train: up to 64 KiB of consecutive segments of one flow, as a TUN device gives it (TSO) and takes it
 * (GRO): a virtio_net_hdr, one IP/TCP header, and payload. Any other packet is a train of one.
 */

#define TRAIN_MAX_BYTES	   65536
#define TRAIN_VNET_HDR_LEN 10

/* virtio_net_hdr in host byte order, as the TUN of a little-endian host has it. */
struct vnet_hdr {
	uint8_t flags;
	uint8_t gso_type;
	uint16_t hdr_len;
	uint16_t gso_size; /* payload bytes a segment */
	uint16_t csum_start;
	uint16_t csum_offset;
};

_Static_assert(sizeof(struct vnet_hdr) == TRAIN_VNET_HDR_LEN, "as the kernel has it");

enum {
	VNET_F_NEEDS_CSUM = 1,
	VNET_GSO_NONE = 0,
	VNET_GSO_TCPV4 = 1,
	VNET_GSO_TCPV6 = 4,
	VNET_GSO_UDP = 5, /* equal datagrams; the last one may be shorter */
	VNET_GSO_ECN = 0x80,
};

struct train {
	struct vnet_hdr vnet;
	uint8_t *pkt; /* IP header first; may be written to (headers are patched in place) */
	uint32_t len;
	uint8_t tun;  /* index of the TUN in the worker's list */
	uint8_t side; /* which namespace: 0 ingress, 1.. egress */
};

#endif
