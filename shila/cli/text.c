/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/cli/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static char *nothing(char *buf, size_t size)
{
	snprintf(buf, size, "-");
	return buf;
}

/* append() - snprintf() behind what is there; cut where @size ends. */
__attribute__((format(printf, 3, 4))) static void append(char *buf, size_t size, const char *fmt,
							 ...)
{
	size_t used = strlen(buf);
	va_list args;

	va_start(args, fmt);
	vsnprintf(buf + used, size - used, fmt, args);
	va_end(args);
}

char *text_bytes(const json_t *v, char *buf, size_t size)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB" };
	double n = json_number_value(v);
	size_t u = 0;

	if (!json_is_number(v) || n < 0)
		return nothing(buf, size);
	while (n >= 999.95 && u + 1 < sizeof(units) / sizeof(units[0])) {
		n /= 1000;
		u++;
	}
	snprintf(buf, size, u ? "%.1f %s" : "%.0f %s", n, units[u]);
	return buf;
}

char *text_us(const json_t *v, char *buf, size_t size)
{
	double ms = json_number_value(v) / 1000;

	if (!json_is_number(v) || ms < 0)
		return nothing(buf, size);
	snprintf(buf, size, ms < 10 ? "%.2f ms" : "%.1f ms", ms);
	return buf;
}

char *text_duration_s(long long s, char *buf, size_t size)
{
	if (s < 0)
		return nothing(buf, size);
	if (s < 60)
		snprintf(buf, size, "%lld s", s);
	else if (s < 3600)
		snprintf(buf, size, "%lld min %lld s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(buf, size, "%lld h %lld min", s / 3600, s / 60 % 60);
	else
		snprintf(buf, size, "%lld d %lld h", s / 86400, s / 3600 % 24);
	return buf;
}

char *text_ratio(const json_t *v, char *buf, size_t size)
{
	if (!json_is_number(v))
		return nothing(buf, size);
	snprintf(buf, size, "%.1f %%", 100 * json_number_value(v));
	return buf;
}

char *text_mbit(double bits_per_s, char *buf, size_t size)
{
	snprintf(buf, size, "%.1f", bits_per_s / 1e6);
	return buf;
}

char *text_value(const json_t *v, char *buf, size_t size)
{
	char *dump;

	if (!v || json_is_null(v))
		return nothing(buf, size);
	if (json_is_string(v)) {
		snprintf(buf, size, "%s", json_string_value(v));
		return buf;
	}
	dump = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
	snprintf(buf, size, "%s", dump ? dump : "-");
	free(dump);
	return buf;
}

char *text_list(const json_t *array, char *buf, size_t size)
{
	char one[TEXT_LEN];
	const json_t *v;
	size_t i;

	if (!json_array_size(array))
		return nothing(buf, size);
	*buf = '\0';
	json_array_foreach(array, i, v)
		append(buf, size, "%s%s", i ? ", " : "", text_value(v, one, sizeof(one)));
	return buf;
}

char *text_hops(const json_t *hops, char *buf, size_t size)
{
	char ia[64], last[64] = "", ifid[32];
	const json_t *hop;
	size_t i;

	if (!json_is_array(hops))
		return nothing(buf, size);
	if (!json_array_size(hops)) {
		snprintf(buf, size, "inside the AS");
		return buf;
	}
	*buf = '\0';
	json_array_foreach(hops, i, hop)
	{
		text_value(json_object_get(hop, "isd_as"), ia, sizeof(ia));
		text_value(json_object_get(hop, "interface"), ifid, sizeof(ifid));
		/* Odd hops end a link; the next begins in the same AS, by another interface. */
		if (i % 2 == 0 && i && !strcmp(ia, last))
			append(buf, size, ",%s", ifid);
		else
			append(buf, size, "%s%s#%s", i ? ">" : "", ia, ifid);
		memcpy(last, ia, sizeof(last));
	}
	return buf;
}

/* char_len() - Bytes of the character at @p, which is valid UTF-8 but possibly cut. */
static size_t char_len(const char *p)
{
	size_t len = 1;

	while (((uint8_t)p[len] & 0xc0) == 0x80)
		len++;
	return len;
}

/* is_control() - C0, DEL, C1, and a stray byte of a character that was cut. */
static bool is_control(const char *p, size_t len)
{
	uint8_t a = p[0], b = p[len > 1];

	return a < 0x20 || a == 0x7f || (a == 0xc2 && b < 0xa0) || (a >= 0x80 && len == 1) ||
	       (a >= 0x80 && a < 0xc2) || (a >= 0xe0 && len < 3) || (a >= 0xf0 && len < 4);
}

size_t text_columns(const char *text)
{
	size_t columns = 0;

	for (; *text; text += char_len(text))
		columns++;
	return columns;
}

size_t text_print(FILE *out, const char *text, size_t max_columns)
{
	size_t columns = 0, len;

	for (; *text && columns < max_columns; text += len, columns++) {
		len = char_len(text);
		if (is_control(text, len))
			fputc('?', out);
		else
			fwrite(text, 1, len, out);
	}
	return columns;
}
