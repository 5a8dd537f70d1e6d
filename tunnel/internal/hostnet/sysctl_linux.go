package hostnet

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// srcValidMark makes the kernel's test of where a packet comes from (rp_filter)
// respect the mark, Documentation/networking/ip-sysctl.rst. It is one for the
// whole namespace, so that the last interface to need it restores it.
const srcValidMark = "/proc/sys/net/ipv4/conf/all/src_valid_mark"

func readSysctl(path string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}

func writeSysctl(path string, value int) error {
	return os.WriteFile(path, []byte(strconv.Itoa(value)), 0)
}

// setSrcValidMark sets it for a full tunnel of IPv4. Where it cannot be written,
// as in a container, it matters only if sources are tested strictly.
func (s *setting) setSrcValidMark() error {
	if !s.layout.isFull(false) {
		return nil
	}
	now, err := readSysctl(srcValidMark)
	if err != nil {
		return err
	}
	if err := s.noteSrcValidMark(now); err != nil || now == 1 {
		return err
	}
	err = s.do(func() error { return writeSysctl(srcValidMark, 1) }, "set net.ipv4.conf.all.src_valid_mark to 1")
	if err != nil && strictInterface() != "" {
		s.warnf(WarnReversePath, "net.ipv4.conf.all.src_valid_mark cannot be set to 1 (%v), and rp_filter is strict on %s: the kernel may drop what the endpoints send. Set it from outside (of a container: --sysctl net.ipv4.conf.all.src_valid_mark=1).", err, strictInterface())
	}
	return nil
}

// noteSrcValidMark notes the value that is to be restored: before the first
// interface set it.
func (s *setting) noteSrcValidMark(now int) error {
	if s.state.SrcValidMark != nil {
		return nil
	}
	return s.journal.exclusive(func(others []state) error {
		old := now
		for _, o := range others {
			if o.SrcValidMark != nil {
				old = *o.SrcValidMark
			}
		}
		s.state.SrcValidMark = &old
		return s.save()
	})
}

// restoreSrcValidMark restores the old value, unless another interface needs
// the new one, or somebody has set a third.
func (h *host) restoreSrcValidMark() error {
	if h.state.SrcValidMark == nil {
		return nil
	}
	return h.journal.exclusive(func(others []state) error {
		old := *h.state.SrcValidMark
		now, err := readSysctl(srcValidMark)
		if err != nil {
			return err
		}
		needed := now == old
		for _, o := range others {
			needed = needed || o.SrcValidMark != nil
		}
		if !needed {
			if err := h.do(func() error { return writeSysctl(srcValidMark, old) }, "set net.ipv4.conf.all.src_valid_mark back to %d", old); err != nil {
				return err
			}
		}
		h.state.SrcValidMark = nil
		return h.save()
	})
}

// strictInterface names an interface, or all, on which rp_filter is strict, or
// is empty. The larger of an interface's and all's counts.
func strictInterface() string {
	const conf = "/proc/sys/net/ipv4/conf/"
	if all, err := readSysctl(conf + "all/rp_filter"); err == nil && all != 0 {
		return map[int]string{1: "all"}[all]
	}
	paths, _ := filepath.Glob(conf + "*/rp_filter")
	for _, path := range paths {
		name := filepath.Base(filepath.Dir(path))
		if n, err := readSysctl(path); err == nil && n == 1 && name != "default" {
			return name
		}
	}
	return ""
}
