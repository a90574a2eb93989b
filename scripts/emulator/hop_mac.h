/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_EMULATOR_HOP_MAC_H
#define SHILA_EMULATOR_HOP_MAC_H

#include <stdint.h>

/*
 * The MAC of a hop field: AES-CMAC (RFC 4493) over one block, of which 6 bytes are in the packet.
 * Source: SCION header specification, "Hop Field MAC Computation".
 */

#define HOP_MAC_LEN 6
#define HOP_KEY_LEN 16

struct hop_key;

/* What is authenticated, host byte order. */
struct hop_mac_input {
	uint16_t beta; /* the accumulator, SegID of the info field */
	uint32_t timestamp;
	uint8_t exp_time;
	uint16_t cons_ingress, cons_egress;
};

/**
 * hop_key_new() - The key of an AS for its hop fields, from its master key.
 * @master: the bytes of master0.key after base64
 * Return: NULL without memory.
 */
struct hop_key *hop_key_new(const uint8_t *master, int len);
void hop_key_free(struct hop_key *key);

void hop_mac(const struct hop_key *key, const struct hop_mac_input *in, uint8_t mac[HOP_MAC_LEN]);

#endif
