package tundev

import (
	"fmt"
	"io/fs"
	"strings"
)

// facts is what the system is like, for whoever reads a report of an error.
func (s system) facts() string {
	text := strings.TrimSpace(s.goos + " " + s.release)
	if s.goos != "linux" {
		return text
	}
	status := s.read("proc/thread-self/status")
	all := []string{
		text,
		s.nodeFacts(),
		"driver " + s.driverFacts(),
		"uid " + known(field(status, "Uid:")),
		"CapEff " + known(field(status, "CapEff:")) + ", CapBnd " + known(field(status, "CapBnd:")) +
			", NoNewPrivs " + known(field(status, "NoNewPrivs:")) + ", Seccomp " + known(field(status, "Seccomp:")),
		"network " + known(s.link("proc/thread-self/ns/net")) + ", user " + known(s.link("proc/thread-self/ns/user")) +
			" with uid map " + known(s.read("proc/thread-self/uid_map")),
		"cgroup " + known(s.read("proc/self/cgroup")),
	}
	if list, _ := s.deviceList(); list != "" {
		all = append(all, list+" "+known(s.read(list[1:])))
	}
	if why := s.container(); why != "" {
		all = append(all, why)
	}
	return strings.Join(all, "; ")
}

func (s system) nodeFacts() string {
	info, err := fs.Stat(s.root, tunNode)
	if err != nil {
		return "node: " + err.Error()
	}
	major, minor, _ := s.rdev(info)
	uid, gid, _ := s.owner(info)
	return fmt.Sprintf("node %v %d:%d, owner %d:%d", info.Mode(), major, minor, uid, gid)
}

func (s system) driverFacts() string {
	switch {
	case s.driver():
		return "there"
	case !s.exists("proc/misc") && !s.exists("sys/class/misc"):
		return "not known"
	}
	return "absent"
}

// known puts a text on one line, or says that there is none.
func known(text string) string {
	if text == "" {
		return "not known"
	}
	return strings.Join(strings.Fields(text), " ")
}
