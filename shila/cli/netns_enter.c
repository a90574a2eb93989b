/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/cli/netns_enter.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define NETNS_RUN_DIR "/run/netns"
#define NETNS_ETC_DIR "/etc/netns"
#define CGROUP_DIR    "/sys/fs/cgroup"

static int open_namespace(const char *name, char *why)
{
	char path[PATH_MAX];
	int fd, err;

	/* The name comes from the daemon, and says nothing about other places of the file system.
	 */
	if (strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, "..") ||
	    strlen(name) > NAME_MAX) {
		snprintf(why, NETNS_WHY_LEN, "shilad named a namespace that cannot be one");
		return -EINVAL;
	}
	snprintf(path, sizeof(path), NETNS_RUN_DIR "/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		err = -errno;
		snprintf(why, NETNS_WHY_LEN, "namespace " NETNS_RUN_DIR "/%s: %s", name,
			 err == -ENOENT ? "not there; does shilad run in another mount namespace?"
					: strerror(-err));
		return err;
	}
	return fd;
}

/* bind_over() - Best effort: without one the program sees the host's. */
static void bind_over(const char *from, const char *to)
{
	if (mount(from, to, "none", MS_BIND, NULL) < 0)
		fprintf(stderr, "shila run: the program sees the host's %s: %s\n", to,
			strerror(errno));
}

static void bind_etc(const char *name)
{
	char from[PATH_MAX], to[PATH_MAX];
	const struct dirent *entry;
	DIR *dir;

	snprintf(from, sizeof(from), NETNS_ETC_DIR "/%s", name);
	dir = opendir(from);
	if (!dir)
		return; /* most namespaces have none */
	while ((entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		snprintf(from, sizeof(from), NETNS_ETC_DIR "/%s/%s", name, entry->d_name);
		snprintf(to, sizeof(to), "/etc/%s", entry->d_name);
		bind_over(from, to);
	}
	closedir(dir);
}

/* mount_sys() - A sysfs shows the network it was mounted in. What lies below it is kept where it
 * matters. */
static void mount_sys(void)
{
	int cgroup = open(CGROUP_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char path[64];

	if (mount("shila", "/sys", "sysfs", 0, NULL) == 0 && cgroup >= 0) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", cgroup);
		mount(path, CGROUP_DIR, "none", MS_BIND | MS_REC,
		      NULL); /* programs read their limits there */
	}
	if (cgroup >= 0)
		close(cgroup);
}

int netns_enter(const char *name, char *why)
{
	int fd = open_namespace(name, why), err;

	if (fd < 0)
		return fd;
	if (setns(fd, CLONE_NEWNET) < 0) {
		err = -errno;
		close(fd);
		snprintf(why, NETNS_WHY_LEN, "namespace %s: %s%s", name, strerror(-err),
			 err == -EINVAL ? ": " NETNS_RUN_DIR
					  "/ holds a plain file of that name; was it made in "
					  "a private mount namespace (a systemd unit with "
					  "PrivateTmp and such)?"
					: "");
		return err;
	}
	close(fd);

	if (unshare(CLONE_NEWNS) < 0 || mount("", "/", "none", MS_SLAVE | MS_REC, NULL) < 0) {
		err = -errno;
		snprintf(why, NETNS_WHY_LEN, "cannot make a mount namespace: %s", strerror(-err));
		return err;
	}
	mount_sys();
	bind_etc(name);
	return 0;
}
