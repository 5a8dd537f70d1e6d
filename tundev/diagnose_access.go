package tundev

import (
	"strconv"
	"strings"

	"tstun/internal/deverr"
)

const (
	tunNode  = "dev/net/tun"
	tunMajor = 10  // MISC_MAJOR, linux/major.h
	tunMinor = 200 // TUN_MINOR, linux/miscdevice.h

	capNetAdmin = 12 // CAP_NET_ADMIN, linux/capability.h
)

// linux asks in this order whether the driver is there, whether the node can be
// opened, whether the process may make interfaces, and whether the name is free.
func (s system) linux(name string, err error) []Finding {
	if !s.driver() && !s.attached(err) {
		return s.modules(name, err)
	}
	found, usable := s.node(name)
	if usable {
		found = append(found, s.rights(name, err)...)
	}
	return append(found, s.nameTaken(name, err)...)
}

// attached reports whether err shows that the node was opened, which takes a
// driver. If neither /proc nor /sys is mounted, nothing else shows a driver.
func (s system) attached(err error) bool {
	return err != nil && strings.Contains(err.Error(), "TUNSETIFF") ||
		!s.exists("proc/misc") && !s.exists("sys/class/misc") && !deverr.NoDriver(err)
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

// deviceCgroup explains EPERM on open, which comes of the device cgroup and not of
// a mode.
func (s system) deviceCgroup(name string, err error) Finding {
	f := Finding{
		Code:     "device-cgroup",
		Cause:    "the device cgroup forbids this process the TUN device",
		Advice:   "allow it: --device /dev/net/tun in Docker and Podman, lxc.cgroup2.devices.allow = c 10:200 rwm in LXC, DeviceAllow=/dev/net/tun in systemd; or use userspace mode",
		Evidence: err.Error() + ", which modes never cause",
	}
	if list, forbids := s.deviceList(); list != "" {
		if forbids {
			f.Evidence += "; " + list + " has no entry for c 10:200"
		}
		// A list that allows all does not show what was taken out of it.
		f.Advice += "; or as root outside: echo 'c 10:200 rwm' > " + strings.TrimSuffix(list, "list") + "allow"
	}
	if why := s.container(); why != "" {
		f.Evidence += "; in a container: " + why
	}
	f.Advice += s.alsoGrant(name)
	return f
}

// deviceList returns the file with the device list of cgroup version 1, and
// reports whether that forbids the TUN. Version 2 has a program instead, which
// cannot be read.
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
