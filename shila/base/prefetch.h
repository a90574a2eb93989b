/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_BASE_PREFETCH_H
#define SHILA_BASE_PREFETCH_H

/*
 * prefetch() - Ask for the line at @p, which need not be memory that may be read. For __builtin_prefetch() alone a function
 * that does nothing else has no effect, and GCC leaves out calls of it: the empty statement is one.
 */
static inline void prefetch(const void *p)
{
	__builtin_prefetch(p);
	__asm__ volatile("");
}

#endif
