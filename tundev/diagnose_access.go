package tundev

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"syscall"
)

const (
	tunNode  = "dev/net/tun"
	tunMajor = 10  // MISC_MAJOR, linux/major.h
	tunMinor = 200 // TUN_MINOR, linux/miscdevice.h

	capNetAdmin = 12 // CAP_NET_ADMIN, linux/capability.h
)

// linux goes from the outside in: can the node be opened, is the driver there,
// may the process make interfaces, is the name free.
func (s system) linux(name string, err error) []Finding {
	found := s.faults(name, err)
	if !s.driver() {
		return append(found, s.modules(err)...)
	}
	node, usable := s.node()
	found = append(found, node...)
	if usable {
		found = append(found, s.rights(err)...)
	}
	return append(found, s.taken(name, err)...)
}

// driver reports whether the running kernel has the TUN driver, built in or
// loaded.
func (s system) driver() bool {
	if s.exists("sys/class/misc/tun") {
		return true
	}
	for line := range strings.Lines(s.read("proc/misc")) {
		if f := strings.Fields(line); len(f) == 2 && f[1] == "tun" {
			return true
		}
	}
	return false
}

// node looks at /dev/net/tun, which the driver is there for.
func (s system) node() (found []Finding, usable bool) {
	info, err := fs.Stat(s.root, tunNode)
	if err != nil {
		return []Finding{s.noNode(err)}, false
	}
	if major, minor, ok := s.rdev(info); !ok || major != tunMajor || minor != tunMinor {
		return []Finding{{
			Code:     "wrong-device-node",
			Cause:    "/dev/net/tun is not the TUN device",
			Advice:   "replace it: rm /dev/net/tun && mknod /dev/net/tun c 10 200",
			Evidence: fmt.Sprintf("mode %v, device %d:%d, wanted a character device 10:200", info.Mode(), major, minor),
		}}, false
	}
	switch err := s.open("/" + tunNode); {
	case err == nil:
		return nil, true
	case errors.Is(err, syscall.EACCES):
		return []Finding{s.nodeMode(info, err)}, false
	case errors.Is(err, syscall.EPERM):
		return []Finding{s.deviceCgroup(err)}, false
	default:
		return []Finding{{
			Code:     "node-unusable",
			Cause:    "/dev/net/tun cannot be opened although the driver is there",
			Advice:   "look into the kernel log for what the driver says",
			Evidence: err.Error(),
		}}, false
	}
}

func (s system) noNode(err error) Finding {
	f := Finding{
		Code:     "no-device-node",
		Cause:    "the kernel has the TUN driver, but there is no device node",
		Advice:   "make it: mkdir -p /dev/net && mknod /dev/net/tun c 10 200 && chmod 666 /dev/net/tun",
		Evidence: err.Error(),
	}
	if why := s.container(); why != "" {
		f.Advice = "pass the device to the container: --device /dev/net/tun --cap-add NET_ADMIN"
		f.Evidence += "; in a container: " + why
	}
	return f
}

// nodeMode explains EACCES: the mode forbids it, and root within an
// unprivileged container is not the owner.
func (s system) nodeMode(info fs.FileInfo, err error) Finding {
	uid, gid, _ := s.owner(info)
	evidence := fmt.Sprintf("%v; mode %v, owner %d:%d", err, info.Mode().Perm(), uid, gid)
	switch {
	case s.synology():
		return Finding{
			Code:     "synology-node-mode",
			Cause:    "DSM resets the mode of /dev/net/tun at each boot",
			Advice:   "add a boot task, run by root, in the Task Scheduler: chmod 666 /dev/net/tun; until then only root, or userspace mode, works",
			Evidence: evidence + "; Synology DSM " + s.synologyVersion(),
		}
	case s.userNamespace() != "":
		return Finding{
			Code:     "unprivileged-container",
			Cause:    "the user that this container's root is mapped to may not open /dev/net/tun",
			Advice:   "on the host: chmod 666 /dev/net/tun, or let the container own the node",
			Evidence: evidence + "; " + s.userNamespace(),
		}
	}
	return Finding{
		Code:     "node-mode",
		Cause:    "owner and mode of /dev/net/tun keep this user out",
		Advice:   "run as root, or: chmod 666 /dev/net/tun",
		Evidence: evidence,
	}
}

// deviceCgroup explains EPERM on open: no mode gives that, the device cgroup
// does.
func (s system) deviceCgroup(err error) Finding {
	evidence := err.Error() + ", which modes never cause"
	if list, forbids := s.deviceList(); forbids {
		evidence += "; " + list + " has no entry for c 10:200"
	}
	if why := s.container(); why != "" {
		evidence += "; in a container: " + why
	}
	return Finding{
		Code:     "device-cgroup",
		Cause:    "the device cgroup forbids this process the TUN device",
		Advice:   "allow it: --device /dev/net/tun in Docker and Podman, lxc.cgroup2.devices.allow = c 10:200 rwm in LXC, DeviceAllow=/dev/net/tun in systemd; or use userspace mode",
		Evidence: evidence,
	}
}

// deviceList finds the device list of cgroup version 1, and whether it leaves
// the TUN out. Version 2 has a program in its place, which cannot be read.
func (s system) deviceList() (file string, forbids bool) {
	for line := range strings.Lines(s.read("proc/self/cgroup")) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) != 3 || part[1] != "devices" {
			continue
		}
		for _, dir := range []string{part[2], ""} {
			file := "sys/fs/cgroup/devices" + strings.TrimSuffix(dir, "/") + "/devices.list"
			if list := s.read(file); list != "" {
				return "/" + file, !listAllows(list)
			}
		}
	}
	return "", false
}

// listAllows reads lines such as "c 10:200 rwm" and "a *:* rwm"
// (Documentation/admin-guide/cgroup-v1/devices.rst).
func listAllows(list string) bool {
	for line := range strings.Lines(list) {
		f := strings.Fields(line)
		if len(f) != 3 || (f[0] != "a" && f[0] != "c") {
			continue
		}
		major, minor, _ := strings.Cut(f[1], ":")
		if (major == "*" || major == strconv.Itoa(tunMajor)) &&
			(minor == "*" || minor == strconv.Itoa(tunMinor)) &&
			strings.Contains(f[2], "r") && strings.Contains(f[2], "w") {
			return true
		}
	}
	return false
}

// rights explains EPERM of TUNSETIFF, once the node can be opened.
func (s system) rights(err error) []Finding {
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		return nil
	}
	text := field(s.read("proc/thread-self/status"), "CapEff:")
	caps, parseErr := strconv.ParseUint(text, 16, 64)
	switch {
	case parseErr != nil:
		return nil
	case caps&(1<<capNetAdmin) == 0:
		return []Finding{s.noNetAdmin(text)}
	case err != nil && s.userNamespace() != "":
		return []Finding{{
			Code:     "foreign-network-namespace",
			Cause:    "this process has CAP_NET_ADMIN in its user namespace, which does not own the network namespace",
			Advice:   "make the network namespace within the user namespace (unshare --user --net), or use userspace mode",
			Evidence: "CapEff " + text + "; " + s.userNamespace(),
		}}
	}
	return nil
}

func (s system) noNetAdmin(text string) Finding {
	f := Finding{
		Code:     "no-net-admin",
		Cause:    "this process lacks CAP_NET_ADMIN, without which nobody makes interfaces",
		Advice:   "run as root, grant it with setcap cap_net_admin+ep or AmbientCapabilities=CAP_NET_ADMIN, or use userspace mode, which needs no rights",
		Evidence: "/dev/net/tun opens; CapEff " + text,
	}
	if why := s.container(); why != "" {
		f.Advice = "start the container with --cap-add NET_ADMIN, or use userspace mode, which needs no rights"
		f.Evidence += "; in a container: " + why
	}
	return f
}

// container says what shows that this is one, "" for none.
func (s system) container() string {
	for _, name := range []string{".dockerenv", "run/.containerenv", "run/systemd/container"} {
		if s.exists(name) {
			return "/" + name + " exists"
		}
	}
	for v := range strings.SplitSeq(s.read("proc/1/environ"), "\x00") {
		if strings.HasPrefix(v, "container=") {
			return "process 1 has " + v
		}
	}
	return ""
}

// userNamespace says what shows that the process is not in the first one.
func (s system) userNamespace() string {
	text := s.read("proc/thread-self/uid_map")
	f := strings.Fields(text)
	if len(f) == 0 || len(f) == 3 && f[0] == "0" && f[1] == "0" && f[2] == "4294967295" {
		return ""
	}
	return "user namespace with uid map " + quoted(strings.Join(f, " "))
}
