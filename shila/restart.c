/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/restart.h"

#include "shila/io/underlay.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define BOOT_ID_FILE	"/proc/sys/kernel/random/boot_id"
#define FAREWELL_BURST	16 /* CLOSEs of a millisecond */

/* Connections live in the kernel: with another boot there is nothing to go on with. */
static void kernel_boot(uint8_t out[16])
{
	char text[40] = "";
	int fd = open(BOOT_ID_FILE, O_RDONLY | O_CLOEXEC), n = 0;

	memset(out, 0, 16);
	if (fd < 0)
		return;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	for (const char *p = text; *p && n < 32; p++) {
		int digit = *p >= '0' && *p <= '9' ? *p - '0' : *p >= 'a' && *p <= 'f' ? *p - 'a' + 10 : -1;

		if (digit < 0)
			continue;
		out[n / 2] = (uint8_t)(out[n / 2] << 4 | digit);
		n++;
	}
}

/* The ports must be free: peers know flows by them. */
static bool ports_free(const struct store_saved *s)
{
	const struct store_host *h = &s->host;
	char ip[IP_ADDR_STRLEN];

	for (uint32_t i = 0; i < s->shape.workers; i++) {
		uint16_t port = h->worker_ports[i];
		int fd = underlay_open(&h->local.host, &port, port, port);

		if (fd < 0) {
			log_warn("UDP %s:%u, which the daemon before had: %s; its connections cannot go on",
				 ip_addr_str(&h->local.host, ip), h->worker_ports[i], strerror(-fd));
			return false;
		}
		close(fd);
	}
	return true;
}

static bool usable(const struct config *cfg, const struct store_saved *s)
{
	uint8_t boot[16];

	kernel_boot(boot);
	if (memcmp(boot, s->host.kernel_boot, sizeof(boot))) {
		log_info("the host was restarted since: connections of before are gone");
		return false;
	}
	if (cfg->scion.address.len && !ip_addr_eq(&cfg->scion.address, &s->host.local.host)) {
		log_warn("scion.address was changed: connections of the daemon before cannot go on");
		return false;
	}
	if (s->host.contact_port != cfg->contact.port)
		log_info("contact.port was %u before", s->host.contact_port);
	for (uint32_t i = 0; cfg->contact.num_traffic && i < s->shape.workers; i++) {
		if (cfg->contact.num_traffic > i && cfg->contact.traffic[i] == s->host.worker_ports[i])
			continue;
		log_warn("contact.traffic was changed: connections of the daemon before cannot go on");
		return false;
	}
	return ports_free(s);
}

static int load(const struct config *cfg, struct store_saved *out)
{
	char why[STORE_WHY_LEN] = "";
	int err = store_load_file(cfg->state, out, why);

	if (err < 0 && err != -ENOENT)
		log_warn("%s/" STORE_FILE ": %s: it is set aside as " STORE_FILE
			 ".refused, and connections of the daemon before are reset", cfg->state, why);
	return err;
}

bool restart_load(const struct config *cfg, struct store_saved *out)
{
	int err = load(cfg, out);

	if (err < 0) {
		if (err != -ENOENT)
			store_set_aside(cfg->state);
		return false;
	}
	if (out->bad_records)
		log_warn("%s/" STORE_FILE ": %zu damaged record%s left out", cfg->state, out->bad_records,
			 out->bad_records == 1 ? "" : "s");
	if (usable(cfg, out))
		return true;
	store_saved_free(out);
	return false;
}

void restart_host(const struct config *cfg, const struct control_setup *setup, struct store_host *out)
{
	memset(out, 0, sizeof(*out));
	kernel_boot(out->kernel_boot);
	out->boot_id = setup->boot_id;
	out->local = setup->local;
	out->mtu_bytes = setup->as.mtu_bytes;
	out->port_min = setup->as.port_min;
	out->port_max = setup->as.port_max;
	out->contact_port = cfg->contact.port;
	memcpy(out->worker_ports, setup->worker_ports, sizeof(out->worker_ports));
	if (cfg->ingress.enabled)
		memcpy(out->sides[0], cfg->ingress.namespace, strlen(cfg->ingress.namespace));
	out->num_sides = 1;
	for (size_t i = 0; i < cfg->num_egress; i++, out->num_sides++)
		memcpy(out->sides[i + 1], cfg->egress[i].namespace, strlen(cfg->egress[i].namespace));
}

struct store *restart_store(const struct config *cfg, unsigned int workers, const struct store_host *host)
{
	struct store_shape shape = {
		.workers = workers, .flows = cfg->limits.flows, .peers = cfg->limits.peers, .paths = cfg->limits.kept_paths,
	};
	char why[STORE_WHY_LEN];
	struct store *s = NULL;

	if (store_create(cfg->state, &shape, host, &s, why) == 0)
		return s;
	/* The old file takes room, and would be wrong by the next start. */
	store_forget(cfg->state);
	if (store_create(cfg->state, &shape, host, &s, why) == 0)
		return s;
	log_warn("%s/" STORE_FILE ": %s: connections will not survive a restart of shilad", cfg->state, why);
	return NULL;
}

/* ---- farewell ---- */

static void send_close(const struct store_saved *s, const struct store_flow *f, int fd)
{
	struct frame_end e = { .from = f->mine, .reason = REASON_STOPPED };
	struct path *path = f->path == STORE_NONE ? NULL : s->paths[f->path].path;
	uint8_t pkt[SCION_MAX_HDR_LEN + SCION_UDP_HDR_LEN + 64], frame[64];
	int len = frame_build_end(frame, sizeof(frame), FRAME_CLOSE, &f->theirs, &e);
	struct tmpl *t = path && len > 0 ? tmpl_new(path, &s->host.local, s->host.worker_ports[f->worker],
						    &s->peers[f->peer].addr, f->peer_port) :
					   NULL;

	if (!t)
		return;
	memcpy(pkt + t->len, frame, (size_t)len);
	tmpl_write(t, pkt, f->slot, 0, (uint16_t)len, csum_add(0, frame, (size_t)len));
	underlay_sendto(fd, &t->next_hop, pkt, t->len + (size_t)len);
	tmpl_put(t);
}

void restart_farewell(const struct config *cfg)
{
	struct store_saved s;
	int fds[STORE_MAX_WORKERS];
	uint8_t boot[16];
	size_t sent = 0;

	if (load(cfg, &s) < 0)
		return;
	kernel_boot(boot);
	for (uint32_t i = 0; i < s.shape.workers; i++) {
		uint16_t port = s.host.worker_ports[i];

		fds[i] = memcmp(boot, s.host.kernel_boot, sizeof(boot)) ? -1 : underlay_open(&s.host.local.host, &port, port, port);
	}
	for (size_t i = 0; i < s.num_flows; i++) {
		int fd = fds[s.flows[i].worker];

		if (fd < 0)
			continue;
		send_close(&s, &s.flows[i], fd);
		if (++sent % FAREWELL_BURST == 0)
			usleep(1000);
	}
	for (uint32_t i = 0; i < s.shape.workers; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (sent)
		log_info("told the peers of %zu connection%s", sent, sent == 1 ? "" : "s");
	store_saved_free(&s);
}
