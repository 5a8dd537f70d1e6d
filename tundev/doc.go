// Package tundev makes TUN devices: it creates them on Linux, macOS, Windows,
// FreeBSD and OpenBSD, takes over descriptors that somebody else opened, says
// in plain words why a creation failed, and presents an Ethernet TAP as a TUN.
//
// Every device that it returns is a [tun.Device] whose methods are safe from
// any goroutine before, during and after Close. Close may be called more than
// once, ends a Read that is blocked, and ends every goroutine of the device.
// After it Read and Write return an error for which errors.Is(err,
// os.ErrClosed) holds, and Events is closed. Name and MTU return what was last
// known, also when the interface is deleted under the device, which ends Read in
// the same way. Write leaves empty packets out. On macOS and the BSDs Read and
// Write need an offset of at least 4, and refuse a smaller one.
//
// Events has the first "up" and then each change. On Linux a device follows its
// interface into another network namespace, which takes CAP_SYS_ADMIN and
// CAP_NET_ADMIN: without them it reports "down", as moving takes the interface
// down, then nothing more, and MTU stays what it was.
//
// On Linux what Create and FromFile return is a [Direct]: it reads as many packets
// as are ready in one call, cuts the super-packets among them, can be
// interrupted, and joins what it writes. [AsDirect] says so of a tun.Device, and
// makes a Direct of wireguard-go's own device.
//
// Nothing here reads the environment. Only [Create] changes the system, and
// [FromFile] the MTU if asked to.
//
// # Codes of findings
//
//	already-configured         the interface was there with its address: treat as success
//	bad-mtu                    no interface has such an MTU
//	bad-name                   the system takes no such name
//	descriptor-limit           too many open files, of the process or the system
//	device-cgroup              the device cgroup forbids /dev/net/tun
//	device-closed              the device was closed or its interface deleted
//	driver-slow                Wintun did not bring the interface up in time
//	foreign-network-namespace  CAP_NET_ADMIN counts in another user namespace only
//	interface-left             BSD: the interface outlived its process
//	jail-no-tun                FreeBSD: the jail has no /dev/tun
//	kernel-upgraded            the running kernel lost its modules: reboot
//	leftover-adapter           Windows: an adapter is left from an unclean stop
//	link-down                  packets are refused because the link is down
//	module-format              the module is for another kernel: depmod -a, reboot
//	module-missing             the kernel has no TUN driver on disk
//	module-not-loaded          the driver is there but not loaded
//	name-busy                  something out of sight holds the name
//	name-held                  another process holds the name
//	name-held-here             this process holds the name
//	name-taken                 an interface of another kind has the name
//	no-device-node             the device node is missing
//	no-net-admin               CAP_NET_ADMIN is missing
//	no-permission              macOS, BSD, Windows: not root, not administrator
//	node-directory             a directory before /dev/net/tun keeps this user out
//	node-mode                  owner and mode of /dev/net/tun keep this user out
//	node-nodev                 the file system of /dev/net/tun takes no devices
//	node-unusable              /dev/net/tun cannot be opened for another reason
//	openwrt-kmod-tun           OpenWrt: the package kmod-tun is missing
//	openwrt-no-tun             a vendor's OpenWrt without TUN and package manager
//	other-namespace            a process in another network namespace holds the name
//	out-of-memory              the kernel has no memory for it
//	persistent-link            a persistent interface has the name
//	security-policy            a security module or seccomp filter refuses it
//	synology-node-mode         Synology: the mode is reset at each boot
//	unknown-cause              none of these: the evidence has what was seen
//	unprivileged-container     uid mapping keeps the container's root out
//	unsupported-system         programs cannot make a TUN on this system
//	utun-busy                  macOS: the utun is in use or lingers
//	wintun-missing             Windows: wintun.dll cannot be loaded
//	wrong-device-node          /dev/net/tun is not the TUN device
package tundev
