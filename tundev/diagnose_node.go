package tundev

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"tstun/internal/deverr"
)

const makeNode = "mkdir -p /dev/net && mknod /dev/net/tun c 10 200 && chmod 666 /dev/net/tun"

// node reports what is wrong with /dev/net/tun, when the kernel has the driver.
func (s system) node(name string) (found []Finding, usable bool) {
	info, err := fs.Stat(s.root, tunNode)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return []Finding{s.closedDirectory(name, err)}, false
	case err != nil:
		return []Finding{s.noNode(name, err)}, false
	}
	if major, minor, ok := s.rdev(info); !ok || major != tunMajor || minor != tunMinor {
		return []Finding{{
			Code:     "wrong-device-node",
			Cause:    "/dev/net/tun is not the TUN device",
			Advice:   "replace it, as root: " + s.remount() + "rm -rf /dev/net/tun && " + makeNode + s.alsoGrant(name),
			Evidence: fmt.Sprintf("mode %v, device %d:%d, wanted a character device 10:200", info.Mode(), major, minor),
		}}, false
	}
	switch err := s.open("/" + tunNode); {
	case err == nil:
		return nil, true
	case errors.Is(err, syscall.EACCES):
		return []Finding{s.nodeMode(name, info, err)}, false
	case errors.Is(err, syscall.EPERM):
		return []Finding{s.deviceCgroup(name, err)}, false
	case deverr.ProcessFileLimit(err), deverr.SystemFileLimit(err):
		return []Finding{s.descriptorLimit(err)}, false
	default:
		return []Finding{{
			Code:     "node-unusable",
			Cause:    "/dev/net/tun cannot be opened although the driver is there",
			Advice:   "look into the kernel log for what the driver says",
			Evidence: err.Error(),
		}}, false
	}
}

func (s system) noNode(name string, err error) Finding {
	f := Finding{
		Code:     "no-device-node",
		Cause:    "the kernel has the TUN driver, but there is no device node",
		Advice:   "make it, as root: " + s.remount() + makeNode + s.alsoGrant(name),
		Evidence: err.Error(),
	}
	switch why := s.container(); {
	case why != "":
		f.Advice = "pass the device to the container: --device /dev/net/tun --cap-add NET_ADMIN, and run the program as its root"
		f.Evidence += "; in a container: " + why
	case s.userNamespace() != "":
		// mknod(2) takes the capability of the first user namespace.
		f.Advice = "outside the user namespace, as root: " + s.remount() + makeNode + s.alsoGrant(name)
		f.Evidence += "; " + s.userNamespace()
	}
	return f
}

// closedDirectory explains a node that a directory hides.
func (s system) closedDirectory(name string, err error) Finding {
	return Finding{
		Code:     "node-directory",
		Cause:    "a directory on the way to /dev/net/tun keeps this user out",
		Advice:   "run as root, or as root: chmod a+rx /dev /dev/net && chmod 666 /dev/net/tun" + s.alsoGrant(name),
		Evidence: err.Error(),
	}
}

// nodeMode explains EACCES: the file system or the mode of the node forbids to
// open it, or root of an unprivileged container is not its owner.
func (s system) nodeMode(name string, info fs.FileInfo, err error) Finding {
	uid, gid, _ := s.owner(info)
	evidence := fmt.Sprintf("%v; mode %v, owner %d:%d", err, info.Mode().Perm(), uid, gid)
	chmod := s.remount() + "chmod 666 /dev/net/tun" + s.alsoGrant(name)
	switch m := s.mountOf("/" + tunNode); {
	case m.has("nodev"):
		return Finding{
			Code:     "node-nodev",
			Cause:    "the file system that /dev/net/tun is on is mounted so that devices do not work",
			Advice:   "as root: mount -o remount,dev " + m.point + " && chmod 666 /dev/net/tun" + s.alsoGrant(name),
			Evidence: evidence + "; " + m.String(),
		}
	case info.Mode().Perm()&0o006 == 0o006:
		return s.policy(evidence)
	case s.synology():
		return Finding{
			Code:     "synology-node-mode",
			Cause:    "DSM resets the mode of /dev/net/tun at each boot",
			Advice:   "add a boot task, run by root, in the Task Scheduler: " + chmod + "; until then only root, or userspace mode, works",
			Evidence: evidence + "; Synology DSM " + s.synologyVersion(),
		}
	case s.userNamespace() != "":
		return Finding{
			Code:     "unprivileged-container",
			Cause:    "the user that this container's root is mapped to may not open /dev/net/tun",
			Advice:   "on the host, as root: " + chmod + ", or let the container own the node",
			Evidence: evidence + "; " + s.userNamespace(),
		}
	}
	return Finding{
		Code:     "node-mode",
		Cause:    "owner and mode of /dev/net/tun keep this user out",
		Advice:   "run as root, or as root: " + chmod,
		Evidence: evidence,
	}
}

// policy explains a refusal that neither modes nor capabilities explain.
func (s system) policy(evidence string) Finding {
	status := s.read("proc/thread-self/status")
	return Finding{
		Code:   "security-policy",
		Cause:  "modes and capabilities allow it; a security module or a seccomp filter does not",
		Advice: "look for the refusal in the kernel's log (journalctl -k, dmesg) and allow TUN in that policy, or use userspace mode",
		Evidence: fmt.Sprintf("%s; Seccomp %s, security modules %s, label %s", evidence, field(status, "Seccomp:"),
			s.read("sys/kernel/security/lsm"), s.read("proc/thread-self/attr/current")),
	}
}

// alsoNode returns the advice that makes the node once the driver is there, or ""
// if there is a node. Without udev or devtmpfs the driver makes none.
func (s system) alsoNode() string {
	if s.exists(tunNode) {
		return ""
	}
	return "; if /dev/net/tun does not appear: " + s.remount() + makeNode
}

// mount is a line of /proc/self/mountinfo.
type mount struct {
	point   string
	kind    string
	options []string
}

func (m mount) has(option string) bool {
	return slices.Contains(m.options, option)
}

func (m mount) String() string {
	return m.kind + " on " + m.point + " with " + strings.Join(m.options, ",")
}

// mountOf returns the mount that holds the absolute path, or the zero mount if it
// is not known (proc_pid_mountinfo(5)).
func (s system) mountOf(path string) (found mount) {
	for line := range strings.Lines(s.read("proc/thread-self/mountinfo")) {
		f := strings.Fields(line)
		if len(f) < 6 || len(f[4]) < len(found.point) || !within(path, f[4]) {
			continue
		}
		found = mount{point: f[4], options: strings.Split(f[5], ",")}
		if _, rest, ok := strings.Cut(line, " - "); ok {
			found.kind, _, _ = strings.Cut(rest, " ")
		}
	}
	return found
}

func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// remount returns the command that makes the file system of the node writable and
// lets devices work there, or "" if both are so. Other commands may follow it.
func (s system) remount() string {
	m := s.mountOf("/" + tunNode)
	switch {
	case m.has("ro") && m.has("nodev"):
		return "mount -o remount,rw,dev " + m.point + " && "
	case m.has("ro"):
		return "mount -o remount,rw " + m.point + " && "
	case m.has("nodev"):
		return "mount -o remount,dev " + m.point + " && "
	}
	return ""
}
