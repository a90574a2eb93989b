/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum log_level log_level = LOG_LEVEL_INFO;

static const char *const names[] = { "error", "warn", "info", "debug", "trace" };

void log_line(enum log_level level, const char *fmt, ...)
{
	static const char *const colours[] = { "\033[31m", "\033[33m", "", "\033[2m", "\033[2m" };
	char line[1024];
	struct timespec now;
	struct tm tm;
	va_list ap;
	size_t n;
	int len;
	int colour = isatty(STDERR_FILENO) && *colours[level];

	/* One write(2) a line, so that lines of several threads and programs do not mix. */
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	n = strftime(line, sizeof(line), "%H:%M:%S", &tm);
	n += snprintf(line + n, sizeof(line) - n, ".%03ld %s%-5s%s ", now.tv_nsec / 1000000,
		      colour ? colours[level] : "", names[level], colour ? "\033[0m" : "");
	va_start(ap, fmt);
	len = vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap);
	va_end(ap);
	if (len > 0)
		n += (size_t)len < sizeof(line) - n - 1 ? (size_t)len : sizeof(line) - n - 2;
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, n) < 0)
		return; /* nobody reads: there is no better place to complain */
}

int log_level_parse(const char *text, enum log_level *out)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(text, names[i])) {
			*out = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}
