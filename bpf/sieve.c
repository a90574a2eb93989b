/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/sieve.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "sieve.bpf.h" /* made by the build: the object file as `sieve_object` */

#ifndef SO_ATTACH_BPF
#define SO_ATTACH_BPF 50
#endif

struct sieve {
	struct bpf_object *object;
	int known, dropped, program, cpus;
	uint64_t *values; /* one for each CPU */
};

static int silent(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
	return 0;
}

static int fd_of_map(const struct sieve *s, const char *name)
{
	struct bpf_map *map = bpf_object__find_map_by_name(s->object, name);

	return map ? bpf_map__fd(map) : -ENOENT;
}

static int set_rates(const struct sieve *s, const struct sieve_rates *rates)
{
	int fd = fd_of_map(s, "buckets");

	if (fd < 0)
		return fd;
	for (uint32_t i = 0; i < SIEVE_ALL_BUCKETS; i++) {
		uint32_t who = i / SIEVE_NUM_BUCKETS;
		struct sieve_tokens b = {
			.per_second = i == SIEVE_SCMP_BUCKET		       ? rates->scmp_per_second :
				      i % SIEVE_NUM_BUCKETS == SIEVE_FIRST ?
								rates->per_second[who] / SIEVE_FIRST_SHARE :
								rates->per_second[who],
		};

		if (bpf_map_update_elem(fd, &i, &b, BPF_ANY) < 0)
			return -errno;
	}
	return 0;
}

static int load(struct sieve *s, const struct sieve_rates *rates, size_t hosts)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "sieve");
	struct bpf_map *known;
	int err;

	s->object = bpf_object__open_mem(sieve_object, sizeof(sieve_object), &opts);
	if (!s->object)
		return -errno;
	known = bpf_object__find_map_by_name(s->object, "known");
	err = known ? bpf_map__set_max_entries(known, hosts ? (uint32_t)hosts : 1) : -ENOENT;
	if (!err)
		err = bpf_object__load(s->object);
	if (err < 0)
		return err;
	s->known = fd_of_map(s, "known");
	s->dropped = fd_of_map(s, "dropped");
	s->program = bpf_program__fd(bpf_object__next_program(s->object, NULL));
	s->cpus = libbpf_num_possible_cpus();
	if (s->known < 0 || s->dropped < 0 || s->program < 0 || s->cpus < 1)
		return -EINVAL;
	s->values = calloc((size_t)s->cpus, sizeof(*s->values));
	return s->values ? set_rates(s, rates) : -ENOMEM;
}

int sieve_open(const struct sieve_rates *rates, size_t hosts, struct sieve **out)
{
	struct sieve *s = calloc(1, sizeof(*s));
	libbpf_print_fn_t print;
	int err;

	if (!s)
		return -ENOMEM;
	print = libbpf_set_print(silent); /* the caller decides whether a refusal is worth a line */
	err = load(s, rates, hosts);
	libbpf_set_print(print);
	if (err < 0) {
		sieve_close(s);
		return err;
	}
	*out = s;
	return 0;
}

int sieve_add(struct sieve *s, const struct sieve_host *h)
{
	uint8_t there = 1;

	return bpf_map_update_elem(s->known, h, &there, BPF_ANY) < 0 ? -errno : 0;
}

int sieve_attach(struct sieve *s, int fd)
{
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &s->program, sizeof(s->program)) < 0 ? -errno : 0;
}

uint64_t sieve_dropped(const struct sieve *s, enum sieve_reason why)
{
	uint32_t key = (uint32_t)why;
	uint64_t sum = 0;

	if (bpf_map_lookup_elem(s->dropped, &key, s->values) < 0)
		return 0;
	for (int i = 0; i < s->cpus; i++)
		sum += s->values[i];
	return sum;
}

void sieve_close(struct sieve *s)
{
	if (!s)
		return;
	bpf_object__close(s->object);
	free(s->values);
	free(s);
}
