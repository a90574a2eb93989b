/* SPDX-License-Identifier: Apache-2.0 */
#include "config/message.h"

#include <stdlib.h>
#include <string.h>

char *quote_str(const char *text, size_t len, char *buf)
{
	size_t n = len < QUOTE_MAX ? len : QUOTE_MAX;

	if (!len)
		return strcpy(buf, "\"\"");
	while (n < len && n && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--; /* not in the middle of a character */
	for (size_t i = 0; i < n; i++)
		buf[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
	strcpy(buf + n, n < len ? "..." : "");
	return buf;
}

void report_add(struct report *r, int line, int column, bool warning, const char *fmt, va_list ap)
{
	struct config_messages *m = r->msgs;
	struct config_message msg = {.line = line, .column = column, .warning = warning};
	size_t at = m->count;

	r->errors += !warning;
	if (m->count >= CONFIG_MAX_MESSAGES) {
		r->dropped++;
		return;
	}
	if (!(m->count & (m->count - 1))) { /* grows at 0 and at powers of two */
		struct config_message *list =
			realloc(m->list, (m->count ? m->count * 2 : 1) * sizeof(*list));

		if (!list) {
			r->no_memory = true;
			return;
		}
		m->list = list;
	}
	vsnprintf(msg.text, sizeof(msg.text), fmt, ap);
	while (at && (m->list[at - 1].line > line ||
		      (m->list[at - 1].line == line && m->list[at - 1].column > column)))
		at--;
	memmove(m->list + at + 1, m->list + at, (m->count - at) * sizeof(*m->list));
	m->list[at] = msg;
	m->count++;
}

void report_error(struct report *r, int line, int column, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report_add(r, line, column, false, fmt, ap);
	va_end(ap);
}

void report_end(struct report *r)
{
	struct config_message *last;

	if (!r->dropped || !r->msgs->count)
		return;
	last = &r->msgs->list[r->msgs->count - 1];
	last->warning = false;
	snprintf(last->text, sizeof(last->text), "and %zu more messages", r->dropped + 1);
}

void config_messages_print(const struct config_messages *msgs, const char *file, FILE *to)
{
	for (size_t i = 0; i < msgs->count; i++) {
		const struct config_message *m = &msgs->list[i];

		fprintf(to, "%s:%d:%d: %s%s\n", file, m->line, m->column,
			m->warning ? "warning: " : "", m->text);
	}
}

void config_messages_free(struct config_messages *msgs)
{
	free(msgs->list);
	*msgs = (struct config_messages){0};
}
