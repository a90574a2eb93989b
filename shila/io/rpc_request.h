/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_IO_RPC_REQUEST_H
#define SHILA_IO_RPC_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Error codes of JSON-RPC 2.0, section 5.1. */
#define RPC_ERR_PARSE            (-32700)
#define RPC_ERR_INVALID_REQUEST  (-32600)
#define RPC_ERR_METHOD_NOT_FOUND (-32601)
#define RPC_ERR_INVALID_PARAMS   (-32602)
#define RPC_ERR_INTERNAL         (-32603)
#define RPC_ERR_REFUSED          (-32000)

/* One request. Everything points into @root, which rpc_request_fini() lets go. */
struct rpc_request {
	json_t *root;
	const char *method;   /* NULL if the request is refused */
	const json_t *params; /* object, or NULL */
	json_t *id; /* string, number or null; NULL: a notification, or none that can be told */
};

/**
 * rpc_request_parse() - One line of the control socket to a request.
 * @line: @len bytes without the line feed, need not be terminated
 * @out:  always written; rpc_request_fini() it also after an error, which @out->id still belongs to
 * @why:  on an error, a constant sentence
 * Return: 0 or an error code of JSON-RPC (above).
 */
int rpc_request_parse(const char *line, size_t len, struct rpc_request *out, const char **why);
void rpc_request_fini(struct rpc_request *req);

/**
 * rpc_answer_build() - The line that answers a request, ended by a line feed.
 * @id:     borrowed; NULL is answered as null
 * @result: borrowed, or NULL for an error with @code and @why
 * Return: text to free(), its length in @len, or NULL without memory.
 */
char *rpc_answer_build(const json_t *id, const json_t *result, int code, const char *why,
		       size_t *len);

/* An answer that grows; starts as all zero. Without memory, or for what is no JSON, @failed. */
struct rpc_text {
	char *p; /* to free() */
	size_t len, cap;
	bool failed;
};

/* The same line in pieces: begin, elements of an array as the result, end. */
void rpc_text_begin(struct rpc_text *t, const json_t *id);
void rpc_text_element(struct rpc_text *t, const json_t *element, bool first);
void rpc_text_end(struct rpc_text *t);
void rpc_text_fini(struct rpc_text *t);

#endif
