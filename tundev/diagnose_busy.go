package tundev

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"tstun/internal/deverr"
)

// Flags of linux/if_tun.h, as /sys/class/net/*/tun_flags shows them.
const (
	tunFlagTap        = 0x0002 // IFF_TAP
	tunFlagMultiQueue = 0x0100 // IFF_MULTI_QUEUE
	tunFlagPersist    = 0x0800 // IFF_PERSIST
)

// nameTaken explains EBUSY and EINVAL of TUNSETIFF: which interface has the name,
// and which process uses that.
func (s system) nameTaken(name string, err error) []Finding {
	busy, invalid := deverr.Busy(err), deverr.Unsupported(err)
	if !busy && !invalid || name == "" || strings.Contains(name, "%") {
		return nil
	}
	link := s.linkNamed(name)
	if f, other := otherKind(name, link); other {
		return []Finding{f}
	}
	if !busy {
		return nil
	}
	holders, hidden := s.holders(name)
	holders = likeliest(holders)
	found := holderFindings(name, holders)
	if link.flags&tunFlagPersist != 0 {
		found = append(found, Finding{
			Code:     "persistent-link",
			Cause:    name + " is a persistent interface, which outlives the programs that use it",
			Advice:   "stop its user, or use another name, or remove it: ip link delete " + name,
			Evidence: link.seen,
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

// linkFacts describes an interface. The zero value says that there is none.
type linkFacts struct {
	exists   bool
	hardware bool   // the loopback or a network card, which no advice tells to delete
	isTUN    bool   // a TUN or a TAP
	flags    uint64 // those of linux/if_tun.h that this file names
	seen     string // evidence
}

// linkNamed looks up the interface called name.
func (s system) linkNamed(name string) linkFacts {
	if s.links != nil {
		if l, known := s.links(name); known {
			return l
		}
	}
	dir := "sys/class/net/" + name
	if !s.exists(dir) {
		return linkFacts{}
	}
	flags, _ := strconv.ParseUint(s.read(dir+"/tun_flags"), 0, 32)
	return linkFacts{
		exists:   true,
		hardware: name == "lo" || s.exists(dir+"/device"),
		isTUN:    s.exists(dir + "/tun_flags"),
		flags:    flags,
		seen:     fmt.Sprintf("/%s exists, tun_flags %#x", dir, flags),
	}
}

// otherKind reports whether the interface is one that no TUN can attach to.
func otherKind(name string, l linkFacts) (Finding, bool) {
	kind := ""
	switch {
	case !l.exists:
		return Finding{}, false
	case !l.isTUN:
		kind = "not a TUN"
	case l.flags&tunFlagTap != 0:
		kind = "an Ethernet TAP"
	case l.flags&tunFlagMultiQueue != 0:
		kind = "a TUN made for several queues"
	default:
		return Finding{}, false
	}
	f := Finding{
		Code:     "name-taken",
		Cause:    "an interface called " + name + " exists and is " + kind,
		Advice:   "use another name",
		Evidence: l.seen,
	}
	if !l.hardware {
		f.Advice += ", or remove it: ip link delete " + name
	}
	return f, true
}

// holder is a descriptor that is attached to an interface.
type holder struct {
	pid, fd   string
	program   string
	namespace string // of its process, or "" if it is ours
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

// likeliest leaves out the processes of other network namespaces, unless there are
// no others. Each namespace has names of its own, so that theirs is most often
// another interface.
func likeliest(holders []holder) []holder {
	near := slices.DeleteFunc(slices.Clone(holders), func(h holder) bool { return h.namespace != "" && !h.self })
	if len(near) > 0 {
		return near
	}
	return holders
}

func holderFindings(name string, holders []holder) (found []Finding) {
	for _, h := range holders {
		f := Finding{
			Code:     "name-held",
			Cause:    fmt.Sprintf("process %s (%s) holds %s", h.pid, h.program, name),
			Advice:   "stop that process (kill " + h.pid + "), or use another name",
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
