/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_NETNS_TUN_H
#define SHILA_NETNS_TUN_H

#include "netns/netns.h"

/* Bytes of struct virtio_net_hdr before every packet, both ways. */
#define TUN_VNET_HDR_LEN 10

/**
 * tun_open() - Open all queues of a TUN device in @ns, making the device if there is none.
 * IFF_NO_PI, IFF_VNET_HDR and always IFF_MULTI_QUEUE, whatever the number of queues, so that a
 * restart with another number can reuse the device. Checksum and TSO offloads as far as the kernel
 * has them.
 * @persist: the device stays when the last queue is closed. A device without alias is nobody's, so
 * a new one is better made with false, named by netns_tun_setup() and then kept by tun_persist().
 * @fds:  room for @queues; non-blocking, close-on-exec; @fds[i] is the queue that the steering
 * program means by i; to be closed by the caller, and all of them: if one is closed alone, the last
 *        one takes its number
 * @datagram_trains: whether it gives and takes many UDP datagrams at once (Linux 6.2); or NULL
 * @why:  NETNS_WHY_LEN
 * Return: 0; -EBUSY if another process holds a queue; -EINVAL if the device is not a multi-queue
 * TUN.
 */
int tun_open(const struct netns *ns, const char *name, unsigned int queues, bool persist, int *fds,
	     bool *datagram_trains, char *why);

/* tun_persist()/tun_unpersist() - Whether the device outlives its queues; @fd: any queue. */
int tun_persist(int fd);
int tun_unpersist(int fd);

#endif
