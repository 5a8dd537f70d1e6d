package tundev

import (
	"errors"
	"fmt"
	"strings"

	"tstun/internal/deverr"
)

// anySystem explains the errors that have one cause, whatever system and function
// they come from.
func (s system) anySystem(name string, err error) (f Finding, ok bool) {
	var badName *nameError
	var badMTU mtuError
	switch {
	case errors.As(err, &badName):
		return s.badName(name, err), true
	case errors.As(err, &badMTU):
		return Finding{
			Code:     "bad-mtu",
			Cause:    "no interface has an MTU of that many bytes",
			Advice:   fmt.Sprintf("use an MTU of 1280 to %d bytes, or 0 for the system's own", maxMTU),
			Evidence: err.Error(),
		}, true
	case deverr.ProcessFileLimit(err), deverr.SystemFileLimit(err):
		return s.descriptorLimit(err), true
	case deverr.NoMemory(err):
		return Finding{
			Code:     "out-of-memory",
			Cause:    "the kernel has no memory left for it",
			Advice:   "free memory, or raise the memory limit of the container or service, and try again",
			Evidence: err.Error(),
		}, true
	case deverr.Closed(err):
		return Finding{
			Code:     "device-closed",
			Cause:    "the device was closed, or its interface was deleted under it",
			Advice:   "make a new device",
			Evidence: err.Error(),
		}, true
	case s.goos == "linux" && deverr.Exists(err):
		return Finding{
			Code:     "already-configured",
			Cause:    "the interface existed before and has its address or route already",
			Advice:   "nothing: treat it as success",
			Evidence: err.Error(),
		}, true
	case s.goos == "linux" && deverr.LinkDown(err):
		return Finding{
			Code:     "link-down",
			Cause:    "the kernel takes no packets because the link is down",
			Advice:   "bring it up: ip link set " + exampleName(name) + " up; the device goes on by itself",
			Evidence: err.Error(),
		}, true
	}
	return Finding{}, false
}

// exampleName returns name, or an example if the system picks the name.
func exampleName(name string) string {
	if name == "" || strings.Contains(name, "%") {
		return "tun0"
	}
	return name
}

// descriptorLimit explains EMFILE, the limit of the process, and ENFILE, that of
// the system. It looks at little else, since that takes a descriptor.
func (s system) descriptorLimit(err error) Finding {
	f := Finding{
		Code:     "descriptor-limit",
		Cause:    "this process has as many files open as it may",
		Advice:   "close some, or raise the limit before the program starts, by who may: LimitNOFILE=65536 in systemd, --ulimit nofile=65536 in Docker, ulimit -n 65536 in a shell of root's; a device takes about ten",
		Evidence: err.Error(),
	}
	if deverr.SystemFileLimit(err) {
		f.Cause = "the system has as many files open as it may"
		f.Advice = "look for a program that leaks descriptors, or raise the limit: sysctl -w fs.file-max=2097152"
		return f
	}
	if s.limits == nil {
		return f
	}
	if soft, hard, ok := s.limits(); ok {
		f.Evidence += fmt.Sprintf("; the limit is %d, at most %d without more rights", soft, hard)
	}
	return f
}

// unknown is the finding for an error that nothing explains.
func unknown(err error) Finding {
	return Finding{
		Code:     "unknown-cause",
		Cause:    "the system refuses it, for a reason that is not known here",
		Advice:   "look into the system's log for what the driver says, and show this line to whoever knows the system; userspace mode needs no TUN",
		Evidence: err.Error(),
	}
}
