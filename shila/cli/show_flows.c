/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/cli/show.h"

#include "shila/cli/text.h"

#include <stdlib.h>
#include <string.h>

#define NUM(a) (sizeof(a) / sizeof((a)[0]))

static const struct table_column columns[] = {
	{ "ID", true }, { "CONNECTION" }, { "ROLE" },        { "PEER" },
	{ "LOCAL" },    { "REMOTE" },     { "STATE" },       { "TX", true },
	{ "RX", true }, { "RTT", true },  { "MOVES", true }, { "PATH" },
};

/* What is watched comes first, so that it fits 80 columns; what does not fit is cut. */
static const struct table_column rate_columns[] = {
	{ "CONNECTION" },      { "ROLE" },      { "STATE" },  { "TX Mbit/s", true },
	{ "RX Mbit/s", true }, { "RTT", true }, { "PATH" },   { "TX", true },
	{ "RX", true },        { "LOCAL" },     { "REMOTE" },
};

struct rates {
	bool known;
	double tx, rx; /* bits per second */
};

static int compare_text(const char *a, const char *b)
{
	if (!a || !b)
		return !a - !b;
	return strcmp(a, b);
}

static int compare_key(const json_t *a, const json_t *b, const char *key)
{
	return compare_text(json_string_value(json_object_get(a, key)),
			    json_string_value(json_object_get(b, key)));
}

static int compare_id(const json_t *a, const json_t *b)
{
	char id_a[64], id_b[64];

	return strverscmp(text_value(json_object_get(a, "id"), id_a, sizeof(id_a)),
			  text_value(json_object_get(b, "id"), id_b, sizeof(id_b)));
}

/* for_people() - By connection (what has none last), the main flow before its subflows, then by id.
 */
static int for_people(const void *pa, const void *pb)
{
	const json_t *a = *(const json_t *const *)pa, *b = *(const json_t *const *)pb;
	int diff = compare_key(a, b, "token");

	if (!diff)
		diff = compare_key(a, b, "side");
	if (!diff) /* "main" is before "sub" */
		diff = compare_key(a, b, "role");
	return diff ? diff : compare_id(a, b);
}

/* by_identity() - Ids are given again soon, and not before a flow is open: its addresses tell more.
 */
static int by_identity(const void *pa, const void *pb)
{
	const json_t *a = *(const json_t *const *)pa, *b = *(const json_t *const *)pb;
	int diff = compare_key(a, b, "local");

	if (!diff)
		diff = compare_key(a, b, "remote");
	if (!diff)
		diff = compare_key(a, b, "protocol");
	return diff ? diff : compare_key(a, b, "side");
}

static json_int_t number(const json_t *flow, const char *key)
{
	return json_integer_value(json_object_get(flow, key));
}

/* sorted() - The elements of an array, to free(). */
static const json_t **sorted(const json_t *array, int (*order)(const void *, const void *),
			     size_t *n)
{
	const json_t **list = calloc(json_array_size(array) + 1, sizeof(const json_t *));
	const json_t *v;
	size_t i;

	if (!list) {
		fputs("shila: out of memory\n", stderr);
		exit(1);
	}
	json_array_foreach(array, i, v) list[i] = v;
	*n = json_array_size(array);
	qsort(list, *n, sizeof(const json_t *), order);
	return list;
}

/* flow_rates() - Unknown if the flow was not there before, or was another with the same addresses.
 */
static struct rates flow_rates(const json_t *flow, const json_t **before, size_t n,
			       double elapsed_s)
{
	const json_t **hit =
		n ? bsearch(&flow, before, n, sizeof(const json_t *), by_identity) : NULL;
	json_int_t tx, rx;

	if (!hit || elapsed_s <= 0 || number(*hit, "age_ms") > number(flow, "age_ms"))
		return (struct rates){ 0 };
	tx = number(flow, "tx_bytes") - number(*hit, "tx_bytes");
	rx = number(flow, "rx_bytes") - number(*hit, "rx_bytes");
	if (tx < 0 || rx < 0)
		return (struct rates){ 0 };
	return (struct rates){ true, 8.0 * tx / elapsed_s, 8.0 * rx / elapsed_s };
}

static void add(struct table *t, const json_t *v, char *(*text)(const json_t *, char *, size_t))
{
	char buf[TEXT_LEN];

	table_add(t, STYLE_PLAIN, text(v, buf, sizeof(buf)));
}

static void add_rate(struct table *t, bool known, double rate)
{
	char buf[32];

	table_add(t, STYLE_PLAIN, known ? text_mbit(rate, buf, sizeof(buf)) : "-");
}

static enum style state_style(const json_t *state)
{
	const char *text = json_string_value(state);

	if (!text)
		return STYLE_PLAIN;
	if (!strcmp(text, "open"))
		return STYLE_GOOD;
	if (!strcmp(text, "waiting") || !strcmp(text, "opening") || !strcmp(text, "offered"))
		return STYLE_WARN;
	return STYLE_PLAIN;
}

static void add_state(struct table *t, const json_t *state)
{
	char buf[64];

	table_add(t, state_style(state), text_value(state, buf, sizeof(buf)));
}

static void add_path(struct table *t, const json_t *path)
{
	if (json_is_object(path))
		add(t, json_object_get(path, "hops"), text_hops);
	else
		table_add(t, STYLE_WARN, "none");
}

/* add_connection() - The token, or the protocol of what is no MPTCP. */
static void add_connection(struct table *t, const json_t *flow)
{
	const json_t *token = json_object_get(flow, "token");

	add(t, json_is_string(token) ? token : json_object_get(flow, "protocol"), text_value);
}

static void add_flow(struct table *t, const json_t *flow)
{
	add(t, json_object_get(flow, "id"), text_value);
	add_connection(t, flow);
	add(t, json_object_get(flow, "role"), text_value);
	add(t, json_object_get(flow, "peer"), text_value);
	add(t, json_object_get(flow, "local"), text_value);
	add(t, json_object_get(flow, "remote"), text_value);
	add_state(t, json_object_get(flow, "state"));
	add(t, json_object_get(flow, "tx_bytes"), text_bytes);
	add(t, json_object_get(flow, "rx_bytes"), text_bytes);
	add(t, json_object_get(flow, "srtt_us"), text_us);
	add(t, json_object_get(flow, "path_changes"), text_value);
	add_path(t, json_object_get(flow, "path"));
}

static void add_flow_rates(struct table *t, const json_t *flow, const struct rates *rates)
{
	add_connection(t, flow);
	add(t, json_object_get(flow, "role"), text_value);
	add_state(t, json_object_get(flow, "state"));
	add_rate(t, rates->known, rates->tx);
	add_rate(t, rates->known, rates->rx);
	add(t, json_object_get(flow, "srtt_us"), text_us);
	add_path(t, json_object_get(flow, "path"));
	add(t, json_object_get(flow, "tx_bytes"), text_bytes);
	add(t, json_object_get(flow, "rx_bytes"), text_bytes);
	add(t, json_object_get(flow, "local"), text_value);
	add(t, json_object_get(flow, "remote"), text_value);
}

void show_flows(const struct screen *s, const json_t *flows, const json_t *before, double elapsed_s,
		bool with_rates, size_t max_lines)
{
	struct table *t = with_rates ? table_new(rate_columns, NUM(rate_columns))
				     : table_new(columns, NUM(columns));
	size_t num_flows, num_old;
	const json_t **list = sorted(flows, for_people, &num_flows);
	const json_t **old = sorted(before, by_identity, &num_old);
	struct rates sum = { .known = before != NULL };

	for (size_t i = 0; i < num_flows; i++) {
		struct rates rates = flow_rates(list[i], old, num_old, elapsed_s);

		sum.tx += rates.tx;
		sum.rx += rates.rx;
		if (with_rates)
			add_flow_rates(t, list[i], &rates);
		else
			add_flow(t, list[i]);
	}
	if (with_rates && max_lines > 3)
		max_lines -= 2; /* for the sum */
	table_print(t, s, max_lines);
	if (with_rates && sum.known)
		fprintf(s->out, "\n%zu flows, tx %.1f Mbit/s, rx %.1f Mbit/s\n", num_flows,
			sum.tx / 1e6, sum.rx / 1e6);
	else if (with_rates)
		fprintf(s->out, "\n%zu flows\n", num_flows);
	free(old);
	free(list);
	table_free(t);
}
