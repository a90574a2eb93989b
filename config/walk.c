/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From tree to struct, by the table of keys. First the keys that the file gives are held against
 * the table (unknown, given twice), then every row of the section is looked up in the file, so that
 * what is missing gets its default in the same place.
 */
#include "config/walk.h"

#include "config/schema.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct walk {
	struct report *report;
	struct config *cfg;
	const char *env_daemon; /* default of scion.daemon, NULL: the table's */
	bool no_memory;
};

static void read_map(struct walk *w, const char *section, const char *name, struct node *map,
		     const struct node *at, void *base, bool defaults);

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;

	return m < c ? m : c;
}

/* Edits (insert, delete, replace, swap of neighbours) between two words, large if they are long. */
static size_t edit_distance(const char *a, const char *b)
{
	enum { MAX = 32 };
	size_t d[MAX + 1][MAX + 1], la = strlen(a), lb = strlen(b);

	if (la > MAX || lb > MAX)
		return MAX;
	for (size_t i = 0; i <= la; i++)
		d[i][0] = i;
	for (size_t j = 0; j <= lb; j++)
		d[0][j] = j;
	for (size_t i = 1; i <= la; i++)
		for (size_t j = 1; j <= lb; j++) {
			size_t same = a[i - 1] == b[j - 1];

			d[i][j] = min3(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + !same);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < d[i][j])
				d[i][j] = d[i - 2][j - 2] + 1;
		}
	return d[la][lb];
}

/* What somebody who wrote @key may have meant: a similar key here, the same one elsewhere, or NULL.
 */
static const char *suggest(const char *section, const char *key)
{
	size_t best = strlen(key) < 5 ? 2 : 3; /* fewer edits than this */
	const char *found = NULL;

	for (size_t i = 0; i < cfg_num_keys; i++) {
		size_t d;

		if (!cfg_in_section(&cfg_keys[i], section))
			continue;
		d = edit_distance(key, cfg_name(&cfg_keys[i]));
		if (d < best) {
			best = d;
			found = cfg_name(&cfg_keys[i]);
		}
	}
	for (size_t i = 0; i < cfg_num_keys && !found; i++)
		if (!strcasecmp(cfg_name(&cfg_keys[i]), key))
			found = cfg_keys[i].key;
	return found;
}

static const struct cfg_key *find_key(const char *section, const char *name)
{
	for (size_t i = 0; i < cfg_num_keys; i++)
		if (cfg_in_section(&cfg_keys[i], section) && !strcmp(cfg_name(&cfg_keys[i]), name))
			return &cfg_keys[i];
	return NULL;
}

static void check_keys(struct walk *w, const char *section, const char *name, struct node *map)
{
	char quoted[QUOTE_STRLEN];

	for (size_t i = 0; i < map->count; i += 2) {
		struct node *key = map->items[i];
		const char *meant;
		size_t first = 0;

		if (key->bad)
			continue;
		quote_str(key->text, key->len, quoted);
		if (strlen(key->text) != key->len || !find_key(section, key->text)) {
			meant = suggest(section, key->text);
			if (meant)
				node_error(w->report, key, "%s%s%s: unknown key, did you mean %s?",
					   name, *name ? "." : "", quoted, meant);
			else
				node_error(w->report, key, "%s%s%s: unknown key", name,
					   *name ? "." : "", quoted);
			continue;
		}
		while (first < i && (map->items[first]->kind != NODE_SCALAR ||
				     strcmp(map->items[first]->text, key->text)))
			first += 2;
		if (first < i)
			node_error(w->report, key, "%s%s%s: given twice, first in line %d", name,
				   *name ? "." : "", quoted, map->items[first]->line);
	}
}

static const char *kind_str(const struct node *n)
{
	static const char *const names[] = {[NODE_SCALAR] = "a single value",
					    [NODE_LIST] = "a list",
					    [NODE_MAP] = "keys with values"};

	return names[n->kind];
}

/* A value given as text; the only way to values, for files and defaults alike. */
static bool read_text(struct walk *w, const struct cfg_key *k, const char *text, void *out,
		      char *why)
{
	int err;

	if (k->flags & CFG_AUTO && !(k->flags & CFG_LIST) && !strcmp(text, "auto"))
		return true;
	err = cfg_types[k->type].parse(k, text, out, why);
	if (err == -ENOMEM) {
		w->no_memory = true;
		strcpy(why, "out of memory");
	}
	return !err;
}

/* One value of the file into @out. Marks @n bad if it is. */
static bool read_one(struct walk *w, const struct cfg_key *k, const char *name, struct node *n,
		     void *out)
{
	const struct cfg_type_info *type = &cfg_types[k->type];
	char why[CFG_WHY_LEN];
	bool ok = false;

	if (n->bad)
		return false;
	if (n->kind != NODE_SCALAR)
		node_error(w->report, n, "%s: must be %s, is %s", name, type->what, kind_str(n));
	else if (node_is_null(n))
		node_error(w->report, n, "%s: has no value", name);
	else if (strlen(n->text) != n->len)
		node_error(w->report, n, "%s: contains a NUL byte", name);
	else if (type->unquoted && !n->plain && strcmp(n->text, "auto"))
		node_error(w->report, n, "%s: must be %s, is text (leave the quotes out)", name,
			   type->what);
	else if (!read_text(w, k, n->text, out, why))
		node_error(w->report, n, "%s: %s", name, why);
	else
		ok = true;
	n->bad = !ok;
	return ok;
}

/* Storage of a list: where its elements go, and how many fit. NULL without memory. */
static uint8_t *list_storage(struct walk *w, const struct cfg_key *k, size_t wanted, void *base)
{
	uint8_t *at = (uint8_t *)base + k->at;
	void *heap;

	if (!(k->flags & CFG_HEAP))
		return at;
	heap = calloc(wanted ? wanted : 1, k->size);
	if (!heap)
		w->no_memory = true;
	else
		memcpy(at, &heap, sizeof(heap));
	return heap;
}

/* Is @value among the first @n of @list? An access control list may say the same twice. */
static bool is_listed(const struct cfg_key *k, const uint8_t *list, size_t n, const void *value)
{
	const struct cfg_type_info *type = &cfg_types[k->type];

	for (size_t i = 0; i < n && k->type != CFG_POLICY; i++, list += k->size)
		if (type->same ? type->same(list, value) : !memcmp(list, value, k->size))
			return true;
	return false;
}

/* A list, or one value that stands for a list of one. */
static void read_list(struct walk *w, const struct cfg_key *k, const char *name, struct node *n,
		      void *base)
{
	size_t *count = (size_t *)((uint8_t *)base + k->count_at);
	size_t num = n->kind == NODE_LIST ? n->count : 1;
	struct node **items = n->kind == NODE_LIST ? n->items : &n;
	uint8_t *list;

	if (n->bad)
		return;
	if (n->kind == NODE_LIST && !num && k->def && !(k->flags & CFG_MAY_BE_EMPTY)) {
		node_error(w->report, n, "%s: is empty, leave it out for %s", name, k->def);
		n->bad = true;
		return;
	}
	if (n->kind == NODE_LIST && !num && k->flags & CFG_REQUIRED) {
		node_error(w->report, n, "%s: is empty", name);
		n->bad = true;
		return;
	}
	if (num > k->max_count) {
		node_error(w->report, n, "%s: %zu entries are more than %u", name, num,
			   k->max_count);
		n->bad = true;
		return;
	}
	list = list_storage(w, k, num, base);
	if (!list)
		return;
	for (size_t i = 0; i < num; i++) {
		uint8_t *out = list + *count * k->size;
		char item[KEY_STRLEN];

		if (n->kind == NODE_LIST)
			snprintf(item, sizeof(item), "%.64s[%zu]", name, i);
		else
			snprintf(item, sizeof(item), "%s", name);
		if (k->type == CFG_MAP) {
			read_map(w, k->key, item, items[i], items[i], out, true);
			++*count;
			continue;
		}
		if (k->flags & CFG_AUTO && n->kind == NODE_SCALAR && !strcmp(n->text, "auto"))
			return;
		memset(out, 0, k->size);
		if (!read_one(w, k, item, items[i], out))
			continue;
		if (is_listed(k, list, *count, out)) {
			node_error(w->report, items[i], "%s: is listed twice", item);
			items[i]->bad = true;
			continue;
		}
		++*count;
	}
}

/* Defaults go through the same functions as what the file says; the table has none that fail. */
static void read_default(struct walk *w, const struct cfg_key *k, const struct node *at, void *base)
{
	const char *def = k->def;
	char why[CFG_WHY_LEN], text[64];
	size_t *count = (size_t *)((uint8_t *)base + k->count_at);
	uint8_t *out = (uint8_t *)base + k->at;

	if (k->type == CFG_SOCK && w->env_daemon && *w->env_daemon) {
		if (!read_text(w, k, w->env_daemon, out, why))
			node_error(w->report, at, "%s: $SCION_DAEMON: %s", k->key, why);
		return;
	}
	if (!def || !(k->flags & CFG_LIST)) {
		if (def && !read_text(w, k, def, out, why))
			node_error(w->report, at, "%s: %s", k->key, why);
		return;
	}
	if (k->flags & CFG_AUTO && !strcmp(def, "auto"))
		return;
	out = list_storage(w, k, k->max_count, base);
	for (size_t n; out && *def; def += n + strspn(def + n, ", ")) {
		n = strcspn(def, ",");
		snprintf(text, sizeof(text), "%.*s", (int)n, def);
		if (!read_text(w, k, text, out + *count * k->size, why))
			node_error(w->report, at, "%s: %s", k->key, why);
		++*count;
	}
}

void walk_paths_fini(struct config_paths *paths)
{
	for (size_t i = 0; i < paths->num_policy; i++)
		free(paths->policy[i]);
	paths->num_policy = 0;
}

static int copy_paths(const struct config_paths *from, struct config_paths *to)
{
	*to = *from;
	for (size_t i = 0; i < from->num_policy; i++) {
		to->policy[i] = strdup(from->policy[i]);
		if (!to->policy[i]) {
			to->num_policy = i;
			return -ENOMEM;
		}
	}
	return 0;
}

static void read_key(struct walk *w, const struct cfg_key *k, const char *name, struct node *n,
		     const struct node *at, void *base, bool defaults)
{
	uint8_t *out = (uint8_t *)base + k->at;
	const char *section = k->like ? k->like : k->key;

	if (k->flags & CFG_INHERIT && copy_paths(&w->cfg->paths, (struct config_paths *)out) < 0)
		w->no_memory = true;
	if (n && k->type == CFG_POLICY) /* what a route inherited is replaced whole */
		walk_paths_fini(base);
	if (n && k->flags & CFG_LIST)
		read_list(w, k, name, n, base);
	else if (n && k->type == CFG_MAP)
		read_map(w, section, name, n, n, out, !(k->flags & CFG_INHERIT));
	else if (n)
		read_one(w, k, name, n, out);
	else if (k->type == CFG_MAP && !(k->flags & (CFG_OPTIONAL | CFG_INHERIT)))
		read_map(w, section, name, NULL, at, out, true);
	else if (k->flags & CFG_REQUIRED)
		node_error(w->report, at, "%s: is missing", name);
	else if (defaults && k->type != CFG_MAP)
		read_default(w, k, at, base);
}

/*
 * The keys of one section. @map: NULL if the file does not have it. @at: where to complain about
 * what is missing. @base: the struct that the section's offsets count from.
 */
static void read_map(struct walk *w, const char *section, const char *name, struct node *map,
		     const struct node *at, void *base, bool defaults)
{
	char key[KEY_STRLEN];

	if (map && map->bad)
		return;
	if (map && map->kind != NODE_MAP) {
		if (node_is_null(map))
			node_error(w->report, map, "%s: has no value (without any key it is {})",
				   name);
		else
			node_error(w->report, map, "%s: must be keys with values, is %s", name,
				   kind_str(map));
		map->bad = true;
		return;
	}
	if (map)
		check_keys(w, section, name, map);
	for (size_t i = 0; i < cfg_num_keys; i++) {
		const struct cfg_key *k = &cfg_keys[i];
		struct node *n;

		if (!cfg_in_section(k, section))
			continue;
		snprintf(key, sizeof(key), "%s%s%s", name, *name ? "." : "", cfg_name(k));
		n = map ? node_find(map, cfg_name(k)) : NULL;
		read_key(w, k, key, n, at, base, defaults);
	}
}

/* TUN names: shila-e0 for the first egress, shila-f0 for the second; shila-i is the ingress. */
static const char egress_letters[CONFIG_MAX_EGRESS + 1] = "efghjklm";

int walk_tree(struct node *root, const char *env_daemon, struct report *r, struct config *cfg)
{
	struct walk w = {.report = r, .cfg = cfg, .env_daemon = env_daemon};
	const struct node *routes = node_find(root, "routes");

	read_map(&w, "", "", root, root, cfg, true);

	for (size_t i = 0; i < cfg->num_egress; i++)
		snprintf(cfg->egress[i].device, sizeof(cfg->egress[i].device), "shila-%c",
			 egress_letters[i]);
	cfg->ingress.enabled = node_find(root, "ingress");
	strcpy(cfg->ingress.device, "shila-i");
	for (size_t i = 0; i < cfg->num_routes; i++)
		cfg->routes[i].line =
			routes->kind == NODE_LIST ? routes->items[i]->line : routes->line;
	return w.no_memory ? -ENOMEM : 0;
}
