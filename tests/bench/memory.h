/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_TESTS_BENCH_MEMORY_H
#define SHILA_TESTS_BENCH_MEMORY_H

#include <stdint.h>

#define MEMORY_MOST_IN_FLIGHT 64

/*
 * memory_line_ns() - What no table can be faster than: one line of random entries each, asked for @in_flight (at most
 * MEMORY_MOST_IN_FLIGHT) lines ahead, in huge pages if there are any, and nothing else. The best of some repetitions.
 * Return: ns a line; 0: no memory
 */
double memory_line_ns(uint32_t entries, uint32_t entry_bytes, unsigned int in_flight);

#endif
