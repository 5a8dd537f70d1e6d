package tundev

import (
	"bytes"
	"io/fs"
	"path"
	"strings"
)

// system gives Diagnose access to a system. Tests make systems of any kind.
type system struct {
	goos    string
	root    fs.FS                   // the tree under /, empty where nothing is read
	release string                  // of the running kernel, as uname -r prints it
	open    func(path string) error // opens for reading and writing and closes at once
	rdev    func(info fs.FileInfo) (major, minor uint32, ok bool)
	owner   func(info fs.FileInfo) (uid, gid uint32, ok bool)
	limits  func() (soft, hard uint64, ok bool) // of descriptors; may be nil
	// foreign reports whether the thread's network namespace belongs to another
	// user namespace than its own, in which its capabilities do not count. nil, or
	// not known: as a user namespace suggests.
	foreign func() (foreign, known bool)
	// links looks an interface up in the thread's network namespace. /sys may show
	// another's. nil, or not known: /sys.
	links   func(name string) (l linkFacts, known bool)
	jailed  bool // FreeBSD
	dllDirs []dllDir
}

// dllDir is a place where Windows looks for wintun.dll.
type dllDir struct {
	path string
	tree fs.FS
}

func (s system) diagnose(name string, err error) []Finding {
	found := s.causes(name, err)
	if err == nil {
		return found
	}
	if len(found) == 0 {
		found = []Finding{unknown(err)}
	}
	f := &found[0]
	if !strings.Contains(f.Evidence, err.Error()) {
		f.Evidence = err.Error() + "; " + f.Evidence
	}
	f.Evidence += "; " + s.facts()
	return found
}

// causes returns the findings for the causes that it recognises.
func (s system) causes(name string, err error) []Finding {
	if bad := checkName(s.goos, name); bad != nil {
		return []Finding{s.badName(name, bad)}
	}
	if f, ok := s.anySystem(name, err); ok {
		return []Finding{f}
	}
	switch s.goos {
	case "linux":
		return s.linux(name, err)
	case "darwin":
		return s.darwin(err)
	case "windows":
		return s.windows(err)
	case "freebsd", "openbsd":
		return s.bsd(name, err)
	}
	return s.noCreation()
}

func (s system) badName(name string, bad error) Finding {
	advice := map[string]string{
		"darwin":  `use the name "utun", which picks a free one, or "utun" and a number`,
		"openbsd": `use the name "tun", which picks a free one, or "tun" and a number`,
		"windows": `give the interface a name, for example "tunnel"`,
	}[s.goos]
	if advice == "" {
		advice = `use another name, such as "tun0": at most 15 bytes of letters and digits`
	}
	return Finding{"bad-name", "the system takes no interface of that name", advice, "name " + quoted(name) + ": " + bad.Error()}
}

func (s system) noCreation() []Finding {
	return []Finding{{
		Code:     "unsupported-system",
		Cause:    "programs cannot make a TUN on this system",
		Advice:   "take over the descriptor that the system's VPN service hands out, or use userspace mode",
		Evidence: "operating system " + s.goos,
	}}
}

func quoted(s string) string { return `"` + s + `"` }

// read returns the contents of a file without the white space around it, or "" if
// the file cannot be read.
func (s system) read(name string) string {
	b, err := fs.ReadFile(s.root, name)
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(b))
}

func (s system) exists(name string) bool {
	_, err := fs.Stat(s.root, name)
	return err == nil
}

// field returns the value behind key, as in "CapEff:\t0000" or "ID=openwrt",
// from a text of such lines.
func field(text, key string) string {
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(line, key); found {
			return strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	return ""
}

// entries returns the names in a directory, or none if it cannot be read.
func (s system) entries(dir string) (names []string) {
	list, err := fs.ReadDir(s.root, dir)
	if err != nil {
		return nil
	}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// link returns the target of a symbolic link, or "" if it cannot be read.
func (s system) link(elem ...string) string {
	target, err := fs.ReadLink(s.root, path.Join(elem...))
	if err != nil {
		return ""
	}
	return target
}
