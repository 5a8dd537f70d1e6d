//go:build unix

package tundev_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"tstun/tundev"
)

// tree is a fixture: files by path. A value that begins with "->" is a
// symbolic link.
type tree map[string]string

func (tr tree) fs() fstest.MapFS {
	m := fstest.MapFS{}
	for path, content := range tr {
		file := &fstest.MapFile{Data: []byte(content), Mode: 0o644}
		if target, found := strings.CutPrefix(content, "->"); found {
			file = &fstest.MapFile{Data: []byte(target), Mode: fs.ModeSymlink | 0o777}
		}
		if mode, found := strings.CutPrefix(content, "node "); found {
			file = node(mode)
		}
		m[path] = file
	}
	return m
}

// node reads "MODE MAJOR:MINOR UID" of a character device.
func node(s string) *fstest.MapFile {
	var mode fs.FileMode
	var major, minor, uid uint32
	fmt.Sscanf(s, "%o %d:%d %d", &mode, &major, &minor, &uid)
	stat := &syscall.Stat_t{Uid: uid}
	set(&stat.Rdev, unix.Mkdev(major, minor))
	return &fstest.MapFile{Mode: mode | fs.ModeDevice | fs.ModeCharDevice, Sys: stat}
}

// set assigns across the types that Rdev has.
func set[T ~int32 | ~uint32 | ~int64 | ~uint64](to *T, v uint64) { *to = T(v) }

func (tr tree) with(more tree) tree {
	all := maps.Clone(tr)
	maps.Copy(all, more)
	return all
}

func (tr tree) without(path string) tree {
	all := maps.Clone(tr)
	delete(all, path)
	return all
}

// healthy is a system on which root makes TUNs.
var healthy = tree{
	"proc/misc":            "229 fuse\n200 tun\n",
	"dev/net/tun":          "node 666 10:200 0",
	"proc/self":            "->100",
	"proc/thread-self":     "->100",
	"proc/100/status":      "Name:\tvpn\nUid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n",
	"proc/100/uid_map":     "         0          0 4294967295\n",
	"proc/100/ns/net":      "->net:[1]",
	"proc/100/comm":        "vpn\n",
	"sys/class/net/lo/mtu": "65536",
}

// noModule is one without the driver.
var noModule = healthy.with(tree{"proc/misc": "229 fuse\n"})

const release = "6.1.0-13-amd64"

func openError(err error) error {
	return &os.PathError{Op: "open", Path: "/dev/net/tun", Err: err}
}

func mtuError() error {
	_, _, err := tundev.Create(nil, "tun0", 70_000)
	return err
}

func attachError(err error) error {
	return fmt.Errorf("create tun0: %w", os.NewSyscallError("TUNSETIFF", err))
}

// userNS is the user namespace of a container whose root is 100000 outside.
var userNS = tree{"proc/100/uid_map": "0 100000 65536"}

// docker marks a container.
var docker = tree{".dockerenv": ""}

// held has another process at tun0.
var held = healthy.with(tree{
	"proc/7/comm":       "openvpn\n",
	"proc/7/fd/5":       "->/dev/net/tun",
	"proc/7/fdinfo/5":   "pos:\t0\nflags:\t0104002\niff:\ttun0\n",
	"proc/7/fd/6":       "->/dev/net/tun",
	"proc/7/fdinfo/6":   "pos:\t0\niff:\ttun00\n",
	"proc/7/ns/net":     "->net:[1]",
	"proc/acpi/x":       "",
	"proc/100/fd/0":     "->/dev/null",
	"proc/100/fdinfo/0": "pos:\t0\n",
})

// Every row of the quirk table for Linux that is not worked around.
func TestDiagnoseLinux(t *testing.T) {
	tests := []struct {
		name     string
		ifname   string // tun0 unless given
		tree     tree
		open     error // of the probe
		err      error // of the creation
		want     string
		advice   string
		evidence string
	}{
		{name: "healthy", tree: healthy},
		{name: "healthy, no known cause", tree: healthy, err: errors.New("odd"), want: "unknown-cause", advice: "log",
			evidence: "odd; linux " + release + "; node Dcrw-rw-rw- 10:200, owner 0:0; driver there; uid 0 0 0 0; CapEff 000001ffffffffff"},
		{name: "nothing can be read", tree: tree{"dev/net/tun": "node 666 10:200 0"}, err: attachError(syscall.EPERM), want: "unknown-cause",
			evidence: "driver not known"},
		{name: "bad name", ifname: "a/b", tree: healthy, err: fs.ErrInvalid, want: "bad-name", advice: "tun0", evidence: `"a/b"`},

		{name: "no node", tree: healthy.without("dev/net/tun"), err: openError(syscall.ENOENT),
			want: "no-device-node", advice: "mknod /dev/net/tun c 10 200", evidence: "dev/net/tun"},
		{name: "no node in a container", tree: healthy.without("dev/net/tun").with(docker), err: openError(syscall.ENOENT),
			want: "no-device-node", advice: "--device /dev/net/tun", evidence: "/.dockerenv exists"},
		{name: "no node, driver known by sysfs", tree: noModule.without("dev/net/tun").with(tree{"sys/class/misc/tun/dev": "10:200"}),
			err: openError(syscall.ENOENT), want: "no-device-node", advice: "mknod"},
		{name: "wrong node", tree: healthy.with(tree{"dev/net/tun": "node 666 1:3 0"}), err: attachError(syscall.ENOTTY),
			want: "wrong-device-node", advice: "c 10 200", evidence: "1:3"},
		{name: "no device", tree: healthy.with(tree{"dev/net/tun": "text"}), err: attachError(syscall.ENOTTY),
			want: "wrong-device-node", evidence: "-rw-r--r--"},
		{name: "odd opening", tree: healthy, open: openError(syscall.EMFILE), err: openError(syscall.EMFILE),
			want: "descriptor-limit", advice: "ulimit -n", evidence: "too many open files"},
		{name: "odder opening", tree: healthy, open: openError(syscall.ENOTCONN), err: openError(syscall.ENOTCONN),
			want: "node-unusable", evidence: "not connected"},
		{name: "system's files", tree: healthy, err: openError(syscall.ENFILE), want: "descriptor-limit", advice: "fs.file-max"},
		{name: "no memory", tree: healthy, err: attachError(syscall.ENOMEM), want: "out-of-memory"},
		{name: "MTU", tree: healthy, err: mtuError(), want: "bad-mtu", advice: "1280 to 65535", evidence: "MTU 70000"},
		{name: "closed", tree: healthy, err: fmt.Errorf("read: %w", os.ErrClosed), want: "device-closed"},

		{name: "node mode", tree: healthy.with(tree{"dev/net/tun": "node 600 10:200 0"}), open: openError(syscall.EACCES),
			err: openError(syscall.EACCES), want: "node-mode", advice: "chmod 666", evidence: "mode -rw-------, owner 0:0"},
		{name: "uid mapping", tree: healthy.with(userNS).with(tree{"dev/net/tun": "node 600 10:200 65534"}),
			open: openError(syscall.EACCES), err: openError(syscall.EACCES),
			want: "unprivileged-container", advice: "on the host", evidence: `"0 100000 65536"`},
		{name: "Synology", open: openError(syscall.EACCES), err: openError(syscall.EACCES),
			tree: healthy.with(tree{
				"dev/net/tun":          "node 600 10:200 0",
				"etc/synoinfo.conf":    "",
				"etc.defaults/VERSION": "majorversion=\"7\"\nproductversion=\"7.2.1\"\n",
			}),
			want: "synology-node-mode", advice: "boot task", evidence: "mode -rw-------, owner 0:0; Synology DSM 7.2.1"},
		{name: "device cgroup v2", tree: healthy, open: openError(syscall.EPERM), err: openError(syscall.EPERM),
			want: "device-cgroup", advice: "DeviceAllow", evidence: "which modes never cause"},
		{name: "device cgroup v1", open: openError(syscall.EPERM), err: openError(syscall.EPERM),
			tree: healthy.with(docker).with(tree{
				"proc/100/cgroup": "4:devices:/docker/abc\n0::/\n",
				"sys/fs/cgroup/devices/docker/abc/devices.list": "c 1:3 rwm\nc 10:229 rwm\nb *:* rw\n",
			}),
			want: "device-cgroup", evidence: "/sys/fs/cgroup/devices/docker/abc/devices.list has no entry for c 10:200; in a container"},
		{name: "device cgroup v1 that allows it", open: openError(syscall.EPERM), err: openError(syscall.EPERM),
			tree: healthy.with(tree{
				"proc/100/cgroup":                    "4:devices:/\n",
				"sys/fs/cgroup/devices/devices.list": "c 10:200 rwm\n",
			}),
			want: "device-cgroup", evidence: "which modes never cause"},

		{name: "no CAP_NET_ADMIN", tree: healthy.with(tree{"proc/100/status": "CapEff:\t00000000a80425fb\n"}),
			err: attachError(syscall.EPERM), want: "no-net-admin", advice: "setcap cap_net_admin", evidence: "CapEff 00000000a80425fb"},
		{name: "no CAP_NET_ADMIN in a container", tree: healthy.with(tree{
			"proc/100/status": "CapEff:\t00000000a80425fb\n",
			"proc/1/environ":  "PATH=/bin\x00container=lxc\x00",
		}),
			err: attachError(syscall.EPERM), want: "no-net-admin", advice: "--cap-add NET_ADMIN", evidence: "container=lxc"},
		{name: "no CAP_NET_ADMIN, asked beforehand", tree: healthy.with(tree{"proc/100/status": "CapEff:\t0000000000000000\n"}),
			want: "no-net-admin"},
		{name: "user namespace", tree: healthy.with(userNS), err: attachError(syscall.EPERM),
			want: "foreign-network-namespace", advice: "unshare --user --map-root-user --net PROGRAM"},

		{name: "held", tree: held, err: attachError(syscall.EBUSY),
			want: "name-held", advice: "another name", evidence: "/proc/7/fdinfo/5 has iff: tun0"},
		{name: "held from elsewhere", tree: held.with(tree{"proc/7/ns/net": "->net:[2]"}), err: attachError(syscall.EBUSY),
			want: "other-namespace", evidence: "/proc/7/ns/net is net:[2]"},
		{name: "held by ourselves", err: attachError(syscall.EBUSY),
			tree: healthy.with(tree{"proc/100/fd/9": "->/dev/net/tun", "proc/100/fdinfo/9": "iff:\ttun0\n"}),
			want: "name-held-here", advice: "close-on-exec", evidence: "/proc/100/fdinfo/9"},
		{name: "persistent and held", tree: held.with(tree{"sys/class/net/tun0/tun_flags": "0x1801\n"}),
			err: attachError(syscall.EBUSY), want: "name-held persistent-link"},
		{name: "persistent", tree: healthy.with(tree{"sys/class/net/tun0/tun_flags": "0x1801\n"}),
			err: attachError(syscall.EBUSY), want: "persistent-link", advice: "ip link delete tun0", evidence: "0x1801"},
		{name: "held by nobody in sight", tree: healthy, err: attachError(syscall.EBUSY), want: "name-busy", evidence: "busy"},
		{name: "other name held", ifname: "tun1", tree: held, err: attachError(syscall.EBUSY), want: "name-busy"},
		{name: "no TUN", ifname: "lo", tree: healthy, err: attachError(syscall.EINVAL),
			want: "name-taken", advice: "another name", evidence: "/sys/class/net/lo exists"},
		{name: "a TAP", tree: healthy.with(tree{"sys/class/net/tun0/tun_flags": "0x1002\n"}),
			err: attachError(syscall.EINVAL), want: "name-taken", evidence: "0x1002"},
		{name: "several queues", tree: healthy.with(tree{"sys/class/net/tun0/tun_flags": "0x1901\n"}),
			err: attachError(syscall.EINVAL), want: "name-taken"},
		{name: "pattern", ifname: "tun%d", tree: healthy, err: attachError(syscall.EBUSY), want: "unknown-cause"},

		{name: "not rebooted", tree: noModule.with(tree{"lib/modules/6.1.0-14-amd64/modules.dep": ""}),
			err: openError(syscall.ENODEV), want: "kernel-upgraded", advice: "reboot", evidence: "running kernel is " + release + ", /lib/modules has 6.1.0-14-amd64"},
		{name: "not loaded", tree: noModule.with(tree{"lib/modules/" + release + "/modules.dep": "kernel/drivers/net/tun.ko.xz:\n"}),
			err: openError(syscall.ENOENT), want: "module-not-loaded", advice: "modprobe tun"},
		{name: "not loaded, merged usr", tree: noModule.with(tree{"usr/lib/modules/" + release + "/kernel/drivers/net/tun.ko.zst": ""}),
			err: openError(syscall.ENOENT), want: "module-not-loaded", evidence: "/usr/lib/modules"},
		{name: "not loaded, container", tree: noModule.with(docker).with(tree{"lib/modules/" + release + "/modules.dep": "kernel/drivers/net/tun.ko:\n"}),
			err: openError(syscall.ENOENT), want: "module-not-loaded", advice: "on the host"},
		{name: "not loaded, container without modules", tree: noModule.with(docker),
			err: openError(syscall.ENOENT), want: "module-not-loaded", advice: "on the host"},
		{name: "not packaged", tree: noModule.with(tree{"lib/modules/" + release + "/modules.dep": "kernel/drivers/net/tap.ko:\n"}),
			err: openError(syscall.ENOENT), want: "module-missing", advice: "linux-modules-extra"},
		{name: "no modules at all", tree: noModule, err: openError(syscall.ENOENT), want: "module-missing", advice: "CONFIG_TUN"},
		{name: "module format", tree: noModule.with(tree{"lib/modules/" + release + "/modules.dep": "kernel/drivers/net/tun.ko:\n"}),
			err:  fmt.Errorf("%w (modprobe: ERROR: could not insert 'tun': Exec format error)", openError(syscall.ENODEV)),
			want: "module-format", advice: "depmod -a"},

		{name: "OpenWrt with opkg", err: openError(syscall.ENOENT),
			tree: noModule.with(tree{"etc/openwrt_release": "DISTRIB_ID='OpenWrt'\nDISTRIB_RELEASE='23.05.2'\n", "bin/opkg": ""}),
			want: "openwrt-kmod-tun", advice: "opkg install kmod-tun", evidence: "23.05.2"},
		{name: "OpenWrt with apk", err: openError(syscall.ENOENT),
			tree: noModule.with(tree{"etc/os-release": "NAME=\"OpenWrt\"\nID=\"openwrt\"\nVERSION_ID=\"25.12.0\"\n", "usr/bin/apk": ""}),
			want: "openwrt-kmod-tun", advice: "apk add kmod-tun", evidence: "25.12.0"},
		{name: "vendor's OpenWrt", tree: noModule.with(tree{"etc/openwrt_release": ""}), err: openError(syscall.ENOENT),
			want: "openwrt-no-tun", advice: "userspace mode"},

		{name: "address there", tree: healthy, err: fmt.Errorf("add address: %w", syscall.EEXIST), want: "already-configured", advice: "success"},
		{name: "link down", tree: healthy, err: fmt.Errorf("write: %w", syscall.EIO), want: "link-down", advice: "ip link set tun0 up"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.ifname == "" {
				tt.ifname = "tun0"
			}
			s := tundev.System{GOOS: "linux", Root: tt.tree.fs(), Release: release, OpenErr: tt.open}
			found, _ := s.Diagnose(tt.ifname, tt.err)
			check(t, found, tt.want, tt.advice, tt.evidence)
		})
	}
}

// check compares the codes, looks for advice and evidence in the first, and
// for all codes in the package comment.
func check(t *testing.T, found []tundev.Finding, codes, advice, evidence string) {
	t.Helper()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range found {
		got = append(got, f.Code)
		if f.Code == "" || f.Cause == "" || f.Advice == "" || f.Evidence == "" {
			t.Errorf("incomplete: %+v", f)
		}
		if !bytes.Contains(doc, []byte("\t"+f.Code+" ")) {
			t.Errorf("doc.go does not list the code %s", f.Code)
		}
	}
	if strings.Join(got, " ") != codes {
		t.Fatalf("found %q, want %q", found, codes)
	}
	if len(found) > 0 && (!strings.Contains(found[0].Advice, advice) || !strings.Contains(found[0].Evidence, evidence)) {
		t.Errorf("found %v, want advice %q and evidence %q", found[0], advice, evidence)
	}
}

// Access is tested before modules are blamed, and the node is left alone when
// opening it would make the kernel load the driver.
func TestDiagnoseOpensOnlyWithADriver(t *testing.T) {
	s := tundev.System{GOOS: "linux", Root: healthy.with(docker).fs(), Release: release}
	found, opened := s.Diagnose("tun0", attachError(syscall.EPERM))
	if !opened {
		t.Error("did not open the node")
	}
	check(t, found, "security-policy", "kernel's log", "CapEff 000001ffffffffff")
	s.Root = noModule.fs()
	if _, opened := s.Diagnose("tun0", openError(syscall.ENODEV)); opened {
		t.Error("opened the node of a driver that is not there")
	}
}

func TestDiagnoseOtherSystems(t *testing.T) {
	tests := []struct {
		name, goos, ifname string
		err                error
		jailed             bool
		dll                bool
		want, advice       string
		evidence           string
	}{
		{name: "healthy", goos: "darwin", ifname: "utun"},
		{name: "unknown", goos: "darwin", ifname: "utun", err: errors.New("odd"), want: "unknown-cause", evidence: "odd; darwin"},
		{name: "files", goos: "darwin", ifname: "utun", err: syscall.EMFILE, want: "descriptor-limit"},
		{name: "bad name", goos: "darwin", ifname: "tun0", err: fs.ErrInvalid, want: "bad-name", advice: `"utun"`},
		{name: "busy", goos: "darwin", ifname: "utun3", err: syscall.EBUSY, want: "utun-busy", advice: "utun"},
		{name: "not root", goos: "darwin", ifname: "utun3", err: syscall.EPERM, want: "no-permission", advice: "root"},

		{name: "healthy", goos: "windows", ifname: "vpn"},
		{name: "unknown", goos: "windows", ifname: "vpn", err: errors.New("odd"), want: "unknown-cause", evidence: "odd; windows"},
		{name: "empty name", goos: "windows", err: syscall.Errno(87), want: "bad-name", advice: "give the interface a name"},
		{name: "late", goos: "windows", ifname: "vpn", err: tundev.ErrNotUp, want: "driver-slow", advice: "Device Manager"},
		{name: "not ready", goos: "windows", ifname: "vpn", err: syscall.Errno(21), want: "driver-slow"},
		{name: "exists", goos: "windows", ifname: "vpn", err: syscall.Errno(183), want: "leftover-adapter", advice: "another name"},
		{name: "file exists", goos: "windows", ifname: "vpn", err: syscall.Errno(80), want: "leftover-adapter"},
		{name: "no library", goos: "windows", ifname: "vpn", err: syscall.Errno(126), want: "wintun-missing",
			advice: "beside the program", evidence: `not in C:\vpn`},
		{name: "bad library", goos: "windows", ifname: "vpn", err: syscall.Errno(193), dll: true, want: "wintun-missing",
			advice: "of this architecture", evidence: `of the wrong architecture or damaged in C:\vpn`},
		{name: "no administrator", goos: "windows", ifname: "vpn", err: syscall.Errno(5), want: "no-permission", advice: "administrator"},

		{name: "healthy", goos: "freebsd", ifname: "tun0"},
		{name: "unknown", goos: "freebsd", ifname: "tun0", err: errors.New("odd"), want: "unknown-cause", evidence: "odd; freebsd"},
		{name: "jail", goos: "freebsd", ifname: "tun0", jailed: true, err: syscall.ENOENT, want: "jail-no-tun", advice: "devfs"},
		{name: "no module", goos: "freebsd", ifname: "tun0", err: syscall.ENOENT, want: "module-not-loaded", advice: "kldload"},
		{name: "left", goos: "freebsd", ifname: "tun0", err: errors.New("interface tun0 already exists"), want: "interface-left",
			advice: "ifconfig tun0 destroy"},
		{name: "not root", goos: "freebsd", ifname: "tun0", err: syscall.EPERM, want: "no-permission"},
		{name: "no node", goos: "openbsd", ifname: "tun9", err: syscall.ENOENT, want: "no-device-node", advice: "MAKEDEV tun9"},
		{name: "busy", goos: "openbsd", ifname: "tun0", err: syscall.EBUSY, want: "interface-left"},
		{name: "no node of any", goos: "openbsd", ifname: "tun", err: syscall.ENOENT, want: "no-device-node", advice: "MAKEDEV tun0"},
		{name: "bad name", goos: "openbsd", ifname: "utun0", err: fs.ErrInvalid, want: "bad-name", advice: `"tun"`},

		{name: "app", goos: "android", ifname: "tun0", err: errors.ErrUnsupported, want: "unsupported-system", advice: "descriptor"},
		{name: "unknown", goos: "plan9", ifname: "tun0", err: errors.ErrUnsupported, want: "unsupported-system"},
	}
	for _, tt := range tests {
		t.Run(tt.goos+"/"+tt.name, func(t *testing.T) {
			dir := fstest.MapFS{}
			if tt.dll {
				dir["wintun.dll"] = &fstest.MapFile{}
			}
			s := tundev.System{GOOS: tt.goos, Root: fstest.MapFS{}, Jailed: tt.jailed, DLLDirs: map[string]fs.FS{`C:\vpn`: dir}}
			err := tt.err
			if err != nil {
				err = fmt.Errorf("create %s: wrapped: %w", tt.ifname, err)
			}
			found, _ := s.Diagnose(tt.ifname, err)
			check(t, found, tt.want, tt.advice, tt.evidence)
		})
	}
}
