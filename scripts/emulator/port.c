/* SPDX-License-Identifier: Apache-2.0 */
#include "scripts/emulator/port.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "shila/base/train.h"

#ifndef TUN_F_USO4 /* Debian 12 has older headers */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

enum { UDP_HDR_LEN = 8, UDP_CSUM_AT = 6, IPV6_HDR_LEN = 40 };

/* A TUN device in the namespace that the thread is in now. */
static int open_here(const char *device)
{
	struct ifreq ifr = { .ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), one = 1;

	if (fd < 0)
		return -errno;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", device);
	/* Little-endian headers are the default here; a kernel before 6.2 has no trains of UDP, only packets. */
	if (ioctl(fd, TUNSETIFF, &ifr) < 0 || ioctl(fd, TUNSETVNETLE, &one) < 0 ||
	    (ioctl(fd, TUNSETOFFLOAD, (unsigned long)(TUN_F_CSUM | TUN_F_USO4 | TUN_F_USO6)) < 0 &&
	     ioctl(fd, TUNSETOFFLOAD, (unsigned long)TUN_F_CSUM) < 0)) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

int port_open_tun(struct port *port, const char *netns, const char *device)
{
	char path[128];
	int home, there, fd = -1;

	if ((size_t)snprintf(path, sizeof(path), "/run/netns/%s", netns) >= sizeof(path) ||
	    strlen(device) >= sizeof(port->device))
		return -ENAMETOOLONG;
	home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (home < 0)
		return -errno;
	there = open(path, O_RDONLY | O_CLOEXEC);
	if (there < 0 || setns(there, CLONE_NEWNET) < 0) {
		fd = -errno;
		goto close_files;
	}
	fd = open_here(device);
	if (setns(home, CLONE_NEWNET) < 0 && fd >= 0) {
		int err = -errno;

		close(fd);
		fd = err;
	}
close_files:
	if (there >= 0)
		close(there);
	close(home);
	if (fd < 0)
		return fd;
	*port = (struct port){ .fd = fd, .carrier = true };
	strcpy(port->device, device);
	return 0;
}

void port_close(struct port *port)
{
	close(port->fd);
	port->fd = -1;
}

int port_set_carrier(struct port *port, bool carrier)
{
	int value = carrier;

	if (ioctl(port->fd, TUNSETCARRIER, &value) < 0)
		return -errno;
	port->carrier = carrier;
	return 0;
}

/* Where the UDP payload begins; @len if there is none. */
static uint32_t headers_of(const uint8_t *ip, uint32_t len)
{
	uint32_t ip_len;

	if (len < 20)
		return len;
	if (ip[0] >> 4 == 4 && ip[9] == IPPROTO_UDP)
		ip_len = (ip[0] & 15) * 4;
	else if (ip[0] >> 4 == 6 && ip[6] == IPPROTO_UDP)
		ip_len = IPV6_HDR_LEN;
	else
		return len;
	return ip_len + UDP_HDR_LEN <= len ? ip_len + UDP_HDR_LEN : len;
}

/* Return: whether what the kernel says about @p fits to what it is. */
static bool describe(struct parcel *p, const struct vnet_hdr *vnet)
{
	p->hdr_len = headers_of(p->data, p->len);
	p->overhead = PORT_ETHERNET;
	p->counted = 0;
	p->seg = 0;
	p->csum_start = p->csum_offset = 0;
	if (vnet->flags & VNET_F_NEEDS_CSUM) {
		if (!vnet->csum_start || vnet->csum_start + vnet->csum_offset + 2u > p->len)
			return false;
		p->csum_start = vnet->csum_start;
		p->csum_offset = vnet->csum_offset;
	}
	if (vnet->gso_type == VNET_GSO_NONE)
		return true;
	if (vnet->gso_type != VNET_GSO_UDP || !vnet->gso_size || p->csum_start + UDP_HDR_LEN != p->hdr_len ||
	    p->csum_offset != UDP_CSUM_AT)
		return false;
	if (p->len - p->hdr_len > vnet->gso_size)
		p->seg = vnet->gso_size;
	return true;
}

int port_read(struct port *port, struct parcel *p)
{
	struct vnet_hdr vnet;
	struct iovec iov[] = { { &vnet, sizeof(vnet) }, { p->data, p->room } };

	for (;;) {
		ssize_t n = readv(port->fd, iov, 2);

		if (n < 0)
			return errno == EINTR ? -EAGAIN : -errno;
		port->counts.reads++;
		if (n > (ssize_t)sizeof(vnet)) {
			p->len = n - sizeof(vnet);
			if (describe(p, &vnet))
				return 0;
		}
		port->counts.malformed++;
	}
}

void port_write(struct port *port, const struct parcel *p)
{
	struct vnet_hdr vnet = { .gso_type = VNET_GSO_NONE };
	struct iovec iov[] = { { &vnet, sizeof(vnet) }, { p->data, p->len } };

	if (p->csum_start) {
		vnet.flags = VNET_F_NEEDS_CSUM;
		vnet.csum_start = p->csum_start;
		vnet.csum_offset = p->csum_offset;
	}
	if (p->seg) {
		vnet.gso_type = VNET_GSO_UDP;
		vnet.gso_size = p->seg;
		vnet.hdr_len = p->hdr_len;
	}
	if (writev(port->fd, iov, 2) < 0)
		port->counts.refused++;
	else
		port->counts.writes++;
}
