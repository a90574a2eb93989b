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

/* A packet in memory, for steer_ports(). */
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
	uint16_t ports[2];

	return steer_ports(&packet, load_bytes, ports) ? steer_worker(ports[0], ports[1], workers) : 0;
}

/* Constants of the program live in a map of their own. */
static int set_shape(struct bpf_object *obj, const struct steer_shape *shape)
{
	struct bpf_map *map = bpf_object__find_map_by_name(obj, ".rodata");

	if (!map || bpf_map__value_size(map) != sizeof(*shape))
		return -EINVAL;
	return bpf_map__set_initial_value(map, shape, sizeof(*shape));
}

static int silent(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
	return 0;
}

int steer_load(uint32_t workers, bool lanes)
{
	const struct steer_shape shape = { workers, lanes };
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
	fd = set_shape(obj, &shape);
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

int steer_attach(int tun_fd, uint32_t workers, bool lanes)
{
	int err = 0, fd = steer_load(workers, lanes);

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
