/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/state.h"

#include "tests/fuzz/fuzz.h"

#include <string.h>

/* owned.json, which shilad --clean acts upon. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *o = json_loadb((const char *)data, size, 0, NULL);
	struct state s = { .lock_fd = -1 };

	if (o && !state_parse(o, &s)) {
		MUST(strlen(s.id) == sizeof(s.id) - 1 && strlen(s.control) < sizeof(s.control));
		MUST(s.num_namespaces <= STATE_MAX_NAMESPACES && s.num_devices <= STATE_MAX_DEVICES &&
		     s.num_ports <= CONFIG_MAX_WORKERS);
		for (size_t i = 0; i < s.num_namespaces; i++)
			MUST(memchr(s.namespaces[i].name, 0, sizeof(s.namespaces[i].name)));
		for (size_t i = 0; i < s.num_devices; i++)
			MUST(memchr(s.devices[i].name, 0, sizeof(s.devices[i].name)) &&
			     memchr(s.devices[i].namespace, 0, sizeof(s.devices[i].namespace)));
		state_add_device(&s, "one", "more");
		state_add_namespace(&s, "one", 1, 2);
	}
	json_decref(o);
	return 0;
}
