/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CLI_TEXT_H
#define SHILA_CLI_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * Values of the control socket as people read them. What is missing or of another type than
 * expected becomes "-". All write at most @size bytes to @buf and return it.
 */
#define TEXT_LEN 4096

char *text_bytes(const json_t *v, char *buf, size_t size);    /* 1.2 MB */
char *text_us(const json_t *v, char *buf, size_t size);       /* 20.3 ms */
char *text_duration_s(long long s, char *buf, size_t size);   /* 3 h 12 min */
char *text_ratio(const json_t *v, char *buf, size_t size);    /* 1.5 % */
char *text_value(const json_t *v, char *buf, size_t size);    /* strings and numbers as they are */
char *text_list(const json_t *array, char *buf, size_t size); /* values, separated by ", " */

/* text_hops() - "1-64512#1>1-64514#7,2>1-64513#1": per AS the interfaces in and out. */
char *text_hops(const json_t *hops, char *buf, size_t size);

/* text_mbit() - A rate with one decimal, without its unit. */
char *text_mbit(double bits_per_s, char *buf, size_t size);

/* text_print() - To @out, with what could steer a terminal replaced by "?". Return: columns used.
 */
size_t text_print(FILE *out, const char *text, size_t max_columns);
size_t text_columns(const char *text);

#endif
