package tundev

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"

	"tstun/internal/deverr"
)

// Windows error codes (winerror.h), as numbers so that the rules can be
// tested anywhere.
const (
	winFileNotFound  = syscall.Errno(2)
	winAccessDenied  = syscall.Errno(5)
	winNotReady      = syscall.Errno(21)
	winFileExists    = syscall.Errno(80)
	winModNotFound   = syscall.Errno(126)
	winBadExeFormat  = syscall.Errno(193)
	winAlreadyExists = syscall.Errno(183)
)

func isAny(err error, targets ...error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}

func (s system) darwin(err error) []Finding {
	switch {
	case deverr.Busy(err):
		return []Finding{{
			Code:     "utun-busy",
			Cause:    "another program has this utun, or an old one lingers after sleep or a quick restart",
			Advice:   `use the name "utun", which picks a free one`,
			Evidence: err.Error(),
		}}
	case errors.Is(err, fs.ErrPermission):
		return []Finding{notRoot("run as root (sudo); only root may make a utun", err)}
	}
	return nil
}

func notRoot(advice string, err error) Finding {
	return Finding{
		Code:     "no-permission",
		Cause:    "this user may not make interfaces",
		Advice:   advice,
		Evidence: err.Error(),
	}
}

func (s system) windows(err error) []Finding {
	switch {
	case isAny(err, winModNotFound, winFileNotFound, winBadExeFormat):
		return []Finding{s.wintunMissing(err)}
	case isAny(err, errNotUp, winNotReady):
		return []Finding{{
			Code:     "driver-slow",
			Cause:    "the Wintun driver did not bring the interface up in time",
			Advice:   "try again; if it stays so, look into the Device Manager for a Wintun adapter in error, and restart Windows",
			Evidence: err.Error(),
		}}
	case isAny(err, winAlreadyExists, winFileExists, fs.ErrExist):
		return []Finding{{
			Code:     "leftover-adapter",
			Cause:    "an adapter of that name is left from an unclean stop",
			Advice:   "remove it in the Device Manager under network adapters, or use another name",
			Evidence: err.Error(),
		}}
	case isAny(err, winAccessDenied, fs.ErrPermission):
		return []Finding{notRoot("run as administrator or as a service of the local system", err)}
	}
	return nil
}

// wintunMissing explains that the loader found no library. It looks in two
// directories, and never in the working directory.
func (s system) wintunMissing(err error) Finding {
	var evidence []string
	for _, d := range s.dllDirs {
		state := "not in "
		if _, statErr := fs.Stat(d.tree, "wintun.dll"); statErr == nil {
			state = "of the wrong architecture or damaged in "
		}
		evidence = append(evidence, state+d.path)
	}
	return Finding{
		Code:     "wintun-missing",
		Cause:    "wintun.dll cannot be loaded",
		Advice:   "put the wintun.dll of this architecture, from www.wintun.net, beside the program",
		Evidence: err.Error() + "; " + strings.Join(evidence, ", "),
	}
}

func (s system) bsd(name string, err error) []Finding {
	switch {
	case errors.Is(err, fs.ErrNotExist) && s.jailed:
		return []Finding{{
			Code:     "jail-no-tun",
			Cause:    "the jail has no /dev/tun",
			Advice:   "give the jail vnet and a devfs ruleset that unhides tun*: devfs rule add path 'tun*' unhide",
			Evidence: err.Error() + "; security.jail.jailed is 1",
		}}
	case errors.Is(err, fs.ErrNotExist) && s.goos == "freebsd":
		return []Finding{{
			Code:     "module-not-loaded",
			Cause:    "the kernel has no tun driver loaded",
			Advice:   "load it: kldload if_tuntap",
			Evidence: err.Error(),
		}}
	case isAny(err, fs.ErrNotExist, syscall.ENXIO):
		return []Finding{{
			Code:     "no-device-node",
			Cause:    "the device node of that unit is missing",
			Advice:   "make it: cd /dev && sh MAKEDEV " + unitOf(name),
			Evidence: err.Error(),
		}}
	case errors.Is(err, fs.ErrPermission):
		return []Finding{notRoot("run as root (doas, su); in a jail, give it vnet", err)}
	case deverr.Busy(err) || err != nil && strings.Contains(err.Error(), "already exists"):
		return []Finding{{
			Code:     "interface-left",
			Cause:    "the interface outlived the process that made it, or another process has it",
			Advice:   "use another name, or destroy it: ifconfig " + unitOf(name) + " destroy",
			Evidence: err.Error(),
		}}
	}
	return nil
}

// unitOf returns name, or an example if name stands for any unit.
func unitOf(name string) string {
	if name == "" || name == "tun" {
		return "tun0"
	}
	return name
}
