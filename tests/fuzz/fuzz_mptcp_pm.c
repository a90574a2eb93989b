/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/io/mptcp_pm.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

#define FAMILY 0x21

/* Both readers of what the kernel says get the same bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mptcp_pm_event e;
	char why[MPTCP_PM_WHY_LEN];
	void *copy = malloc(size ? size : 1); /* aligned, and what is behind it is watched */
	const uint8_t *p = copy;
	size_t left = size;

	memcpy(copy, data, size);
	while (left) {
		int n = mptcp_pm_parse(p, left, FAMILY, &e);

		if (n < 0)
			break;
		MUST(n >= 16 && (size_t)n <= left);
		MUST(e.type == MPTCP_PM_OTHER || e.type == MPTCP_PM_CLOSED || e.local.len == 4 || e.local.len == 16);
		MUST(e.type == MPTCP_PM_OTHER || e.type == MPTCP_PM_CLOSED || e.local.len == e.remote.len);
		p += n;
		left -= (size_t)n;
	}
	MUST(mptcp_pm_parse_answer(copy, size, 7, why) <= 1);
	MUST(memchr(why, 0, sizeof(why)));
	free(copy);
	return 0;
}
