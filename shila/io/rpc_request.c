/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/io/rpc_request.h"

#include <stdlib.h>
#include <string.h>

static int refuse(int code, const char *sentence, const char **why)
{
	*why = sentence;
	return code;
}

int rpc_request_parse(const char *line, size_t len, struct rpc_request *out, const char **why)
{
	const json_t *version, *method, *params;
	json_t *id;

	*out = (struct rpc_request){ 0 };
	out->root = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	if (!out->root)
		return refuse(RPC_ERR_PARSE, "not valid JSON", why);
	if (json_is_array(out->root))
		return refuse(RPC_ERR_INVALID_REQUEST, "batches are not supported", why);
	if (!json_is_object(out->root))
		return refuse(RPC_ERR_INVALID_REQUEST, "a request is a JSON object", why);

	id = json_object_get(out->root, "id");
	if (id && !json_is_string(id) && !json_is_number(id) && !json_is_null(id))
		return refuse(RPC_ERR_INVALID_REQUEST, "id must be a string, a number or null",
			      why);
	out->id = id;

	version = json_object_get(out->root, "jsonrpc");
	if (!json_is_string(version) || strcmp(json_string_value(version), "2.0"))
		return refuse(RPC_ERR_INVALID_REQUEST, "jsonrpc must be \"2.0\"", why);
	method = json_object_get(out->root, "method");
	if (!json_is_string(method))
		return refuse(RPC_ERR_INVALID_REQUEST, "method must be a string", why);
	params = json_object_get(out->root, "params");
	if (json_is_array(params))
		return refuse(RPC_ERR_INVALID_PARAMS, "params go by name: an object", why);
	if (params && !json_is_object(params))
		return refuse(RPC_ERR_INVALID_REQUEST, "params must be an object", why);

	out->method = json_string_value(method);
	out->params = params;
	return 0;
}

void rpc_request_fini(struct rpc_request *req)
{
	json_decref(req->root);
	*req = (struct rpc_request){ 0 };
}

char *rpc_answer_build(const json_t *id, const json_t *result, int code, const char *why,
		       size_t *len)
{
	json_t *root;
	char *text = NULL, *line;
	size_t n;

	/* O: the casts drop const only for json_pack, which takes a reference of its own. */
	if (result)
		root = json_pack("{s:s, s:O?, s:O}", "jsonrpc", "2.0", "id", (json_t *)id, "result",
				 (json_t *)result);
	else
		root = json_pack("{s:s, s:O?, s:{s:i, s:s}}", "jsonrpc", "2.0", "id", (json_t *)id,
				 "error", "code", code, "message", why);
	if (root)
		text = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	if (!text)
		return NULL;

	n = strlen(text);
	line = realloc(text, n + 2);
	if (!line) {
		free(text);
		return NULL;
	}
	line[n] = '\n';
	line[n + 1] = '\0';
	*len = n + 1;
	return line;
}

/* ---- in pieces ---- */

static int append(const char *bytes, size_t n, void *ctx)
{
	struct rpc_text *t = ctx;

	if (t->len + n > t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 4096;
		char *p;

		while (cap < t->len + n)
			cap *= 2;
		p = realloc(t->p, cap);
		if (!p) {
			t->failed = true;
			return -1;
		}
		t->p = p;
		t->cap = cap;
	}
	memcpy(t->p + t->len, bytes, n);
	t->len += n;
	return 0;
}

static void append_text(struct rpc_text *t, const char *text)
{
	append(text, strlen(text), t);
}

static void append_json(struct rpc_text *t, const json_t *v)
{
	if (json_dump_callback(v, append, t, JSON_COMPACT | JSON_ENCODE_ANY) < 0)
		t->failed = true;
}

void rpc_text_begin(struct rpc_text *t, const json_t *id)
{
	append_text(t, "{\"jsonrpc\":\"2.0\",\"id\":");
	append_json(t, id);
	append_text(t, ",\"result\":[");
}

void rpc_text_element(struct rpc_text *t, const json_t *element, bool first)
{
	if (!first)
		append_text(t, ",");
	append_json(t, element);
}

void rpc_text_end(struct rpc_text *t)
{
	append_text(t, "]}\n");
}

void rpc_text_fini(struct rpc_text *t)
{
	free(t->p);
	*t = (struct rpc_text){ 0 };
}
