/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/path_choice.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

/* Entries, one a line. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct path_hop hops[] = {
		{ { 1ull << 48 | 64513 }, 5 },
		{ { 1ull << 48 | 64512 }, 105 },
		{ { 1ull << 48 | 64512 }, 12 },
		{ { 2ull << 48 | 64514 }, 112 },
	};
	struct path_policy *pol = NULL;
	char text[1024], why[128] = "", *entries[64], *line = text;
	size_t n = 0, bad = SIZE_MAX;
	int err;

	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	while (line && *line && n < 64)
		entries[n++] = strsep(&line, "\n");
	err = path_policy_parse(entries, n, &pol, &bad, why);
	MUST(!err == !!pol);
	if (err) {
		MUST(err == -EINVAL && why[0] && (bad < n || !n));
		return 0;
	}
	/* The last entry decides when no other matches, so there is an answer. */
	struct path *p = path_new(hops, 4, NULL, 0);
	bool allowed = path_policy_allows(pol, p);

	if (n == 1)
		MUST(allowed == (strchr(entries[0], '+') != NULL));
	path_put(p);
	path_policy_free(pol);
	return 0;
}
