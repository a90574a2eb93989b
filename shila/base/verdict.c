/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/base/verdict.h"

static const char *const names[VERDICT_COUNT] = {
#define X(name, text, sentence) text,
	VERDICTS(X)
#undef X
};

static const char *const sentences[VERDICT_COUNT] = {
#define X(name, text, sentence) sentence,
	VERDICTS(X)
#undef X
};

const char *verdict_name(enum verdict v)
{
	return names[v];
}

const char *verdict_sentence(enum verdict v)
{
	return sentences[v];
}
