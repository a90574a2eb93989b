/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/tcp_options.h"

#include "tests/fuzz/fuzz.h"

#include <string.h>

/* Clamping changes the MSS and nothing else; the tokens of keys that were found can be computed. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tcp_options a, b;
	uint8_t opts[40];
	size_t changed = 0;
	bool clamped, further = false;
	int err;

	if (size > sizeof(opts))
		size = sizeof(opts);
	memcpy(opts, data, size);
	err = tcp_options_parse(opts, size, &a);
	clamped = tcp_options_clamp_mss(opts, size, 1200);
	MUST(!tcp_options_clamp_mss(opts, size, 1200));
	for (size_t i = 0; i < size; i++)
		changed += opts[i] != data[i];
	MUST(clamped == (changed > 0));
	MUST(tcp_options_parse(opts, size, &b) == err);
	/* What supersedes itself is well-formed; nothing with a mapping or of unknown kind does. */
	if (tcp_options_supersede(opts, opts, size, &further))
		MUST(!further && !tcp_options_have_data_fin(opts, size) && !err && a.mptcp == MPTCP_NONE && !a.mss && !a.fast_open);
	/* Two bytes of length and one of flags, once. */
	memcpy(opts, data, size);
	if (tcp_options_detach_data_fin(opts, size)) {
		changed = 0;
		for (size_t i = 0; i < size; i++)
			changed += opts[i] != data[i];
		MUST(changed >= 2 && changed <= 3 && !tcp_options_detach_data_fin(opts, size));
	} else {
		MUST(!memcmp(opts, data, size));
	}
	if (err)
		return 0;
	MUST(b.mss <= 1200 && (b.mss == a.mss || (clamped && a.mss > 1200 && b.mss == 1200)));
	MUST(a.mptcp == b.mptcp && a.has_token == b.has_token && a.token.v == b.token.v);
	MUST(a.has_token <= (a.mptcp == MPTCP_JOIN));
	MUST(a.has_sender_key <= (a.mptcp == MPTCP_CAPABLE) &&
	     a.has_receiver_key <= a.has_sender_key);
	MUST(!memcmp(a.sender_key, b.sender_key, 8) && !memcmp(a.receiver_key, b.receiver_key, 8));
	if (a.has_sender_key)
		MUST(mptcp_token_of_key(a.sender_key).v == mptcp_token_of_key(b.sender_key).v);
	return 0;
}
