/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CONFIG_MESSAGE_H
#define SHILA_CONFIG_MESSAGE_H

#include "config/config.h"

#include <stdarg.h>

/* Beyond this many, complaints are only counted: nobody reads them. */
#define CONFIG_MAX_MESSAGES 1000

/* Collects what is wrong with one file, in the order of the file. */
struct report {
	struct config_messages *msgs; /* borrowed */
	size_t errors, dropped;
	bool no_memory; /* a message could not be kept */
};

/* Longest piece of the file that a message quotes, and room for it. */
#define QUOTE_MAX    60
#define QUOTE_STRLEN (QUOTE_MAX + 4)

/* quote_str() - Text of the file, cut and made printable, into @buf (QUOTE_STRLEN); returns @buf.
 */
char *quote_str(const char *text, size_t len, char *buf);

void report_add(struct report *r, int line, int column, bool warning, const char *fmt, va_list ap);
void report_error(struct report *r, int line, int column, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* report_end() - Say how many were left out, if any were. */
void report_end(struct report *r);

#endif
