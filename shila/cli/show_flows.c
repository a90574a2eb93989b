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

static const struct table_column rate_columns[] = {
	{ "ID", true },        { "CONNECTION" },      { "ROLE" },
	{ "LOCAL" },           { "REMOTE" },          { "STATE" },
	{ "TX Mbit/s", true }, { "RX Mbit/s", true }, { "TX", true },
	{ "RX", true },        { "RTT", true },       { "PATH" },
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

/* compare() - By connection (what has none last), the main flow before its subflows, then by id. */
static int compare(const void *pa, const void *pb)
{
	const json_t *a = *(const json_t *const *)pa, *b = *(const json_t *const *)pb;
	json_int_t id_a = json_integer_value(json_object_get(a, "id"));
	json_int_t id_b = json_integer_value(json_object_get(b, "id"));
	int diff = compare_text(json_string_value(json_object_get(a, "token")),
				json_string_value(json_object_get(b, "token")));

	if (!diff)
		diff = compare_text(json_string_value(json_object_get(a, "side")),
				    json_string_value(json_object_get(b, "side")));
	if (!diff) /* "main" is before "sub" */
		diff = compare_text(json_string_value(json_object_get(a, "role")),
				    json_string_value(json_object_get(b, "role")));
	return diff ? diff : (id_a > id_b) - (id_a < id_b);
}

static json_int_t number(const json_t *flow, const char *key)
{
	return json_integer_value(json_object_get(flow, key));
}

static int compare_id(const void *pa, const void *pb)
{
	json_int_t a = number(*(const json_t *const *)pa, "id"),
		   b = number(*(const json_t *const *)pb, "id");

	return (a > b) - (a < b);
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

/* flow_rates() - Unknown if the flow was not there before, or its id is another flow's by now. */
static struct rates flow_rates(const json_t *flow, const json_t **before, size_t n,
			       double elapsed_s)
{
	const json_t **hit =
		n ? bsearch(&flow, before, n, sizeof(const json_t *), compare_id) : NULL;
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
	return !strcmp(text, "closed") ? STYLE_BAD : STYLE_WARN;
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

static void add_flow(struct table *t, const json_t *flow, const struct rates *rates)
{
	add(t, json_object_get(flow, "id"), text_value);
	add_connection(t, flow);
	add(t, json_object_get(flow, "role"), text_value);
	if (!rates)
		add(t, json_object_get(flow, "peer"), text_value);
	add(t, json_object_get(flow, "local"), text_value);
	add(t, json_object_get(flow, "remote"), text_value);
	add_state(t, json_object_get(flow, "state"));
	if (rates) {
		add_rate(t, rates->known, rates->tx);
		add_rate(t, rates->known, rates->rx);
	}
	add(t, json_object_get(flow, "tx_bytes"), text_bytes);
	add(t, json_object_get(flow, "rx_bytes"), text_bytes);
	add(t, json_object_get(flow, "srtt_us"), text_us);
	if (!rates)
		add(t, json_object_get(flow, "path_changes"), text_value);
	add_path(t, json_object_get(flow, "path"));
}

void show_flows(const struct screen *s, const json_t *flows, const json_t *before, double elapsed_s,
		bool with_rates, size_t max_lines)
{
	struct table *t = with_rates ? table_new(rate_columns, NUM(rate_columns))
				     : table_new(columns, NUM(columns));
	size_t num_flows, num_old;
	const json_t **list = sorted(flows, compare, &num_flows);
	const json_t **old = sorted(before, compare_id, &num_old);
	struct rates sum = { .known = before != NULL };

	for (size_t i = 0; i < num_flows; i++) {
		struct rates rates = flow_rates(list[i], old, num_old, elapsed_s);

		sum.tx += rates.tx;
		sum.rx += rates.rx;
		add_flow(t, list[i], with_rates ? &rates : NULL);
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
