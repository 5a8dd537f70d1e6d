package confine

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// reduce leaves all threads the capabilities of want that the process has, and
// of those that pass over the mode of files the ones without which n cannot be
// done, as the files may be another user's. It returns the names of what is
// left.
func reduce(want []cap.Value, n *needs) ([]string, error) {
	was := cap.GetProc()
	permitted := among(was, slices.Concat(want, []cap.Value{cap.DAC_OVERRIDE, cap.DAC_READ_SEARCH, cap.SETPCAP}))
	want = among(was, want)
	if err := setAll(permitted, want); err != nil { // n is looked at without them
		return nil, err
	}
	want = append(want, among(was, n.overrides())...)
	if err := dropBound(permitted, want); err != nil {
		return nil, err
	}
	return names(want), setAll(want, want)
}

// among returns those of values that a process has.
func among(has *cap.Set, values []cap.Value) (both []cap.Value) {
	for _, v := range values {
		if ok, err := has.GetFlag(cap.Permitted, v); ok && err == nil {
			both = append(both, v)
		}
	}
	return both
}

// setAll sets the capabilities of all threads. What they start inherits none.
func setAll(permitted, effective []cap.Value) error {
	s := cap.NewSet()
	if err := s.SetFlag(cap.Permitted, true, permitted...); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	if err := s.SetFlag(cap.Effective, true, effective...); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	if err := s.SetProc(); err != nil { // the ambient ones go with the inheritable
		return fmt.Errorf("set capabilities to %s: %w", s, err)
	}
	return nil
}

// dropBound takes from what the process starts all but the capabilities to keep,
// if it has the right to.
func dropBound(permitted, keep []cap.Value) error {
	if !slices.Contains(permitted, cap.SETPCAP) {
		return nil
	}
	if err := setAll(permitted, permitted); err != nil {
		return err
	}
	for v := range cap.MaxBits() {
		if !slices.Contains(keep, v) {
			if err := cap.DropBound(v); err != nil {
				return fmt.Errorf("drop %s: %w", v, err)
			}
		}
	}
	return nil
}

// overrides returns the capabilities without which something that n names is
// out of reach.
func (n *needs) overrides() (caps []cap.Value) {
	if slices.ContainsFunc(n.read, func(path string) bool { return closed(path, unix.R_OK) }) {
		caps = append(caps, cap.DAC_READ_SEARCH)
	}
	changed := slices.Concat(n.write, n.clear)
	if slices.ContainsFunc(changed, func(path string) bool { return closed(path, unix.W_OK) }) {
		caps = append(caps, cap.DAC_OVERRIDE)
	}
	return caps
}

// closed reports whether the mode of a path keeps the process out. Landlock does
// not count in it.
func closed(path string, mode uint32) bool {
	return unix.Faccessat(unix.AT_FDCWD, path, mode, unix.AT_EACCESS) == unix.EACCES
}

// held returns the names of the capabilities that the process has.
func held() []string {
	all := make([]cap.Value, 0, cap.MaxBits())
	for v := range cap.MaxBits() {
		all = append(all, v)
	}
	return names(among(cap.GetProc(), all))
}

// names returns capabilities as people write them: net_admin.
func names(values []cap.Value) (all []string) {
	for _, v := range values {
		all = append(all, strings.TrimPrefix(v.String(), "cap_"))
	}
	return all
}
