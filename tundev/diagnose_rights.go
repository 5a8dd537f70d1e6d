package tundev

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"
)

// credentials are those of the calling thread in /proc. The zero value stands for
// unknown ones.
type credentials struct {
	known               bool
	uid                 string // effective
	effective, bounding uint64 // capabilities
	permitted           uint64
	noNewPrivs          bool
	text                string // of CapEff, as evidence
}

const netAdmin = 1 << capNetAdmin

func (s system) credentials() (c credentials) {
	status := s.read("proc/thread-self/status")
	set := func(key string, otherwise uint64) uint64 {
		v, err := strconv.ParseUint(field(status, key), 16, 64)
		if err != nil {
			return otherwise
		}
		return v
	}
	c.text = field(status, "CapEff:")
	c.known = c.text != ""
	c.effective = set("CapEff:", 0)
	c.permitted = set("CapPrm:", 0)
	c.bounding = set("CapBnd:", ^uint64(0))
	c.noNewPrivs = field(status, "NoNewPrivs:") == "1"
	if uids := strings.Fields(field(status, "Uid:")); len(uids) > 1 {
		c.uid = uids[1]
	}
	return c
}

// rights explains EPERM of TUNSETIFF, once the node can be opened.
func (s system) rights(name string, err error) []Finding {
	c := s.credentials()
	switch {
	case err != nil && !errors.Is(err, fs.ErrPermission) || !c.known:
		return nil
	case c.effective&netAdmin == 0:
		return []Finding{s.noNetAdmin(name, c)}
	case s.isForeign() && err != nil:
		return []Finding{{
			Code:     "foreign-network-namespace",
			Cause:    "this process has CAP_NET_ADMIN in its user namespace, which does not own the network namespace",
			Advice:   ownNamespace + ", or use userspace mode",
			Evidence: "CapEff " + c.text + "; " + s.userNamespace(),
		}}
	case err != nil:
		return []Finding{s.policy(err.Error() + "; CapEff " + c.text)}
	}
	return nil
}

// ownNamespace starts a program in a network namespace of its own. Without the
// mapping the program would lose its capabilities when it starts.
const ownNamespace = "start it with a network namespace of its own: unshare --user --map-root-user --net PROGRAM"

// isForeign reports whether the capabilities of this process do not count in the
// network namespace.
func (s system) isForeign() bool {
	if s.foreign != nil {
		if foreign, known := s.foreign(); known {
			return foreign
		}
	}
	return s.userNamespace() != ""
}

func (s system) noNetAdmin(name string, c credentials) Finding {
	f := Finding{
		Code:     "no-net-admin",
		Cause:    "this process lacks CAP_NET_ADMIN, without which nobody makes interfaces",
		Advice:   s.grant(name, c) + "; or use userspace mode, which needs no rights",
		Evidence: "/dev/net/tun opens; CapEff " + c.text,
	}
	if why := s.container(); why != "" {
		f.Evidence += "; in a container: " + why
	}
	return f
}

// alsoGrant returns the advice that lets the process make interfaces, to be added
// to another one, or "" if it can make them.
func (s system) alsoGrant(name string) string {
	switch c := s.credentials(); {
	case !c.known:
		return ""
	case c.effective&netAdmin == 0:
		return "; and for CAP_NET_ADMIN, which is missing too: " + s.grant(name, c)
	case s.isForeign():
		return "; and since the network namespace is another user namespace's: " + ownNamespace
	}
	return ""
}

// grant returns the advice that lets the process make interfaces on this system.
func (s system) grant(name string, c credentials) string {
	program := s.link("proc/self/exe")
	handOver := "have root make the interface for this user, and use its name: ip tuntap add dev " +
		exampleName(name) + " mode tun user " + c.uid
	switch {
	case c.permitted&netAdmin != 0:
		return "make the capability effective again (capset), which this process itself gave up"
	case s.container() != "" && (c.bounding&netAdmin == 0 || c.uid == "0" || c.uid == ""):
		return "start the container with --cap-add NET_ADMIN, and the program as its root"
	case c.bounding&netAdmin == 0:
		return "start it where CAP_NET_ADMIN is not taken out of the bounding set (CapabilityBoundingSet= in systemd), or " + handOver
	case s.userNamespace() != "":
		return ownNamespace
	case c.noNewPrivs:
		return "start it without no_new_privs (NoNewPrivileges=no in systemd, allowPrivilegeEscalation: true in Kubernetes) as root, or " + handOver
	case program != "" && s.mountOf(program).has("nosuid"):
		return "run it as root, or with AmbientCapabilities=CAP_NET_ADMIN in systemd (file capabilities do nothing on the nosuid mount of " +
			program + "), or " + handOver
	}
	if program == "" {
		program = "PROGRAM"
	}
	return "run it as root, or with AmbientCapabilities=CAP_NET_ADMIN in systemd, or as root: setcap cap_net_admin+ep " + program
}

// container returns what shows that the process is in a container, or "" if
// nothing does.
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

// userNamespace returns what shows that the process is not in the first user
// namespace, or "" if nothing does.
func (s system) userNamespace() string {
	text := s.read("proc/thread-self/uid_map")
	f := strings.Fields(text)
	if len(f) == 0 && s.exists("proc/thread-self/uid_map") {
		return "user namespace without a uid map"
	}
	if len(f) == 0 || len(f) == 3 && f[0] == "0" && f[1] == "0" && f[2] == "4294967295" {
		return ""
	}
	return "user namespace with uid map " + quoted(strings.Join(f, " "))
}
