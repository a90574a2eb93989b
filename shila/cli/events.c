/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/cli/events.h"

#include "shila/cli/call.h"
#include "shila/cli/text.h"

#include <errno.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define POLL_MS 200

static const char *get(const json_t *e, const char *key)
{
	const char *text = json_string_value(json_object_get(e, key));

	return text ? text : "?";
}

static void print_time(const json_t *e)
{
	json_int_t us = json_integer_value(json_object_get(e, "time_unix_us"));
	time_t s = (time_t)(us / 1000000);
	char text[32] = "";
	struct tm tm;

	if (localtime_r(&s, &tm))
		strftime(text, sizeof(text), "%F %T", &tm);
	printf("%s.%03d ", text, (int)(us / 1000 % 1000));
}

/* What is behind "path XXXXXXXX to PEER " or "peer PEER ". */
static const char *state_text(const char *name)
{
	static const char *const rows[][2] = {
		{ "path_new", "is known" },
		{ "path_renewed", "has newer bytes" },
		{ "path_up", "is up" },
		{ "path_suspect", "is suspect" },
		{ "path_down", "is down" },
		{ "path_dead", "is dead: its last router does not answer either" },
		{ "path_peer_silent", "works as far as the peer's AS: the peer is silent" },
		{ "path_gone", "is gone" },
		{ "peer_up", "answers" },
		{ "peer_silent", "does not answer" },
		{ "flow_open", "is open" },
		{ "flow_moved", "was moved" },
		{ "flow_followed", "was moved by the peer" },
		{ "flow_parked", "is parked" },
		{ "flow_woken", "was woken" },
		{ "flow_closed", "is closed" },
		{ "subflow_added", "was added" },
		{ "subflow_recreated", "was made in the place of a lost one" },
		{ "subflow_failed", "could not be opened" },
		{ "subflow_lost", "was lost" },
		{ "subflow_ended", "was ended: one too many for the paths" },
		{ "subflow_backup", "carries data only if no other does" },
		{ "subflow_normal", "carries data" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!strcmp(rows[i][0], name))
			return rows[i][1];
	return name; /* of a newer daemon */
}

static void print_text(const json_t *e)
{
	const char *name = get(e, "event"), *state = state_text(name);
	bool server = !strcmp(get(e, "side"), "server");
	char line[512];

	print_time(e);
	if (json_is_string(json_object_get(e, "flow"))) {
		snprintf(line, sizeof(line), "flow %s %s %s %s > %s %s", get(e, "flow"), get(e, "protocol"), get(e, "role"),
			 get(e, server ? "remote" : "local"), get(e, server ? "local" : "remote"), state);
		text_print(stdout, line, SIZE_MAX);
		if (json_is_string(json_object_get(e, "path"))) {
			snprintf(line, sizeof(line), ", path %s to %s", get(e, "path"), get(e, "peer"));
			text_print(stdout, line, SIZE_MAX);
		}
		if (json_is_string(json_object_get(e, "reason"))) {
			snprintf(line, sizeof(line), " (%s)", get(e, "reason"));
			text_print(stdout, line, SIZE_MAX);
		}
	} else {
		bool path = !strncmp(name, "path_", 5);

		if (path)
			snprintf(line, sizeof(line), "path %s to %s %s", get(e, "path"), get(e, "peer"), state);
		else
			snprintf(line, sizeof(line), "peer %s %s", get(e, "peer"), state);
		text_print(stdout, line, SIZE_MAX);
	}
	putchar('\n');
}

/* Numbers that are missing were pushed out before anybody asked. */
static void print(const json_t *e, json_int_t before, bool as_json)
{
	json_int_t number = json_integer_value(json_object_get(e, "number"));

	if (as_json) {
		json_dumpf(e, stdout, JSON_COMPACT);
		putchar('\n');
		return;
	}
	if (before > 0 && number > before && number - before > 1)
		printf("(%lld events were not kept)\n", (long long)(number - before - 1));
	print_text(e);
}

static void pause_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

int events(const char *control, bool follow, bool as_json, char *why)
{
	json_int_t last = 0;
	bool gone = false;

	for (bool first = true;; first = false) {
		json_t *list, *e;
		size_t i;
		int err = call(control, "events", json_pack("{s:I}", "after", last), JSON_ARRAY, &list, why);

		if (err < 0 && (first || !follow))
			return err;
		if (err < 0) {
			if (!gone)
				fputs("shila: the daemon does not answer; waiting for it\n", stderr);
			gone = true;
			pause_ms(POLL_MS);
			continue;
		}
		gone = false;
		json_array_foreach(list, i, e) {
			json_int_t number = json_integer_value(json_object_get(e, "number"));

			print(e, number > last ? last : 0, as_json);
			last = number;
		}
		json_decref(list);
		if (fflush(stdout) || ferror(stdout)) {
			snprintf(why, CALL_WHY_LEN, "cannot write the output");
			return -EIO;
		}
		if (!follow)
			return 0;
		pause_ms(POLL_MS);
	}
}
