/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CORE_SEND_GROUP_H
#define SHILA_CORE_SEND_GROUP_H

#include "shila/core/send_batch.h"

/*
 * send_group() - Make one message of single segments of many flows that are equally long and have one next hop. They
 * overtake others in the batch, but none of their own flow. To be called before the batch is sent.
 */
void send_group(struct send_batch *b);

#endif
