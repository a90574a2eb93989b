/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/cli/watch.h"

#include "shila/cli/call.h"
#include "shila/cli/show.h"

#include <errno.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void sleep_until_s(double when)
{
	struct timespec ts = { .tv_sec = (time_t)when };

	ts.tv_nsec = (when - ts.tv_sec) * 1e9;
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

/* draw() - One picture. It is made in memory and written at once, or it would flicker. */
static int draw(const json_t *flows, const json_t *before, double elapsed_s)
{
	struct screen screen, memory;
	size_t max_lines, len;
	char *text, *p, *end;

	screen_init(&screen, stdout);
	memory = screen;
	memory.out = open_memstream(&text, &len);
	if (!memory.out)
		return -errno;
	max_lines = screen.terminal && screen.lines != SIZE_MAX ? screen.lines - 1 : 0;
	show_flows(&memory, flows, before, elapsed_s, true, max_lines);
	fclose(memory.out);

	if (screen.terminal)
		fputs("\033[H", stdout);
	for (p = text; *p; p = end) {
		for (end = p; *end && *end != '\n'; end++)
			;
		fwrite(p, 1, end - p, stdout);
		if (screen.terminal)
			fputs("\033[K", stdout); /* the rest of a longer line before */
		if (*end)
			fputc(*end++, stdout);
	}
	fputs(screen.terminal ? "\033[J" : "\n", stdout);
	free(text);
	return 0;
}

static int print(const json_t *flows, const json_t *before, double elapsed_s, bool as_json)
{
	int err = 0;

	if (as_json) {
		json_dumpf(flows, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		err = draw(flows, before, elapsed_s);
	}
	if (!err && (fflush(stdout) || ferror(stdout)))
		err = -EIO;
	return err;
}

int watch_flows(const char *control, double interval_s, bool as_json, char *why)
{
	json_t *flows, *before = NULL;
	double when = 0, last = 0;
	struct screen screen;
	int err;

	screen_init(&screen, stdout);
	for (bool first = true;; first = false) {
		/* A new connection each time: the daemon may have been restarted. */
		err = call(control, "flows", NULL, JSON_ARRAY, &flows, why);
		if (err < 0)
			break;
		when = now_s();
		if (first && screen.terminal && !as_json)
			fputs("\033[2J", stdout);
		err = print(flows, before, when - last, as_json);
		json_decref(before);
		before = flows;
		last = when;
		if (err < 0) {
			snprintf(why, CALL_WHY_LEN, "cannot write the output");
			break;
		}
		sleep_until_s(when + interval_s);
	}
	json_decref(before);
	return err;
}
