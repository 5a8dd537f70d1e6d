package tundev

import (
	"errors"
	"io/fs"
	"path"
	"strings"
	"syscall"
)

// modules explains why the kernel has no TUN driver.
func (s system) modules(name string, err error) []Finding {
	switch {
	case s.openWrt():
		return []Finding{s.openWrtModule()}
	case formatError(err):
		return []Finding{{
			Code:     "module-format",
			Cause:    "the tun module on disk was built for another kernel, or the module index is stale",
			Advice:   "run depmod -a and reboot",
			Evidence: err.Error(),
		}}
	}
	dir := "lib/modules/" + s.release
	if !s.exists(dir) {
		dir = "usr/" + dir
	}
	switch {
	case s.exists(dir) && s.hasModule(dir):
		return []Finding{s.notLoaded(name, dir)}
	case s.exists(dir):
		return []Finding{{
			Code:     "module-missing",
			Cause:    "the modules of the running kernel do not include tun",
			Advice:   "install the package with the rest of the kernel's modules (linux-modules-extra on Ubuntu), or a kernel with CONFIG_TUN",
			Evidence: "/" + dir + " lists no tun.ko",
		}}
	}
	return []Finding{s.noModules()}
}

// formatError reports whether err is ENOEXEC, which modprobe returns as text.
func formatError(err error) bool {
	if err == nil {
		return false
	}
	text := strings.ToLower(err.Error())
	return errors.Is(err, syscall.ENOEXEC) ||
		strings.Contains(text, "exec format error") || strings.Contains(text, "invalid module format")
}

// hasModule reports whether an index that depmod or the build of the kernel wrote
// names the module.
func (s system) hasModule(dir string) bool {
	for _, index := range []string{"modules.dep", "modules.builtin"} {
		for line := range strings.Lines(s.read(dir + "/" + index)) {
			file, _, _ := strings.Cut(strings.TrimSpace(line), ":")
			if strings.HasPrefix(path.Base(file), "tun.ko") {
				return true
			}
		}
	}
	matches, _ := fs.Glob(s.root, dir+"/kernel/drivers/net/tun.ko*")
	return len(matches) > 0
}

func (s system) notLoaded(name, dir string) Finding {
	f := Finding{
		Code:     "module-not-loaded",
		Cause:    "the tun module is on disk but not in the kernel",
		Advice:   "load it, as root: modprobe tun" + s.alsoNode() + s.alsoGrant(name),
		Evidence: "/" + dir + " has tun.ko, /proc/misc has no tun",
	}
	if why := s.container(); why != "" {
		f.Advice = "load it on the host, not in the container: modprobe tun"
		f.Evidence += "; in a container: " + why
	}
	return f
}

// noModules explains a kernel without a directory of modules: an upgrade has
// replaced it, or it is the kernel of a container's host.
func (s system) noModules() Finding {
	evidence := "the running kernel is " + s.release + ", /lib/modules has "
	others := append(s.entries("lib/modules"), s.entries("usr/lib/modules")...)
	if why := s.container(); why != "" {
		return Finding{
			Code:     "module-not-loaded",
			Cause:    "the kernel of the container's host has no TUN driver loaded",
			Advice:   "load it on the host, not in the container: modprobe tun",
			Evidence: evidence + "nothing for it; in a container: " + why,
		}
	}
	if len(others) > 0 {
		return Finding{
			Code:     "kernel-upgraded",
			Cause:    "the kernel was upgraded and the modules of the running one are gone",
			Advice:   "reboot",
			Evidence: evidence + strings.Join(others, ", "),
		}
	}
	return Finding{
		Code:     "module-missing",
		Cause:    "the kernel has no TUN driver, and there are no modules on disk",
		Advice:   "use a kernel with CONFIG_TUN, or userspace mode",
		Evidence: evidence + "nothing",
	}
}

func (s system) openWrt() bool {
	return s.exists("etc/openwrt_release") || field(s.read("etc/os-release"), "ID=") == "openwrt"
}

// openWrtModule explains that OpenWrt lacks a package, and names the package
// manager that is there: apk since 25.12, opkg before, neither in builds of some
// vendors.
func (s system) openWrtModule() Finding {
	version := field(s.read("etc/openwrt_release"), "DISTRIB_RELEASE=")
	if version == "" {
		version = field(s.read("etc/os-release"), "VERSION_ID=")
	}
	f := Finding{
		Code:     "openwrt-kmod-tun",
		Cause:    "the package kmod-tun is not installed",
		Evidence: "OpenWrt " + version + ", /proc/misc has no tun",
	}
	switch {
	case s.exists("usr/bin/apk") || s.exists("bin/apk"):
		f.Advice = "apk update && apk add kmod-tun"
	case s.exists("bin/opkg") || s.exists("usr/bin/opkg"):
		f.Advice = "opkg update && opkg install kmod-tun"
	default:
		f.Code = "openwrt-no-tun"
		f.Cause = "this vendor's firmware has no TUN driver and no package manager to add it"
		f.Advice = "use userspace mode, or put the OpenWrt project's own firmware on the device"
	}
	return f
}

func (s system) synology() bool {
	return s.exists("etc/synoinfo.conf") || s.exists("etc.defaults/synoinfo.conf")
}

func (s system) synologyVersion() string {
	version := s.read("etc.defaults/VERSION")
	if version == "" {
		version = s.read("etc/VERSION")
	}
	return field(version, "productversion=")
}
