/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CLI_TABLE_H
#define SHILA_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum style { STYLE_PLAIN, STYLE_TITLE, STYLE_GOOD, STYLE_WARN, STYLE_BAD };

/* What is printed on. No limits and no colour unless it is a terminal. */
struct screen {
	FILE *out;
	bool terminal;
	bool colour; /* a terminal, and NO_COLOR is not set */
	size_t columns, lines;
};

void screen_init(struct screen *s, FILE *out); /* again after a change of size */

/* screen_print() - Text from outside in a style, at most @max columns. Return: columns used. */
size_t screen_print(const struct screen *s, enum style style, const char *text, size_t max);

struct table_column {
	const char *title;
	bool right;
};

/* An aligned table, filled cell by cell. Without memory the program ends. */
struct table;
struct table *table_new(const struct table_column *columns, size_t num_columns);
void table_free(struct table *t);
void table_add(struct table *t, enum style style, const char *text); /* copied */

/* table_print() - At most @max_lines lines, the last then says how many are missing. 0: all. */
void table_print(const struct table *t, const struct screen *s, size_t max_lines);

#endif
