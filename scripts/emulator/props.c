/* SPDX-License-Identifier: Apache-2.0 */
#include "scripts/emulator/props.h"

#include <stddef.h>
#include <string.h>

#define NS_PER_MS 1e6

enum kind { KIND_COUNT, KIND_MS, KIND_REAL };

static const struct {
	const char *name;
	enum kind kind;
	size_t at;
} fields[] = {
	{ "rate_bit_s", KIND_COUNT, offsetof(struct link_props, rate_bit_s) },
	{ "queue_bytes", KIND_COUNT, offsetof(struct link_props, queue_bytes) },
	{ "queue_ms", KIND_MS, offsetof(struct link_props, queue_ns) },
	{ "delay_ms", KIND_MS, offsetof(struct link_props, delay_ns) },
	{ "jitter_ms", KIND_MS, offsetof(struct link_props, jitter_ns) },
	{ "loss", KIND_REAL, offsetof(struct link_props, loss) },
	{ "burst_start", KIND_REAL, offsetof(struct link_props, burst_start) },
	{ "burst_end", KIND_REAL, offsetof(struct link_props, burst_end) },
	{ "burst_loss", KIND_REAL, offsetof(struct link_props, burst_loss) },
	{ "reorder", KIND_REAL, offsetof(struct link_props, reorder) },
	{ "reorder_ms", KIND_MS, offsetof(struct link_props, reorder_ns) },
	{ "duplicate", KIND_REAL, offsetof(struct link_props, duplicate) },
};

#define NUM_FIELDS (sizeof(fields) / sizeof(fields[0]))

static const char *const cut_names[LINK_NUM_CUTS] = {
	[LINK_CUT_NONE] = "none",
	[LINK_CUT_ALL] = "all",
	[LINK_CUT_SILENT] = "silent",
};

json_t *props_to_json(const struct link_props *props)
{
	json_t *out = json_object();

	for (size_t i = 0; i < NUM_FIELDS; i++) {
		const char *at = (const char *)props + fields[i].at;
		json_t *value;

		if (fields[i].kind == KIND_COUNT)
			value = json_integer(*(const uint64_t *)at);
		else if (fields[i].kind == KIND_MS)
			value = json_real(*(const uint64_t *)at / NS_PER_MS);
		else
			value = json_real(*(const double *)at);
		json_object_set_new(out, fields[i].name, value);
	}
	json_object_set_new(out, "cut", json_string(cut_names[props->cut]));
	return out;
}

static const char *set_field(struct link_props *props, size_t i, const json_t *value)
{
	char *at = (char *)props + fields[i].at;
	double number = json_number_value(value);

	if (!json_is_number(value) || !(number >= 0 && number < 1e15))
		return "a property is not a number, or not one that can be";
	if (fields[i].kind == KIND_COUNT)
		*(uint64_t *)at = number;
	else if (fields[i].kind == KIND_MS)
		*(uint64_t *)at = number * NS_PER_MS + 0.5;
	else
		*(double *)at = number;
	return NULL;
}

static const char *set_cut(struct link_props *props, const json_t *value)
{
	const char *name = json_string_value(value);

	for (int i = 0; name && i < LINK_NUM_CUTS; i++) {
		if (!strcmp(name, cut_names[i])) {
			props->cut = i;
			return NULL;
		}
	}
	return "cut is none, all or silent";
}

const char *props_from_json(const json_t *json, struct link_props *props)
{
	struct link_props set = *props;
	const char *key, *why = NULL;
	json_t *value;

	if (!json_is_object(json))
		return "the properties are not an object";
	json_object_foreach((json_t *)json, key, value) {
		size_t i = 0;

		while (i < NUM_FIELDS && strcmp(key, fields[i].name))
			i++;
		if (i < NUM_FIELDS)
			why = set_field(&set, i, value);
		else if (!strcmp(key, "cut"))
			why = set_cut(&set, value);
		else
			why = "there is no such property";
		if (why)
			return why;
	}
	why = link_check(&set);
	if (!why)
		*props = set;
	return why;
}
