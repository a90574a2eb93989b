/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/cli/show.h"

#include "shila/cli/text.h"

#include <stdint.h>
#include <string.h>
#include <time.h>

#define NUM(a) (sizeof(a) / sizeof((a)[0]))

static void add(struct table *t, const json_t *v, char *(*text)(const json_t *, char *, size_t))
{
	char buf[TEXT_LEN];

	table_add(t, STYLE_PLAIN, text(v, buf, sizeof(buf)));
}

static void add_key(struct table *t, const json_t *object, const char *key)
{
	add(t, json_object_get(object, key), text_value);
}

static enum style state_style(const json_t *state)
{
	static const struct {
		const char *state;
		enum style style;
	} rows[] = {
		{ "up", STYLE_GOOD },     { "running", STYLE_GOOD }, { "suspect", STYLE_WARN },
		{ "silent", STYLE_WARN }, { "waiting", STYLE_WARN }, { "down", STYLE_BAD },
	};
	const char *text = json_string_value(state);

	for (size_t i = 0; text && i < NUM(rows); i++)
		if (!strcmp(text, rows[i].state))
			return rows[i].style;
	return STYLE_PLAIN;
}

static void add_state(struct table *t, const json_t *object)
{
	const json_t *state = json_object_get(object, "state");
	char buf[TEXT_LEN];

	table_add(t, state_style(state), text_value(state, buf, sizeof(buf)));
}

/* A path that is down, and what its last router says of it. */
static void add_path_state(struct table *t, const json_t *path)
{
	const char *witness = json_string_value(json_object_get(path, "witness"));
	char state[64], text[TEXT_LEN];

	text_value(json_object_get(path, "state"), state, sizeof(state));
	snprintf(text, sizeof(text), "%s%s", state,
		 !witness			   ? "" :
		 !strcmp(witness, "peer_silent") ? ", peer silent" :
		 !strcmp(witness, "path_dead")   ? ", path dead" :
						     "");
	table_add(t, state_style(json_object_get(path, "state")), text);
}

void show_peers(const struct screen *s, const json_t *peers)
{
	static const struct table_column columns[] = {
		{ "ISD-AS" },         { "HOST" },         { "PORT", true },  { "STATE" },
		{ "RTT", true },      { "FLOWS", true },  { "PATHS", true }, { "OPENED", true },
		{ "ACCEPTED", true }, { "WORKER PORTS" },
	};
	struct table *t = table_new(columns, NUM(columns));
	const json_t *peer;
	size_t i;

	json_array_foreach(peers, i, peer)
	{
		add_key(t, peer, "isd_as");
		add_key(t, peer, "host");
		add_key(t, peer, "contact_port");
		add_state(t, peer);
		add(t, json_object_get(peer, "rtt_us"), text_us);
		add_key(t, peer, "flows");
		add_key(t, peer, "paths");
		add_key(t, peer, "opens_tx");
		add_key(t, peer, "opens_rx");
		add(t, json_object_get(peer, "worker_ports"), text_list);
	}
	table_print(t, s, 0);
	table_free(t);
}

static void add_expiry(struct table *t, const json_t *v)
{
	long long left = json_integer_value(v) - (long long)time(NULL);
	char buf[64];

	if (!json_is_integer(v) ||
	    json_integer_value(v) > 1LL << 40) /* the empty path never does */
		table_add(t, STYLE_PLAIN, "-");
	else if (left <= 0)
		table_add(t, STYLE_BAD, "expired");
	else
		table_add(t, left < 300 ? STYLE_WARN : STYLE_PLAIN,
			  text_duration_s(left, buf, sizeof(buf)));
}

void show_paths(const struct screen *s, const json_t *paths)
{
	static const struct table_column columns[] = {
		{ "ISD-AS" },        { "FINGERPRINT" }, { "STATE" },
		{ "RTT", true },     { "LOSS", true },  { "MTU", true },
		{ "EXPIRES", true }, { "FLOWS", true }, { "PATH" },
	};
	struct table *t = table_new(columns, NUM(columns));
	const json_t *path, *why, *since;
	char buf[TEXT_LEN];
	size_t i;

	json_array_foreach(paths, i, path)
	{
		add_key(t, path, "isd_as");
		/* Twelve digits tell paths apart; --json has them all. */
		text_value(json_object_get(path, "fingerprint"), buf, 13);
		table_add(t, STYLE_PLAIN, buf);
		add_path_state(t, path);
		add(t, json_object_get(path, "srtt_us"), text_us);
		add(t, json_object_get(path, "loss_ratio"), text_ratio);
		add_key(t, path, "mtu_bytes");
		add_expiry(t, json_object_get(path, "expiry_unix_s"));
		add_key(t, path, "flows");
		add(t, json_object_get(path, "hops"), text_hops);
	}
	table_print(t, s, 0);
	table_free(t);

	json_array_foreach(paths, i, path)
	{
		why = json_object_get(path, "why");
		if (!json_is_string(why))
			continue;
		fputc('\n', s->out);
		text_hops(json_object_get(path, "hops"), buf, sizeof(buf));
		screen_print(s, STYLE_TITLE, buf, SIZE_MAX);
		fputs("\n  ", s->out);
		text_print(s->out, json_string_value(why), SIZE_MAX);
		since = json_object_get(path, "since_s");
		if (json_is_integer(since))
			fprintf(s->out, "; so for %s", text_duration_s(json_integer_value(since), buf, sizeof(buf)));
		fputc('\n', s->out);
	}
}

void show_drops(const struct screen *s, const json_t *drops)
{
	static const struct table_column columns[] = { { "COUNT", true },
						       { "NAME" },
						       { "MEANING" } };
	struct table *t = table_new(columns, NUM(columns));
	const json_t *drop;
	size_t i, zero = 0;

	json_array_foreach(drops, i, drop)
	{
		const json_t *count = json_object_get(drop, "count");

		if (json_is_integer(count) && json_integer_value(count) == 0) {
			zero++;
			continue;
		}
		add(t, count, text_value);
		add_key(t, drop, "name");
		add_key(t, drop, "meaning");
	}
	if (zero < json_array_size(drops))
		table_print(t, s, 0);
	else
		fputs("Nothing was dropped.\n", s->out);
	table_free(t);
}

/* line() - "title     text", the title padded. */
static void line(const struct screen *s, const char *title, enum style style, const char *text)
{
	size_t used = screen_print(s, STYLE_TITLE, title, SIZE_MAX);

	for (; used < 10; used++)
		fputc(' ', s->out);
	screen_print(s, style, text, SIZE_MAX);
	fputc('\n', s->out);
}

static void show_interface(const struct screen *s, const char *title, const json_t *namespace,
			   const json_t *name, const json_t *addresses)
{
	char ns[256], dev[64], addr[TEXT_LEN], text[TEXT_LEN + 400];
	const char *host = json_string_value(namespace);

	snprintf(text, sizeof(text), "%s: %s %s",
		 host && !*host ? "this namespace" : text_value(namespace, ns, sizeof(ns)),
		 text_value(name, dev, sizeof(dev)), text_list(addresses, addr, sizeof(addr)));
	line(s, title, STYLE_PLAIN, text);
}

static void show_roles(const struct screen *s, const json_t *status)
{
	const json_t *egress, *interface, *ingress = json_object_get(status, "ingress");
	char used[32], size[32], text[128];
	size_t i, j;

	json_array_foreach(json_object_get(status, "egress"), i, egress)
		json_array_foreach(json_object_get(egress, "interfaces"), j, interface)
			show_interface(s, j ? "" : "egress", json_object_get(egress, "namespace"),
				       json_object_get(interface, "name"),
				       json_object_get(interface, "addresses"));
	if (!json_is_object(ingress))
		return;
	show_interface(s, "ingress", json_object_get(ingress, "namespace"),
		       json_object_get(ingress, "interface"),
		       json_object_get(ingress, "addresses"));
	snprintf(text, sizeof(text), "%s of %s pool addresses in use",
		 text_value(json_object_get(ingress, "pool_used"), used, sizeof(used)),
		 text_value(json_object_get(ingress, "pool_size"), size, sizeof(size)));
	line(s, "", STYLE_PLAIN, text);
}

static void show_limits(const struct screen *s, const json_t *limits)
{
	static const struct table_column columns[] = {
		{ "LIMIT" },
		{ "VALUE", true },
		{ "USED", true },
		{ "WORST", true },
		{ "REFUSED", true },
	};
	struct table *t;
	const json_t *limit;
	size_t i;

	if (!json_array_size(limits))
		return;
	t = table_new(columns, NUM(columns));
	json_array_foreach(limits, i, limit)
	{
		add_key(t, limit, "name");
		add_key(t, limit, "limit");
		add_key(t, limit, "used");
		add_key(t, limit, "worst");
		add_key(t, limit, "refused");
	}
	fputc('\n', s->out);
	table_print(t, s, 0);
	table_free(t);
}

/* show_counts() - An object of numbers, those that are not 0. */
static void show_counts(const struct screen *s, const char *title, json_t *counts)
{
	char value[64], text[TEXT_LEN];
	const char *key, *head = title;
	const json_t *v;

	json_object_foreach(counts, key, v)
	{
		if (json_is_integer(v) && json_integer_value(v) == 0)
			continue;
		snprintf(text, sizeof(text), "%s %s", key, text_value(v, value, sizeof(value)));
		line(s, head, STYLE_PLAIN, text);
		head = "";
	}
}

/* show_daemon() - The process. While it cannot start yet, status has little more than why. */
static void show_daemon(const struct screen *s, const json_t *status)
{
	const json_t *uptime = json_object_get(status, "uptime_ms"),
		     *state = json_object_get(status, "state");
	const json_t *error = json_object_get(status, "error");
	char a[64], b[64], c[64], d[64], text[320];

	snprintf(text, sizeof(text), "%s %s%s%s, pid %s",
		 text_value(json_object_get(status, "version"), a, sizeof(a)),
		 text_value(state, b, sizeof(b)), json_is_integer(uptime) ? " for " : "",
		 json_is_integer(uptime)
			 ? text_duration_s(json_integer_value(uptime) / 1000, c, sizeof(c))
			 : "",
		 text_value(json_object_get(status, "pid"), d, sizeof(d)));
	line(s, "shilad", state_style(state), text);
	if (json_is_string(error))
		line(s, "", STYLE_BAD, json_string_value(error));
}

static void show_host(const struct screen *s, const json_t *status)
{
	char a[TEXT_LEN], b[64], c[64], text[TEXT_LEN + 256];

	snprintf(text, sizeof(text), "%s,%s, contact port %s",
		 text_value(json_object_get(status, "isd_as"), b, sizeof(b)),
		 text_value(json_object_get(status, "address"), a, sizeof(a)),
		 text_value(json_object_get(status, "contact_port"), c, sizeof(c)));
	line(s, "address", STYLE_PLAIN, text);
	snprintf(text, sizeof(text), "%s, ports %s, steered by %s",
		 text_value(json_object_get(status, "workers"), b, sizeof(b)),
		 text_list(json_object_get(status, "worker_ports"), a, sizeof(a)),
		 text_value(json_object_get(status, "steering"), c, sizeof(c)));
	line(s, "workers", STYLE_PLAIN, text);
}

static void show_scion(const struct screen *s, const json_t *scion)
{
	const json_t *state = json_object_get(scion, "state"),
		     *error = json_object_get(scion, "error");
	char a[64], b[64], text[TEXT_LEN];

	snprintf(text, sizeof(text), "daemon %s is %s%s%s",
		 text_value(json_object_get(scion, "address"), a, sizeof(a)),
		 text_value(state, b, sizeof(b)), json_is_string(error) ? ": " : "",
		 json_is_string(error) ? json_string_value(error) : "");
	line(s, "SCION", state_style(state), text);
}

/* Only if a restart would lose something. */
static void show_state_file(const struct screen *s, const json_t *file)
{
	const char *error = json_string_value(json_object_get(file, "error"));
	char text[TEXT_LEN];

	if (!error)
		return;
	snprintf(text, sizeof(text), "%s: connections may not survive a restart", error);
	line(s, "state file", STYLE_WARN, text);
}

static void show_receive_buffer(const struct screen *s, const json_t *bytes)
{
	char text[64];

	if (!bytes)
		return;
	snprintf(text, sizeof(text), "%lld KiB for what arrives at a socket", (long long)json_integer_value(bytes) / 1024);
	line(s, "buffers", STYLE_PLAIN, text);
}

static void show_routes(const struct screen *s, const json_t *routes)
{
	char a[64], b[TEXT_LEN], text[TEXT_LEN + 128];
	const json_t *route;
	size_t i;

	json_array_foreach(routes, i, route)
	{
		snprintf(text, sizeof(text), "%s via %s",
			 text_value(json_object_get(route, "to"), a, sizeof(a)),
			 text_list(json_object_get(route, "via"), b, sizeof(b)));
		line(s, i ? "" : "routes", STYLE_PLAIN, text);
	}
}

void show_status(const struct screen *s, const json_t *status)
{
	char flows[64];

	show_daemon(s, status);
	if (!json_object_get(status, "isd_as"))
		return;
	show_host(s, status);
	show_scion(s, json_object_get(status, "scion_daemon"));
	show_state_file(s, json_object_get(status, "state_file"));
	show_roles(s, status);
	show_routes(s, json_object_get(status, "routes"));
	show_receive_buffer(s, json_object_get(status, "receive_buffer_bytes"));
	line(s, "flows", STYLE_PLAIN,
	     text_value(json_object_get(status, "flows"), flows, sizeof(flows)));
	show_counts(s, "drops", json_object_get(status, "drops"));
	show_counts(s, "counters", json_object_get(status, "counters"));
	show_limits(s, json_object_get(status, "limits"));
}
