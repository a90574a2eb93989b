/* SPDX-License-Identifier: Apache-2.0 */
#include "config/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

struct loader {
	yaml_parser_t parser;
	struct report *report;
	const char *text;
	size_t len, nodes;
};

void tree_free(struct node *n)
{
	if (!n)
		return;
	for (size_t i = 0; i < n->count; i++)
		tree_free(n->items[i]);
	free(n->items);
	free(n->text);
	free(n);
}

struct node *node_find(const struct node *map, const char *key)
{
	if (!map || map->kind != NODE_MAP)
		return NULL;
	for (size_t i = 0; i < map->count; i += 2)
		if (map->items[i]->kind == NODE_SCALAR && !strcmp(map->items[i]->text, key))
			return map->items[i + 1];
	return NULL;
}

bool node_is_null(const struct node *n)
{
	return n->kind == NODE_SCALAR && n->plain &&
	       (!n->len || !strcmp(n->text, "~") || !strcasecmp(n->text, "null"));
}

void node_error(struct report *r, const struct node *n, const char *fmt, ...)
{
	va_list ap;

	if (n->bad)
		return;
	va_start(ap, fmt);
	report_add(r, n->line, n->column, false, fmt, ap);
	va_end(ap);
}

void node_warning(struct report *r, const struct node *n, const char *fmt, ...)
{
	va_list ap;

	if (n->bad)
		return;
	va_start(ap, fmt);
	report_add(r, n->line, n->column, true, fmt, ap);
	va_end(ap);
}

/* The reader of libyaml gives a byte offset instead of a mark. */
static void place_of_offset(const struct loader *l, size_t offset, int *line, int *column)
{
	*line = *column = 1;
	for (size_t i = 0; i < offset && i < l->len; i++) {
		if (l->text[i] == '\n') {
			++*line;
			*column = 1;
		} else if (((unsigned char)l->text[i] & 0xc0) != 0x80) {
			++*column;
		}
	}
}

/* libyaml has no word for the most common mistake. */
static bool is_tab(const struct loader *l, int line, int column)
{
	const char *p = l->text, *end = l->text + l->len;

	while (--line) {
		p = memchr(p, '\n', (size_t)(end - p));
		if (!p)
			return false;
		p++;
	}
	return end - p >= column && p[column - 1] == '\t';
}

static int syntax_error(struct loader *l)
{
	const yaml_parser_t *p = &l->parser;
	int line = (int)p->problem_mark.line + 1, column = (int)p->problem_mark.column + 1;
	const char *problem = p->problem ? p->problem : "cannot be read";

	switch (p->error) {
	case YAML_MEMORY_ERROR:
		return -ENOMEM;
	case YAML_READER_ERROR:
		place_of_offset(l, p->problem_offset, &line, &column);
		if (p->problem_value >= 0)
			report_error(l->report, line, column, "not valid text: %s (0x%02x)",
				     problem, (unsigned int)p->problem_value);
		else
			report_error(l->report, line, column, "not valid text: %s", problem);
		return -EINVAL;
	default:
		report_error(l->report, line, column, "not valid YAML: %s%s%s%s", problem,
			     p->context ? " " : "", p->context ? p->context : "",
			     is_tab(l, line, column) ? " (a tab: indent with spaces)" : "");
		return -EINVAL;
	}
}

static int next_event(struct loader *l, yaml_event_t *ev)
{
	return yaml_parser_parse(&l->parser, ev) ? 0 : syntax_error(l);
}

static int add_item(struct node *to, struct node *item)
{
	if (to->count == to->room) {
		size_t room = to->room ? to->room * 2 : 8;
		struct node **items = realloc(to->items, room * sizeof(*items));

		if (!items)
			return -ENOMEM;
		to->items = items;
		to->room = room;
	}
	to->items[to->count++] = item;
	return 0;
}

/* Anchors and tags would make a value mean something that is not written where it stands. */
static void refuse_extras(struct loader *l, struct node *n, const yaml_char_t *anchor,
			  const yaml_char_t *tag)
{
	char quoted[QUOTE_STRLEN];

	if (anchor)
		node_error(l->report, n, "anchors (&%s) are not supported: write the value out",
			   quote_str((const char *)anchor, strlen((const char *)anchor), quoted));
	else if (tag)
		node_error(l->report, n, "tags (%s) are not supported: leave it out",
			   quote_str((const char *)tag, strlen((const char *)tag), quoted));
	else
		return;
	n->bad = true;
}

static int load_node(struct loader *l, yaml_event_t *ev, int depth, struct node **out);

/* Items up to the end of @n; a map's keys are checked. */
static int load_items(struct loader *l, struct node *n, yaml_event_type_t end, int depth)
{
	yaml_event_t ev;
	int err;

	if (depth >= TREE_MAX_DEPTH) {
		node_error(l->report, n, "nested more than %d deep", TREE_MAX_DEPTH);
		return -EINVAL;
	}
	for (;;) {
		struct node *item;

		err = next_event(l, &ev);
		if (err < 0)
			return err;
		if (ev.type == end) {
			yaml_event_delete(&ev);
			return 0;
		}
		err = load_node(l, &ev, depth + 1, &item);
		yaml_event_delete(&ev);
		if (err < 0)
			return err;
		err = add_item(n, item);
		if (err < 0) {
			tree_free(item);
			return err;
		}
		if (n->kind == NODE_MAP && n->count % 2 && item->kind != NODE_SCALAR) {
			node_error(l->report, item, "a key must be a word");
			item->bad = true;
		}
	}
}

/* One value with all that is in it; @ev is its first event, left to the caller. */
static int load_node(struct loader *l, yaml_event_t *ev, int depth, struct node **out)
{
	struct node *n = calloc(1, sizeof(*n));
	int err = 0;

	if (!n)
		return -ENOMEM;
	n->line = (int)ev->start_mark.line + 1;
	n->column = (int)ev->start_mark.column + 1;
	if (l->nodes++ >= TREE_MAX_NODES) {
		node_error(l->report, n, "more than %d values", TREE_MAX_NODES);
		free(n);
		return -EINVAL;
	}
	switch (ev->type) {
	case YAML_SEQUENCE_START_EVENT:
		n->kind = NODE_LIST;
		refuse_extras(l, n, ev->data.sequence_start.anchor, ev->data.sequence_start.tag);
		err = load_items(l, n, YAML_SEQUENCE_END_EVENT, depth);
		break;
	case YAML_MAPPING_START_EVENT:
		n->kind = NODE_MAP;
		refuse_extras(l, n, ev->data.mapping_start.anchor, ev->data.mapping_start.tag);
		err = load_items(l, n, YAML_MAPPING_END_EVENT, depth);
		break;
	case YAML_SCALAR_EVENT:
		n->kind = NODE_SCALAR;
		n->plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
		n->len = ev->data.scalar.length;
		n->text = malloc(n->len + 1);
		if (!n->text) {
			err = -ENOMEM;
			break;
		}
		memcpy(n->text, ev->data.scalar.value, n->len);
		n->text[n->len] = '\0';
		refuse_extras(l, n, ev->data.scalar.anchor, ev->data.scalar.tag);
		break;
	default: /* YAML_ALIAS_EVENT: nothing else begins a value */
		n->kind = NODE_SCALAR;
		n->text = strdup("");
		if (!n->text) {
			err = -ENOMEM;
			break;
		}
		node_error(l->report, n, "aliases (*%s) are not supported: write the value out",
			   quote_str((const char *)ev->data.alias.anchor,
				     strlen((const char *)ev->data.alias.anchor),
				     (char[QUOTE_STRLEN]){0}));
		n->bad = true;
		break;
	}
	if (err < 0) {
		tree_free(n);
		return err;
	}
	*out = n;
	return 0;
}

/* STREAM-START DOCUMENT-START value DOCUMENT-END STREAM-END, and nothing more. */
static int load_stream(struct loader *l, struct node **out)
{
	struct node *root = NULL;
	yaml_event_t ev;
	bool done = false;
	int err = 0;

	while (!err && !done) {
		err = next_event(l, &ev);
		if (err < 0)
			break;
		switch (ev.type) {
		case YAML_DOCUMENT_START_EVENT:
			if (root) {
				report_error(l->report, (int)ev.start_mark.line + 1,
					     (int)ev.start_mark.column + 1,
					     "a second document: one file holds one configuration");
				err = -EINVAL;
			}
			break;
		case YAML_STREAM_START_EVENT:
		case YAML_DOCUMENT_END_EVENT:
			break;
		case YAML_STREAM_END_EVENT:
			done = true;
			break;
		default:
			err = load_node(l, &ev, 0, &root);
			break;
		}
		yaml_event_delete(&ev);
	}
	if (!err && (!root || node_is_null(root))) {
		report_error(l->report, 1, 1,
			     "the file is empty: it needs `version: 1` and "
			     "`egress` or `ingress`, or both");
		err = -EINVAL;
	} else if (!err && root->kind != NODE_MAP) {
		node_error(l->report, root, "must be keys with values (version: 1 ...)");
		err = -EINVAL;
	}
	if (err < 0) {
		tree_free(root);
		return err;
	}
	*out = root;
	return 0;
}

int tree_load(const char *text, size_t len, struct report *r, struct node **out)
{
	struct loader l = {.report = r, .text = text, .len = len};
	int err;

	*out = NULL;
	if (len > TREE_MAX_BYTES) {
		report_error(r, 1, 1, "the file is larger than %u MiB", TREE_MAX_BYTES >> 20);
		return -EINVAL;
	}
	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) { /* byte order mark */
		l.text += 3;
		l.len -= 3;
	}
	if (!yaml_parser_initialize(&l.parser))
		return -ENOMEM;
	/* Else the first bytes could switch it to UTF-16, in which offsets mean something else. */
	yaml_parser_set_encoding(&l.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&l.parser, (const unsigned char *)l.text, l.len);
	err = load_stream(&l, out);
	yaml_parser_delete(&l.parser);
	return err;
}
