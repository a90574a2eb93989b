/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/devices.h"

#include "netns/tun.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FIRST_TABLE	7000
#define TXQUEUELEN	1000  /* trains; a full queue drops, and TCP small queues do not see it */
#define GSO_MAX_BYTES	57000 /* so that a train fits one send with all its headers */

/* Before it has its name: whoever finds that after a crash finds this, too. */
static int note_namespace(void *ctx, const struct netns *ns, char *why)
{
	state_add_namespace(ctx, ns->name, ns->inode, ns->cookie);
	return state_save(ctx, why);
}

static struct netns *get_namespace(struct devices *d, const char *name, struct state *state, unsigned int *index,
				   int *err, char *why)
{
	struct netns *ns;

	for (unsigned int i = 0; i < d->num_namespaces; i++) {
		if (!strcmp(d->namespaces[i].name, name)) {
			*index = i;
			return &d->namespaces[i];
		}
	}
	*index = (unsigned int)d->num_namespaces;
	ns = &d->namespaces[d->num_namespaces];
	*err = netns_open_noted(name, note_namespace, state, ns, why);
	if (*err < 0)
		return NULL;
	d->num_namespaces++;
	if (state_made(state, name, ns->inode, ns->cookie))
		ns->made = true;
	if (ns->made) {
		*err = netns_prepare(ns, why);
	} else if (*name) {
		log_info("namespace %s was there before: it is used, and not removed at the end", name);
		netns_warn(ns);
		*err = netns_raise_limits(ns, 8, 8, why);
	}
	return *err < 0 ? NULL : ns;
}

static bool wants_backups(const struct config *cfg)
{
	for (size_t i = 0; i < cfg->num_routes; i++)
		if (cfg->routes[i].backup)
			return true;
	return false;
}

/* Before any program makes a socket there. Where the kernel leaves that to nobody else, it does it itself. */
static void choose_path_manager(struct devices *d, const struct netns *ns, uint8_t side, enum config_path_manager who)
{
	struct mptcp_pm *pm = &d->pm[side];
	int old, err;

	if (who == PATH_MANAGER_OWN || (who == PATH_MANAGER_AUTO && ns->made)) {
		old = netns_enter(ns);
		err = old < 0 ? old : mptcp_pm_open(pm);
		if (old >= 0)
			netns_leave(old);
		if (!err)
			err = netns_path_manager(ns, true);
		if (!err)
			return;
		mptcp_pm_close(pm);
		log_warn("namespace '%s': the kernel lets no program manage subflows (%s), so it does that itself: one for "
			 "each TUN, and lost ones do not come back (egress.path_manager; Linux 5.19 or later)", ns->name,
			 strerror(-err));
	}
	if ((ns->made || who == PATH_MANAGER_KERNEL) && netns_path_manager(ns, false) < 0)
		log_warn("namespace '%s': cannot choose the kernel's MPTCP path manager: no subflows if it is not the default",
			 ns->name);
}

/* Without it a client finds out only when it sends which of its subflows our kernel has lost. */
static void watch_servers(struct devices *d, const struct netns *ns)
{
	int old = netns_enter(ns), err = old < 0 ? old : mptcp_pm_watch(&d->pm[0]);

	if (old >= 0)
		netns_leave(old);
	if (err < 0)
		log_debug("namespace '%s': the kernel does not tell of lost subflows: %s", ns->name, strerror(-err));
}

static int check_owner(const struct netns *ns, const struct netns_tun *t, char *why)
{
	char alias[64];
	int there = netns_tun_owner(ns, t->name, alias, why);

	if (there <= 0)
		return there;
	/* Without an alias: made by a start that died before it could name it. */
	if (*alias && strcmp(alias, t->alias)) {
		snprintf(why, NETNS_WHY_LEN,
			 "device %s in namespace \"%s\" belongs to somebody else (alias \"%.32s\"): remove it (ip "
			 "link del %s), or run `shilad --clean` of its owner", t->name, ns->name, alias, t->name);
		return -EEXIST;
	}
	if (!*alias) {
		snprintf(why, NETNS_WHY_LEN,
			 "a device %s is in namespace \"%s\" already and not ours: remove it (ip link del %s)",
			 t->name, ns->name, t->name);
		return -EEXIST;
	}
	return 0;
}

/* Where the kernel cannot be asked for sockets, idle connections are only ended by time. */
static void open_diag(struct devices *d, unsigned int ns_index, uint8_t side)
{
	struct sock_diag *diag = &d->diag[side];
	int old = netns_enter(&d->namespaces[ns_index]), err = old;

	if (old >= 0) {
		err = sock_diag_open(diag);
		netns_leave(old);
	}
	if (err < 0)
		log_warn("namespace '%s': the kernel cannot be asked for sockets (%s): connections whose programs died "
			 "silently are forgotten after two hours only", d->namespaces[ns_index].name, strerror(-err));
}

/*
 * What comes to the wrong worker is passed on to the right one, unless the program does that for all TUNs.
 * Return: 1: this one has the program.
 */
static int steer(struct devices *d, const char *name, int fd, unsigned int workers, char *why)
{
	int err;

	if (d->steering == STEERING_RINGS) {
		steer_detach(fd); /* the one of a daemon before */
		return 0;
	}
	err = steer_attach(fd, workers, true);
	if (err >= 0)
		return 1;
	if (d->steering == STEERING_PROGRAM) {
		snprintf(why, NETNS_WHY_LEN, "%s: the kernel refuses the program that steers its queues: %s (steering)", name,
			 strerror(-err));
		return err;
	}
	log_warn("the kernel refuses the program that steers TUN queues (%s): %srequests wait behind connections that send "
		 "all they can (steering)", strerror(-err),
		 workers > 1 ? "the workers pass on what is not theirs, which costs CPU, and " : "");
	d->steering = STEERING_RINGS;
	return 0;
}

/* The queues of both lanes, as the program numbers them; nothing has been read from them yet. */
static int open_queues(struct devices *d, const struct netns *ns, const char *name, unsigned int workers, char *why)
{
	unsigned int t = d->num_tuns, lanes = d->steering == STEERING_RINGS ? 1 : 2;
	int fds[2 * CONFIG_MAX_WORKERS], err;
	bool datagram_trains;

	err = tun_open(ns, name, lanes * workers, false, fds, &datagram_trains, why);
	if (err < 0)
		return err;
	d->no_datagram_trains |= !datagram_trains;
	memcpy(d->fds[t], fds, workers * sizeof(fds[0]));
	if (lanes == 2)
		memcpy(d->bulk_fds[t], fds + workers, workers * sizeof(fds[0]));
	d->queues = workers;
	d->num_tuns++;
	return 0;
}

/* The second lane needs somebody who chooses between the two. */
static void close_bulk(struct devices *d, unsigned int tun)
{
	for (unsigned int q = d->queues; q--;) { /* the last one first: the others keep their numbers */
		if (d->bulk_fds[tun][q] >= 0)
			close(d->bulk_fds[tun][q]);
		d->bulk_fds[tun][q] = -1;
	}
}

static int add_tun(struct devices *d, struct netns *ns, unsigned int ns_index, struct netns_tun *t, uint8_t side,
		   struct state *state, unsigned int workers, char *why)
{
	struct control_tun *out = &d->tuns[d->num_tuns];
	int *fds = d->fds[d->num_tuns], err;

	if (d->num_tuns == CONTROL_MAX_TUNS)
		return -E2BIG;
	snprintf(t->alias, sizeof(t->alias), "shila:%s", state->id);
	t->txqueuelen = TXQUEUELEN;
	t->gso_max_bytes = GSO_MAX_BYTES;
	err = check_owner(ns, t, why);
	if (err < 0)
		return err;
	state_add_device(state, ns->name, t->name);
	err = state_save(state, why);
	if (err < 0)
		return err;
	err = open_queues(d, ns, t->name, workers, why);
	if (err < 0)
		return err;
	*out = (struct control_tun){ .side = side, .num_addresses = (unsigned int)t->num_addresses };
	snprintf(out->name, sizeof(out->name), "%s", t->name);
	memcpy(out->addresses, t->addresses, sizeof(out->addresses));
	d->tun_ns[d->num_tuns - 1] = ns_index;
	err = netns_tun_setup(ns, t, why);
	if (err < 0)
		return err;
	out->ifindex = netns_device_index(ns, t->name);
	if (out->ifindex < 0)
		out->ifindex = 0;
	if (!d->diag[side].fd)
		open_diag(d, ns_index, side);
	err = tun_persist(fds[0]);
	if (err < 0) {
		snprintf(why, NETNS_WHY_LEN, "%s: cannot be made persistent: %s", t->name, strerror(-err));
		return err;
	}
	err = steer(d, t->name, fds[0], workers, why);
	if (!err)
		close_bulk(d, d->num_tuns - 1);
	return err < 0 ? err : 0;
}

static int add_egress(struct devices *d, const struct config *cfg, size_t e, struct state *state,
		      unsigned int workers, uint32_t mtu_bytes, char *why)
{
	const struct config_egress *eg = &cfg->egress[e];
	unsigned int index;
	int err = 0;
	struct netns *ns = get_namespace(d, eg->namespace, state, &index, &err, why);

	if (!ns)
		return err;
	choose_path_manager(d, ns, (uint8_t)(e + 1), eg->path_manager);
	if (!d->pm[e + 1].commands && wants_backups(cfg))
		log_warn("namespace '%s': the kernel manages subflows there, so routes.backup has no effect "
			 "(egress.path_manager: own)", ns->name);
	for (uint32_t i = 0; i < eg->interfaces; i++) {
		struct netns_tun t = {
			.mtu_bytes = mtu_bytes,
			.default_route = i == 0,
			/*
			 * The first TUN has the default of the main table alone: the kernel keeps a path MTU with
			 * the route it found for the error, and programs must find the same one.
			 */
			.table = i ? FIRST_TABLE + (uint32_t)d->num_tuns : 0,
			/* The kernel has room for 8; the main flow's address needs none. */
			.endpoint = i > 0 && !d->pm[e + 1].commands,
			.keep_endpoints = i > 0 && d->pm[e + 1].commands,
		};

		snprintf(t.name, sizeof(t.name), "%s%u", eg->device, i);
		for (size_t p = 0; p < eg->num_addresses; p++)
			t.addresses[t.num_addresses++] = ip_addr_nth(&eg->addresses[p], i + 1);
		err = add_tun(d, ns, index, &t, (uint8_t)(e + 1), state, workers, why);
		if (err < 0)
			return err;
	}
	return 0;
}

static int add_ingress(struct devices *d, const struct config *cfg, struct state *state, unsigned int workers,
		       uint32_t mtu_bytes, char *why)
{
	const struct config_ingress *in = &cfg->ingress;
	size_t before = d->num_namespaces;
	unsigned int index;
	int err = 0;
	struct netns *ns = get_namespace(d, in->namespace, state, &index, &err, why);
	struct netns_tun t = { .mtu_bytes = mtu_bytes, .default_route = true };

	if (!ns)
		return err;
	if (d->num_namespaces > before)
		choose_path_manager(d, ns, 0, ns->made ? PATH_MANAGER_KERNEL : PATH_MANAGER_AUTO);
	watch_servers(d, ns);
	snprintf(t.name, sizeof(t.name), "%s0", in->device);
	for (size_t i = 0; i < in->num_addresses; i++)
		t.addresses[t.num_addresses++] = in->addresses[i];
	return add_tun(d, ns, index, &t, 0, state, workers, why);
}

static void close_diag(struct devices *d)
{
	for (size_t i = 0; i < sizeof(d->pm) / sizeof(d->pm[0]); i++)
		mptcp_pm_close(&d->pm[i]);
	for (size_t i = 0; i < sizeof(d->diag) / sizeof(d->diag[0]); i++)
		sock_diag_close(&d->diag[i]);
}

static void close_queues(struct devices *d)
{
	for (unsigned int t = 0; t < d->num_tuns; t++) {
		close_bulk(d, t);
		for (unsigned int q = 0; q < d->queues; q++)
			close(d->fds[t][q]);
	}
	d->num_tuns = 0;
}

static int add_all(struct devices *d, const struct config *cfg, struct state *state, unsigned int workers,
		   uint32_t mtu_bytes, char *why)
{
	int err = 0;

	for (size_t e = 0; e < cfg->num_egress && err >= 0; e++)
		err = add_egress(d, cfg, e, state, workers, mtu_bytes, why);
	if (err >= 0 && cfg->ingress.enabled)
		err = add_ingress(d, cfg, state, workers, mtu_bytes, why);
	return err;
}

int devices_up(struct devices *d, const struct config *cfg, struct state *state, unsigned int workers,
	       uint32_t mtu_bytes, char *why)
{
	memset(d, 0, sizeof(*d));
	memset(d->bulk_fds, -1, sizeof(d->bulk_fds));
	d->steering = cfg->steering;
	return add_all(d, cfg, state, workers, mtu_bytes, why);
}

static int remove_device(const struct netns *ns, const char *name, const char *id, char *why)
{
	char alias[64], ours[64];
	int there = netns_tun_owner(ns, name, alias, why);

	snprintf(ours, sizeof(ours), "shila:%s", id);
	if (there <= 0 || strcmp(alias, ours))
		return there < 0 ? there : 0;
	return netns_tun_remove(ns, name, why);
}

void devices_detach(struct devices *d)
{
	close_queues(d);
	close_diag(d);
	for (size_t i = 0; i < d->num_namespaces; i++)
		netns_close(&d->namespaces[i]);
	d->num_namespaces = 0;
}

int devices_down(struct devices *d, char *why)
{
	char names[CONTROL_MAX_TUNS][16];
	unsigned int n = d->num_tuns;
	int first = 0, err;

	for (unsigned int t = 0; t < n; t++)
		memcpy(names[t], d->tuns[t].name, sizeof(names[t]));
	close_queues(d);
	for (unsigned int t = 0; t < n; t++) {
		const struct netns *ns = &d->namespaces[d->tun_ns[t]];

		/* Whoever uses it without us must not wait for our subflows. */
		if (d->pm[d->tuns[t].side].commands && !ns->made)
			netns_path_manager(ns, false);
	}
	close_diag(d);
	for (unsigned int t = 0; t < n; t++) {
		err = netns_tun_remove(&d->namespaces[d->tun_ns[t]], names[t], why);
		if (err < 0 && !first)
			first = err;
	}
	for (size_t i = 0; i < d->num_namespaces; i++) {
		if (d->namespaces[i].made) {
			err = netns_remove(&d->namespaces[i], why);
			if (err < 0 && !first)
				first = err;
		}
		netns_close(&d->namespaces[i]);
	}
	d->num_namespaces = 0;
	return first;
}

int devices_clean(const struct state *state, char *why)
{
	int first = 0, err;

	for (size_t i = 0; i < state->num_devices; i++) {
		const struct state_device *dev = &state->devices[i];
		struct netns ns;

		err = netns_find(dev->namespace, &ns, why);
		if (err == -ENOENT)
			continue;
		if (err >= 0) {
			err = remove_device(&ns, dev->name, state->id, why);
			netns_close(&ns);
		}
		if (err < 0 && !first)
			first = err;
	}
	for (size_t i = 0; i < state->num_namespaces; i++) {
		const struct state_namespace *n = &state->namespaces[i];
		struct netns ns;

		err = netns_find(n->name, &ns, why);
		if (err == -ENOENT) { /* killed before it was mounted: the name alone may be there */
			ns = (struct netns){ .fd = -1 };
			snprintf(ns.name, sizeof(ns.name), "%s", n->name);
			err = netns_remove(&ns, why);
		} else if (err >= 0) {
			/* Another namespace of that name is somebody else's. */
			if (ns.inode == n->inode && ns.cookie == n->cookie)
				err = netns_remove(&ns, why);
			netns_close(&ns);
		}
		if (err < 0 && !first)
			first = err;
	}
	return first;
}
