/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_EMULATOR_PORT_H
#define SHILA_EMULATOR_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "parcel.h"

/*
 * Where parcels come into the process and leave it. A port is a TUN device in a network namespace: the end of a link
 * that a real router sees. Trains of UDP (virtio_net_hdr with UDP segmentation) stay whole in both directions.
 *
 * Other kinds of port have the same three functions: they read a parcel, write one, and have a descriptor to poll.
 */

#define PORT_ETHERNET 14 /* what a packet costs beyond its IP bytes, as on the shaped veths of the lab */

struct port_counts {
	uint64_t reads, writes;		/* system calls that moved a parcel */
	uint64_t refused;		/* the kernel did not take it: device down */
	uint64_t malformed;		/* not what a TUN gives */
};

struct port {
	int fd; /* not blocking; readable: port_read() */
	char device[16];
	bool carrier;
	struct port_counts counts;
};

/**
 * port_open_tun() - Make a TUN device @device in the namespace of the name @netns (of /run/netns).
 * It goes away when the port is closed. Addresses and MTU are up to the caller.
 * Return: 0 or a negative errno; @port is untouched then.
 */
int port_open_tun(struct port *port, const char *netns, const char *device);
void port_close(struct port *port);

/* port_set_carrier() - false: as if the cable was pulled, which the kernel shows. Return: 0 or a negative errno. */
int port_set_carrier(struct port *port, bool carrier);

/**
 * port_read() - The next packet or train.
 * @p: with room for PARCEL_MAX_BYTES; filled
 * Return: 0; -EAGAIN nothing there now; another negative errno: the device is gone.
 */
int port_read(struct port *port, struct parcel *p);

/* port_write() - Hands @p (borrowed) to the kernel; counts what it did not take. */
void port_write(struct port *port, const struct parcel *p);

#endif
