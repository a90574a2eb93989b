/* SPDX-License-Identifier: Apache-2.0 */
#include "netns/netlink.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the machine must offer, asked before anything is made, with a remedy for what is missing. */

static bool has_capabilities(void)
{
	const uint32_t need = 1u << CAP_NET_ADMIN | 1u << CAP_SYS_ADMIN;
	struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	return !syscall(SYS_capget, &hdr, data) && (data[0].effective & need) == need;
}

static int check_tun(char *why)
{
	unsigned int need = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE, features = 0;
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	int err = fd < 0 ? -errno : 0;

	if (err == -ENOENT || err == -ENODEV || err == -ENXIO)
		return netns_why(
			why, err,
			"no /dev/net/tun: load the module (modprobe tun), or give the device to "
			"the container (--device /dev/net/tun)");
	if (err)
		return netns_why(why, err, "cannot open /dev/net/tun: %s", strerror(-err));
	if (ioctl(fd, TUNGETFEATURES, &features) < 0 || (features & need) != need)
		err = netns_why(why, -EOPNOTSUPP,
				"the kernel's TUN driver lacks multi-queue or offload headers; "
				"Linux 6.1 or newer is needed");
	close(fd);
	return err;
}

int netns_check_host(char *why)
{
	int err;

	if (!has_capabilities())
		return netns_why(
			why, -EPERM,
			"shilad needs CAP_NET_ADMIN and CAP_SYS_ADMIN: start it as root (sudo)");
	if (access("/proc/thread-self/ns/net", F_OK) < 0)
		return netns_why(why, -EOPNOTSUPP,
				 "no network namespaces: /proc is not mounted, or the kernel lacks "
				 "CONFIG_NET_NS");
	err = check_tun(why);
	if (err)
		return err;
	if (access("/proc/sys/net/mptcp/enabled", F_OK) < 0)
		return netns_why(
			why, -EOPNOTSUPP,
			"the kernel has no MPTCP: it needs CONFIG_MPTCP, Linux 6.1 or newer");
	return 0;
}
