/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/tun.h"

#include "netns/netlink.h"
#include "shila/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifndef TUN_F_USO4 /* Debian 12 has older headers */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define OFFLOADS (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)
#define DATAGRAM_TRAINS (TUN_F_USO4 | TUN_F_USO6)

/*
 * Ask for the largest set of offloads that the kernel takes. Without TSO a read gives single
 * segments and everything still works, slower; without CSUM nothing of it would be worth having.
 */
static int set_offloads(int fd, const char *name, bool *datagram_trains, char *why)
{
	static const struct {
		unsigned int flags;
		const char *lost;
	} sets[] = {
		{ OFFLOADS | DATAGRAM_TRAINS, NULL },
		{ OFFLOADS, NULL }, /* before Linux 6.2 */
		{ TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6, "trains of connections that use ECN" },
		{ TUN_F_CSUM | TUN_F_TSO4, "trains of IPv6 connections" },
		{ TUN_F_CSUM, "trains: every segment is read alone" },
	};

	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		if (ioctl(fd, TUNSETOFFLOAD, (unsigned long)sets[i].flags) < 0)
			continue;
		if (sets[i].lost)
			log_warn("%s: the kernel refuses some TUN offloads, no %s", name,
				 sets[i].lost);
		*datagram_trains = sets[i].flags & DATAGRAM_TRAINS; /* who takes the flag knows them both ways */
		return 0;
	}
	return netns_why(why, -errno, "%s: the kernel refuses checksum offload on TUN devices: %s",
			 name, strerror(errno));
}

/* Attach a descriptor of /dev/net/tun to the device, as its next queue. */
static int attach(int fd, const char *name, bool *datagram_trains, char *why)
{
	struct ifreq ifr = { .ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE };
	int hdr_len = TUN_VNET_HDR_LEN;
	int err;

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
		err = -errno;
		if (err == -EINVAL)
			return netns_why(why, err,
					 "%s exists and is not a multi-queue TUN device; "
					 "remove it or choose another name",
					 name);
		if (err == -EBUSY)
			return netns_why(why, err, "%s is in use by another program", name);
		return netns_why(why, err, "cannot open TUN device %s: %s", name, strerror(-err));
	}
	/* A persistent device keeps the old length, so it is always set. */
	if (ioctl(fd, TUNSETVNETHDRSZ, &hdr_len) < 0)
		return netns_why(why, -errno, "%s: cannot set the length of packet headers: %s",
				 name, strerror(errno));
	return set_offloads(fd, name, datagram_trains, why);
}

int tun_open(const struct netns *ns, const char *name, unsigned int queues, bool persist, int *fds,
	     bool *datagram_trains, char *why)
{
	unsigned int n = 0;
	bool trains = false;
	int old, err;

	if (!*name || strlen(name) >= IFNAMSIZ)
		return netns_why(why, -EINVAL, "'%s' cannot be the name of a device", name);
	/* The kernel would add our queues to those of another process and share packets out. */
	err = netns_has_carrier(ns, name, why);
	if (err > 0)
		return netns_why(why, -EBUSY, "%s is in use by another program", name);
	if (err < 0)
		return err;

	old = netns_enter(ns); /* the namespace of a TUN is that in which /dev/net/tun was opened */
	if (old < 0)
		return netns_why(why, old, "cannot enter network namespace '%s': %s", ns->name,
				 strerror(-old));
	while (n < queues && !err) {
		fds[n] = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
		if (fds[n] < 0)
			err = netns_why(why, -errno, "cannot open /dev/net/tun: %s",
					strerror(errno));
		else
			err = attach(fds[n++], name, &trains, why);
	}
	netns_leave(old);
	if (!err && persist) {
		err = tun_persist(fds[0]);
		if (err)
			netns_why(why, err, "cannot make %s persistent: %s", name, strerror(-err));
	}
	while (err && n)
		close(fds[--n]);
	if (!err && datagram_trains)
		*datagram_trains = trains;
	return err;
}

int tun_persist(int fd)
{
	return ioctl(fd, TUNSETPERSIST, 1) < 0 ? -errno : 0;
}

int tun_unpersist(int fd)
{
	return ioctl(fd, TUNSETPERSIST, 0) < 0 ? -errno : 0;
}
