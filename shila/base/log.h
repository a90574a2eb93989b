/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_BASE_LOG_H
#define SHILA_BASE_LOG_H

/*
 * error: shila cannot do what it was started for. warn: it goes on with less, the line says what is
 * lost. info: a life event. debug: a decision. trace: a packet. Never called on the way of a train.
 */
enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, LOG_LEVEL_TRACE };

extern enum log_level log_level; /* the program's only global */

void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* log_level_parse() - "error".."trace" to @out. Return: 0 or -EINVAL. */
int log_level_parse(const char *text, enum log_level *out);

#define log_at(lvl, ...)                                                                           \
	do {                                                                                       \
		if ((lvl) <= log_level)                                                            \
			log_line(lvl, __VA_ARGS__);                                                \
	} while (0)

#define log_error(...) log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_trace(...) log_at(LOG_LEVEL_TRACE, __VA_ARGS__)

#endif
