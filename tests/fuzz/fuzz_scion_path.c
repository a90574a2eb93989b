/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/scion.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t rev[SCION_MAX_PATH_LEN], twice[SCION_MAX_PATH_LEN];
	uint16_t there[2 * SCION_MAX_HOPS], back[2 * SCION_MAX_HOPS];
	struct scion_path_meta m, r;
	size_t hops_at;
	int n;

	if (scion_path_check(data, size, &m)) {
		MUST(scion_path_reverse(data, size, rev));
		MUST(scion_path_interfaces(data, size, there, 2 * SCION_MAX_HOPS) < 0);
		MUST(!size == !scion_path_expiry(data, size));
		return 0;
	}
	MUST(size <= SCION_MAX_PATH_LEN && m.num_hf >= 1 && m.num_hf <= SCION_MAX_HOPS);
	MUST(!scion_path_reverse(data, size, rev) && !scion_path_check(rev, size, &r));
	MUST(r.curr_hf == m.num_hf - 1 - m.curr_hf && r.curr_inf == m.num_inf - 1 - m.curr_inf);

	/* Twice: the same but for reserved bits of the meta header and router alert bits. */
	MUST(!scion_path_reverse(rev, size, twice));
	hops_at = size - 12u * m.num_hf;
	MUST((get_be32(data) & 0xff03ffff) == get_be32(twice));
	MUST(!memcmp(data + 4, twice + 4, hops_at - 4));
	for (size_t i = hops_at; i < size; i += 12) {
		MUST((data[i] & ~0x03) == twice[i]);
		MUST(!memcmp(data + i + 1, twice + i + 1, 11));
	}

	MUST(scion_path_expiry(data, size) == scion_path_expiry(rev, size));
	n = scion_path_interfaces(data, size, there, 2 * SCION_MAX_HOPS);
	MUST(n == scion_path_interfaces(rev, size, back, 2 * SCION_MAX_HOPS));
	MUST(n < 0 || n % 2 == 0);
	for (int i = 0; i < n; i++)
		MUST(there[i] == back[n - 1 - i]);
	MUST(!scion_path_set_alert_last(rev, size) && !scion_path_check(rev, size, &r));
	return 0;
}
