/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_WIRE_TCP_OPTIONS_H
#define SHILA_WIRE_TCP_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A 32-bit MPTCP token and a 64-bit key are never mixed up with other numbers. */
struct mptcp_token {
	uint32_t v; /* host byte order */
};

enum mptcp_reset_reason { /* RFC 8684 section 3.6 */
	MPTCP_RST_UNSPECIFIED = 0,
	MPTCP_RST_ERROR = 1,
	MPTCP_RST_RESOURCES = 2,
	MPTCP_RST_PROHIBITED = 3,
	MPTCP_RST_OUTSTANDING = 4,
	MPTCP_RST_PERFORMANCE = 5,
	MPTCP_RST_MIDDLEBOX = 6,
};

enum mptcp_kind { MPTCP_NONE, MPTCP_CAPABLE, MPTCP_JOIN };

/* What shila wants to know of the options of a SYN, SYN/ACK or third ACK. */
struct tcp_options {
	uint16_t mss; /* 0: none */
	enum mptcp_kind mptcp;
	uint8_t mptcp_version;
	bool backup;
	uint8_t addr_id;
	bool has_sender_key, has_receiver_key; /* MP_CAPABLE; not at TFO offsets */
	uint8_t sender_key[8], receiver_key[8];
	bool has_token; /* MP_JOIN SYN */
	struct mptcp_token token;
	bool fast_open;
};

/**
 * tcp_options_parse() - Walk the option area of a TCP header.
 * Return: 0, or -EBADMSG if an option runs over the end or has an impossible length.
 */
int tcp_options_parse(const uint8_t *opts, size_t len, struct tcp_options *out);

/* tcp_options_clamp_mss() - Lower the MSS option in place. Return: true if it was changed. */
bool tcp_options_clamp_mss(uint8_t *opts, size_t len, uint16_t mss);

/**
 * tcp_options_detach_data_fin() - Take the DATA_FIN off the mapping of a segment with data, in place.
 *
 * Linux repeats a DATA_FIN in ACKs of its own until it is acknowledged. One that comes with a mapping whose
 * data is there already (a segment sent again) stops a Linux receiver: it notes the DATA_FIN, drops the data
 * and with them the only cause to look at the note, and takes each further DATA_FIN for a repetition (seen on
 * 6.18). A mapping with a checksum stays as it is.
 * Return: true if it was changed.
 */
bool tcp_options_detach_data_fin(uint8_t *opts, size_t len);

/**
 * tcp_options_supersede() - Whether a bare ACK with options @newer says all that the one before it, with @older,
 * said: only padding, timestamps and MPTCP data ACKs (DSS without a mapping), in equal places, none going back.
 * @len: of both
 * @data_ack_more: set if the data ACK went on, else left as it is
 */
bool tcp_options_supersede(const uint8_t *newer, const uint8_t *older, size_t len, bool *data_ack_more);

/* tcp_options_have_data_fin() - Whether a DSS among them carries a DATA_FIN. */
bool tcp_options_have_data_fin(const uint8_t *opts, size_t len);

/* mptcp_token_of_key() - First 32 bits of the SHA-256 of a key (8 bytes as on the wire). */
struct mptcp_token mptcp_token_of_key(const uint8_t key[8]);

#endif
