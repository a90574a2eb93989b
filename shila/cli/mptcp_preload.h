/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CLI_MPTCP_PRELOAD_H
#define SHILA_CLI_MPTCP_PRELOAD_H

/**
 * mptcp_preload() - Set the environment so that the next program's TCP sockets are MPTCP: the
 * library of mptcpize(8) in LD_PRELOAD, for Go programs GODEBUG. Asks the kernel of this namespace
 * first. Return: 0 or -errno with a sentence in @why (512 bytes).
 */
int mptcp_preload(char *why);

#endif
