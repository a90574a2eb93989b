/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/steer.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "steer.bpf.h" /* made by the build: the object file as `steer_object` */

/* A packet in memory, for steer_choose(). */
struct packet {
	const uint8_t *p;
	size_t len;
};

static long load_bytes(const void *ctx, uint32_t off, void *to, uint32_t len)
{
	const struct packet *pkt = ctx;

	if (pkt->len < len || off > pkt->len - len)
		return -EFAULT;
	memcpy(to, pkt->p + off, len);
	return 0;
}

uint32_t steer_packet(const uint8_t *pkt, size_t len, uint32_t workers)
{
	const struct packet packet = { pkt, len };

	return steer_choose(&packet, load_bytes, workers);
}

/* Constants of the program live in the object's only map. */
static int set_workers(struct bpf_object *obj, uint32_t workers)
{
	struct bpf_map *map = bpf_object__next_map(obj, NULL);

	if (!map || bpf_map__value_size(map) != sizeof(workers))
		return -EINVAL;
	return bpf_map__set_initial_value(map, &workers, sizeof(workers));
}

static int silent(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
	return 0;
}

int steer_load(uint32_t workers)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "steer");
	libbpf_print_fn_t print;
	struct bpf_object *obj;
	int fd;

	if (!workers)
		return -EINVAL;
	print = libbpf_set_print(silent); /* the caller decides whether a refusal is worth a line */
	obj = bpf_object__open_mem(steer_object, sizeof(steer_object), &opts);
	if (!obj) {
		fd = -errno;
		goto restore;
	}
	fd = set_workers(obj, workers);
	if (!fd)
		fd = bpf_object__load(obj);
	if (!fd) {
		/* The object goes with all its descriptors; ours keeps the program. */
		fd = fcntl(bpf_program__fd(bpf_object__next_program(obj, NULL)), F_DUPFD_CLOEXEC,
			   0);
		if (fd < 0)
			fd = -errno;
	}
	bpf_object__close(obj);
restore:
	libbpf_set_print(print);
	return fd;
}

int steer_attach(int tun_fd, uint32_t workers)
{
	int err = 0, fd = steer_load(workers);

	if (fd < 0)
		return fd;
	if (ioctl(tun_fd, TUNSETSTEERINGEBPF, &fd) < 0)
		err = -errno;
	close(fd); /* the device holds the program */
	return err;
}

int steer_detach(int tun_fd)
{
	int none = -1;

	return ioctl(tun_fd, TUNSETSTEERINGEBPF, &none) < 0 ? -errno : 0;
}
