package tundev

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"syscall"
)

// Flags of linux/if_tun.h, as /sys/class/net/*/tun_flags shows them.
const (
	tunFlagTap        = 0x0002 // IFF_TAP
	tunFlagMultiQueue = 0x0100 // IFF_MULTI_QUEUE
	tunFlagPersist    = 0x0800 // IFF_PERSIST
)

// faults are the errors that say what they mean wherever they come from.
func (s system) faults(name string, err error) []Finding {
	switch {
	case errors.Is(err, syscall.EEXIST):
		return []Finding{{
			Code:     "already-configured",
			Cause:    "the interface existed before and has its address or route already",
			Advice:   "nothing: treat it as success",
			Evidence: err.Error(),
		}}
	case errors.Is(err, syscall.EIO):
		return []Finding{{
			Code:     "link-down",
			Cause:    "the kernel takes no packets because the link is down",
			Advice:   "bring it up: ip link set " + name + " up; the device goes on by itself",
			Evidence: err.Error(),
		}}
	}
	return nil
}

// taken explains EBUSY and EINVAL of TUNSETIFF: who has the name, and what is
// it.
func (s system) taken(name string, err error) []Finding {
	busy, invalid := errors.Is(err, syscall.EBUSY), errors.Is(err, syscall.EINVAL)
	if !busy && !invalid || name == "" || strings.Contains(name, "%") {
		return nil
	}
	if f, other := s.otherKind(name); other {
		return []Finding{f}
	}
	if !busy {
		return nil
	}
	holders, hidden := s.holders(name)
	found := holderFindings(name, holders)
	if s.tunFlags(name)&tunFlagPersist != 0 {
		found = append(found, Finding{
			Code:     "persistent-link",
			Cause:    name + " is a persistent interface, which outlives the programs that use it",
			Advice:   "stop its user, or remove it: ip link delete " + name,
			Evidence: fmt.Sprintf("/sys/class/net/%s/tun_flags is %#x", name, s.tunFlags(name)),
		})
	}
	if len(found) == 0 {
		found = []Finding{{
			Code:     "name-busy",
			Cause:    "something holds " + name + " that this process cannot see",
			Advice:   "look as root on the host, or use another name",
			Evidence: fmt.Sprintf("%v; %d processes could not be looked into", err, hidden),
		}}
	}
	return found
}

// otherKind recognises an interface of that name which no TUN can attach to.
func (s system) otherKind(name string) (Finding, bool) {
	kind := ""
	flags := s.tunFlags(name)
	switch {
	case !s.exists("sys/class/net/" + name):
		return Finding{}, false
	case !s.exists("sys/class/net/" + name + "/tun_flags"):
		kind = "not a TUN"
	case flags&tunFlagTap != 0:
		kind = "an Ethernet TAP"
	case flags&tunFlagMultiQueue != 0:
		kind = "a TUN made for several queues"
	default:
		return Finding{}, false
	}
	return Finding{
		Code:     "name-taken",
		Cause:    "an interface called " + name + " exists and is " + kind,
		Advice:   "use another name, or remove it: ip link delete " + name,
		Evidence: fmt.Sprintf("/sys/class/net/%s exists, tun_flags %#x", name, flags),
	}, true
}

func (s system) tunFlags(name string) uint64 {
	flags, err := strconv.ParseUint(s.read("sys/class/net/"+name+"/tun_flags"), 0, 32)
	if err != nil {
		return 0
	}
	return flags
}

// holder is a descriptor that is attached to an interface.
type holder struct {
	pid, fd   string
	program   string
	namespace string // of its process, when it is another than ours
	self      bool
}

// holders looks through the descriptors of all processes. The kernel names
// the interface in fdinfo, on a line "iff:" (drivers/net/tun.c).
func (s system) holders(name string) (found []holder, hidden int) {
	own, self := s.link("proc/thread-self/ns/net"), s.link("proc/self")
	for _, pid := range s.entries("proc") {
		if _, err := strconv.Atoi(pid); err != nil {
			continue
		}
		dir := path.Join("proc", pid)
		list, err := fs.ReadDir(s.root, dir+"/fd")
		if errors.Is(err, fs.ErrPermission) {
			hidden++
		}
		for _, e := range list {
			if !strings.HasSuffix(s.link(dir, "fd", e.Name()), "/net/tun") ||
				field(s.read(path.Join(dir, "fdinfo", e.Name())), "iff:") != name {
				continue
			}
			h := holder{pid: pid, fd: e.Name(), program: s.read(dir + "/comm"), self: pid == self}
			if ns := s.link(dir, "ns/net"); ns != own {
				h.namespace = ns
			}
			found = append(found, h)
		}
	}
	return found, hidden
}

func holderFindings(name string, holders []holder) (found []Finding) {
	for _, h := range holders {
		f := Finding{
			Code:     "name-held",
			Cause:    fmt.Sprintf("process %s (%s) holds %s", h.pid, h.program, name),
			Advice:   "stop that process, or use another name",
			Evidence: fmt.Sprintf("/proc/%s/fdinfo/%s has iff: %s", h.pid, h.fd, name),
		}
		switch {
		case h.self:
			f.Code = "name-held-here"
			f.Cause = fmt.Sprintf("this process itself holds %s, by a device not closed or a descriptor that it inherited", name)
			f.Advice = "close the device first, or make descriptors close-on-exec in the parent"
		case h.namespace != "":
			f.Code = "other-namespace"
			f.Cause += ", from another network namespace"
			f.Evidence += "; /proc/" + h.pid + "/ns/net is " + h.namespace
		}
		found = append(found, f)
	}
	return found
}
