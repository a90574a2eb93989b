/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_TESTS_TOOLS_FAULTS_H
#define SHILA_TESTS_TOOLS_FAULTS_H

#include <stdatomic.h>
#include <stdint.h>

/*
 * The file that $SHILA_FAULTS names, shared by libfaults.so in a running program and by a test (faults.py). 64-bit
 * words, in this order; zero: as it is without.
 */
enum faults_word {
	FAULTS_MAGIC_WORD,
	FAULTS_CLOCK_S,	    /* added to CLOCK_REALTIME; as int64_t */
	FAULTS_BOOT_S,	    /* added to CLOCK_REALTIME and CLOCK_BOOTTIME: the machine was suspended for so long */
	FAULTS_MEMORY_EVERY, /* each so many-th allocation of the program's own code fails; 1: all */
	FAULTS_LIBRARIES,    /* 1: those of its libraries, too */
	FAULTS_FD_ERRNO,    /* socket, accept, open, epoll_create1, ... of a new descriptor */
	FAULTS_SEND_ERRNO,  /* sendto, sendmsg, sendmmsg */
	FAULTS_SEND_EVERY,  /* only each so many-th call; 0: all */
	FAULTS_WRITE_ERRNO, /* writev: packets into a TUN */
	FAULTS_INTERRUPT_EVERY, /* each so many-th read, write, recv, send and poll gives EINTR */
	FAULTS_SHORT_EVERY, /* each so many-th sendmmsg sends one message only, each write to a socket one byte */
	/* what was done */
	FAULTS_MEMORY_FAILED,
	FAULTS_FD_FAILED,
	FAULTS_SEND_FAILED,
	FAULTS_WRITE_FAILED,
	FAULTS_INTERRUPTED,
	FAULTS_SHORTENED,
	FAULTS_WORDS,
};

#define FAULTS_MAGIC 0x73746c7561666873ull

struct faults_file {
	_Atomic uint64_t words[FAULTS_WORDS];
};

#endif
