/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CLI_NETNS_ENTER_H
#define SHILA_CLI_NETNS_ENTER_H

#define NETNS_WHY_LEN 512

/**
 * netns_enter() - Move this process into the named network namespace, with a mount namespace of its
 * own in which /sys shows that network and the files of /etc/netns/NAME lie over those of /etc.
 * Return: 0 or -errno with a sentence in @why. Files that cannot be laid over are warnings on
 * stderr.
 */
int netns_enter(const char *name, char *why);

#endif
