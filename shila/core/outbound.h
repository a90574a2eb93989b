/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CORE_OUTBOUND_H
#define SHILA_CORE_OUTBOUND_H

#include "shila/base/train.h"
#include "shila/base/verdict.h"
#include "shila/core/flow.h"
#include "shila/core/replay.h"
#include "shila/core/send_batch.h"

/**
 * outbound_train() - The way of a train from a TUN to the underlay: find its flow, split it to the
 * MTU of the flow's path, build headers into @batch. Payload is lent until the batch is flushed.
 * @flow: the flow it belongs to or NULL, also with other verdicts
 * Return: VERDICT_PASS; VERDICT_CONTROL: the packet is for the control thread (no flow, SYN, flow
 * not open yet, too big for a DATAGRAM); else a drop.
 */
enum verdict outbound_train(struct flow_table *table, struct train *train, uint64_t now_ms,
			    struct send_batch *batch, struct flow **flow);

/*
 * outbound_again(), outbound_again_ack() - Send once more what was kept, on the path that the flow has now. It is lent until
 * the batch is flushed. Only if outbound_may_send().
 */
void outbound_again(struct flow *f, const struct replay_train *kept, uint64_t now_ms, struct send_batch *batch);
void outbound_again_ack(struct flow *f, const struct replay_ack *kept, uint64_t now_ms, struct send_batch *batch);
bool outbound_may_send(const struct flow *f);

/**
 * outbound_alive() - An ALIVE of the flow for what liveness_tick() wanted of its path.
 * Return: false: the flow is no longer on that path, or must not send.
 */
bool outbound_alive(struct flow *f, struct liveness *l, bool ask, struct send_batch *batch);

#endif
