/* SPDX-License-Identifier: Apache-2.0 */
#include "scripts/emulator/hop_mac.h"

#include "shila/base/bytes.h"

#include <openssl/evp.h>
#include <stdlib.h>

/*
 * CMAC of exactly one block is one AES: of the block XOR the first subkey, which is the cipher text
 * of zeros, doubled in GF(2^128). So there is no need of a MAC object for each packet.
 */

enum { BLOCK = 16, ROUNDS = 1000 };

struct hop_key {
	EVP_CIPHER_CTX *aes;
	uint8_t subkey[BLOCK];
};

static void encrypt(const struct hop_key *key, const uint8_t in[BLOCK], uint8_t out[BLOCK])
{
	int n;

	EVP_EncryptUpdate(key->aes, out, &n, in, BLOCK);
}

static void double_block(uint8_t out[BLOCK], const uint8_t in[BLOCK])
{
	for (int i = 0; i < BLOCK; i++)
		out[i] = (uint8_t)(in[i] << 1 | (i + 1 < BLOCK ? in[i + 1] >> 7 : 0));
	if (in[0] & 0x80)
		out[BLOCK - 1] ^= 0x87;
}

struct hop_key *hop_key_new(const uint8_t *master, int len)
{
	static const unsigned char salt[] = "Derive OF Key";
	static const uint8_t zero[BLOCK];
	struct hop_key *key = calloc(1, sizeof(*key));
	uint8_t raw[HOP_KEY_LEN], first[BLOCK];

	if (!key)
		return NULL;
	key->aes = EVP_CIPHER_CTX_new();
	if (!key->aes ||
	    !PKCS5_PBKDF2_HMAC((const char *)master, len, salt, sizeof(salt) - 1, ROUNDS, EVP_sha256(), sizeof(raw),
			       raw) ||
	    !EVP_EncryptInit_ex(key->aes, EVP_aes_128_ecb(), NULL, raw, NULL) ||
	    !EVP_CIPHER_CTX_set_padding(key->aes, 0)) {
		hop_key_free(key);
		return NULL;
	}
	encrypt(key, zero, first);
	double_block(key->subkey, first);
	return key;
}

void hop_key_free(struct hop_key *key)
{
	if (!key)
		return;
	EVP_CIPHER_CTX_free(key->aes);
	free(key);
}

void hop_mac(const struct hop_key *key, const struct hop_mac_input *in, uint8_t mac[HOP_MAC_LEN])
{
	/* 0(2) beta(2) timestamp(4) 0(1) ExpTime(1) ConsIngress(2) ConsEgress(2) 0(2) */
	uint8_t block[BLOCK] = { 0 }, out[BLOCK];

	put_be16(block + 2, in->beta);
	put_be32(block + 4, in->timestamp);
	block[9] = in->exp_time;
	put_be16(block + 10, in->cons_ingress);
	put_be16(block + 12, in->cons_egress);
	for (int i = 0; i < BLOCK; i++)
		block[i] ^= key->subkey[i];
	encrypt(key, block, out);
	memcpy(mac, out, HOP_MAC_LEN);
}
