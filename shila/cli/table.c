/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/cli/table.h"

#include "shila/cli/text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define GAP 2

struct cell {
	char *text;
	enum style style;
};

struct table {
	const struct table_column *columns;
	size_t num_columns;
	size_t *widths;
	struct cell *cells;
	size_t num_cells, max_cells;
};

void screen_init(struct screen *s, FILE *out)
{
	struct winsize size = { 0 };

	*s = (struct screen){ .out = out, .columns = SIZE_MAX, .lines = SIZE_MAX };
	if (!isatty(fileno(out)))
		return;
	s->terminal = true;
	s->colour = !getenv("NO_COLOR") || !*getenv("NO_COLOR");
	if (ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_row) {
		s->columns = size.ws_col - 1; /* the cursor would stand on a last character */
		s->lines = size.ws_row;
	}
}

size_t screen_print(const struct screen *s, enum style style, const char *text, size_t max)
{
	static const char *const codes[] = {
		[STYLE_TITLE] = "\033[1m",
		[STYLE_GOOD] = "\033[32m",
		[STYLE_WARN] = "\033[33m",
		[STYLE_BAD] = "\033[31m",
	};
	size_t columns;

	if (!s->colour || style == STYLE_PLAIN)
		return text_print(s->out, text, max);
	fputs(codes[style], s->out);
	columns = text_print(s->out, text, max);
	fputs("\033[0m", s->out);
	return columns;
}

static void *must(void *p)
{
	if (p)
		return p;
	fputs("shila: out of memory\n", stderr);
	exit(1);
}

struct table *table_new(const struct table_column *columns, size_t num_columns)
{
	struct table *t = must(calloc(1, sizeof(*t)));

	t->columns = columns;
	t->num_columns = num_columns;
	t->widths = must(calloc(num_columns, sizeof(*t->widths)));
	for (size_t i = 0; i < num_columns; i++)
		t->widths[i] = text_columns(columns[i].title);
	return t;
}

void table_free(struct table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->num_cells; i++)
		free(t->cells[i].text);
	free(t->cells);
	free(t->widths);
	free(t);
}

void table_add(struct table *t, enum style style, const char *text)
{
	size_t column = t->num_cells % t->num_columns, width = text_columns(text);

	if (t->num_cells == t->max_cells) {
		t->max_cells = t->max_cells ? 2 * t->max_cells : 64;
		t->cells = must(realloc(t->cells, t->max_cells * sizeof(*t->cells)));
	}
	t->cells[t->num_cells++] = (struct cell){ must(strdup(text)), style };
	if (width > t->widths[column])
		t->widths[column] = width;
}

/* print_cell() - Return: columns used so far. */
static size_t print_cell(const struct table *t, const struct screen *s, size_t column, size_t used,
			 enum style style, const char *text)
{
	size_t pad = t->widths[column] - text_columns(text);
	bool last = column + 1 == t->num_columns;
	size_t before = t->columns[column].right ? pad : 0, after = last ? 0 : pad - before + GAP;

	for (; before && used < s->columns; before--, used++)
		fputc(' ', s->out);
	used += screen_print(s, style, text, s->columns - used);
	for (; after && used < s->columns; after--, used++)
		fputc(' ', s->out);
	return used;
}

void table_print(const struct table *t, const struct screen *s, size_t max_lines)
{
	size_t num_rows = t->num_cells / t->num_columns, rows = num_rows, used = 0;

	if (max_lines && num_rows + 1 > max_lines)
		rows = max_lines > 2 ? max_lines - 2 : 0;
	for (size_t c = 0; c < t->num_columns; c++)
		used = print_cell(t, s, c, used, STYLE_TITLE, t->columns[c].title);
	fputc('\n', s->out);
	for (size_t r = 0; r < rows; r++) {
		const struct cell *row = &t->cells[r * t->num_columns];

		used = 0;
		for (size_t c = 0; c < t->num_columns; c++)
			used = print_cell(t, s, c, used, row[c].style, row[c].text);
		fputc('\n', s->out);
	}
	if (rows < num_rows)
		fprintf(s->out, "... and %zu more\n", num_rows - rows);
}
