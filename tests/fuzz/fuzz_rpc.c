/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/io/rpc_request.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/* check_answer() - One line of JSON with the id of the request. */
static void check_answer(const struct rpc_request *req, int code, const char *why)
{
	size_t len;
	char *line = rpc_answer_build(req->id, code ? NULL : req->root, code, why, &len);
	json_t *answer;

	MUST(line && len == strlen(line) && memchr(line, '\n', len) == line + len - 1);
	answer = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	/* A request nested as deep as the parser allows cannot be read once it is wrapped. */
	MUST(answer || !code);
	if (answer && req->id)
		MUST(json_equal(json_object_get(answer, "id"), req->id));
	else if (answer)
		MUST(json_is_null(json_object_get(answer, "id")));
	MUST(!answer || !json_object_get(answer, "result") == !!code);
	json_decref(answer);
	free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rpc_request req, again;
	const char *why = NULL;
	char *text;
	int code = rpc_request_parse((const char *)data, size, &req, &why);

	MUST(code == 0 || code == RPC_ERR_PARSE || code == RPC_ERR_INVALID_REQUEST ||
	     code == RPC_ERR_INVALID_PARAMS);
	MUST(!code == !!req.method && !code == !why);
	MUST(!req.params || json_is_object(req.params));
	check_answer(&req, code, why);
	if (!code) {
		text = json_dumps(req.root, JSON_COMPACT);
		MUST(text && !rpc_request_parse(text, strlen(text), &again, &why));
		MUST(json_equal(req.root, again.root) && !strcmp(req.method, again.method));
		rpc_request_fini(&again);
		free(text);
	}
	rpc_request_fini(&req);
	return 0;
}
