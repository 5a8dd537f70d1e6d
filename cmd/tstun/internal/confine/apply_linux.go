package confine

import (
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"

	"tstun/tunnel"
)

func apply(c *Config) (Report, error) {
	if why := c.unbounded(); why != "" {
		return Report{Why: why, Capabilities: held()}, nil
	}
	// On all threads. landlock asks for it, and it holds programs that are
	// started to the capabilities of this one, also root's.
	if _, err := cap.Prctlw(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return Report{}, os.NewSyscallError("prctl", err)
	}
	n := c.needs()
	r, err := restrict(n)
	if err != nil {
		return r, err
	}
	r.Capabilities, err = reduce(c.capabilities(), n)
	return r, err
}

// unbounded says why nobody can tell what the process will do, or nothing.
func (c *Config) unbounded() string {
	if n := c.Tunnel.Hooks.Len(); n > 0 {
		return "the file's hooks may do anything"
	}
	if c.Mode == tunnel.ModeKernel && len(c.Tunnel.DNS)+len(c.Tunnel.SearchDomains) > 0 && c.manager() == "resolvconf" {
		return "resolvconf runs the scripts of other programs at the end, which may do anything (systemd-resolved runs none)"
	}
	return ""
}

// resolvedDir is there while systemd-resolved runs.
const resolvedDir = "/run/systemd/resolve"

// manager returns the program that takes DNS servers, as the engine chooses it,
// or nothing if it takes none.
func (c *Config) manager() string {
	if _, err := os.Stat(resolvedDir); err == nil && has("resolvectl") {
		return "resolvectl"
	}
	for _, name := range []string{"resolvconf", "resolvectl"} {
		if has(name) {
			return name
		}
	}
	return ""
}

func has(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// capabilities returns what the network needs: netlink, nftables and marks
// (CAP_NET_ADMIN), and UDP sockets that are opened again when the interface
// comes up or the port changes.
func (c *Config) capabilities() (caps []cap.Value) {
	if c.Mode == tunnel.ModeKernel || c.Tunnel.FwMark != 0 {
		caps = append(caps, cap.NET_ADMIN)
	}
	if p := c.Tunnel.ListenPort; p != 0 && p < 1024 { // net.ipv4.ip_unprivileged_port_start
		caps = append(caps, cap.NET_BIND_SERVICE)
	}
	return caps
}

// needs are the files that the process has to do with.
type needs struct {
	read  []string // directories, and what is in them; files
	write []string // directories whose files are made, written and removed
	clear []string // directories whose files are removed
	set   []string // files that are written
	run   []string // directories of programs and their libraries
	dials bool
}

func (c *Config) needs() *needs {
	n := &needs{dials: c.Dials}
	for _, file := range []string{c.File, c.Tunnel.Policy, c.Tunnel.Audit} {
		n.read = append(n.read, around(file)...)
	}
	n.read = append(n.read, "/proc", "/usr/share/zoneinfo", "/etc/localtime")
	n.read = append(n.read, c.resolverFiles()...)
	for _, socket := range c.Sockets {
		n.clear = append(n.clear, filepath.Dir(socket))
	}
	if c.Mode == tunnel.ModeKernel {
		c.needsOfKernel(n)
	}
	return n
}

// around returns a file with the directories in which it is replaced: the one
// that it is named in and the one that it is in. A rule is about an inode, so
// that one for the file alone would not hold for its successor.
func around(file string) []string {
	if file == "" || file == "-" {
		return nil
	}
	paths := []string{file, filepath.Dir(file)}
	if real, err := filepath.EvalSymlinks(file); err == nil {
		paths = append(paths, filepath.Dir(real))
	}
	if paths[1] == os.Getenv("CREDENTIALS_DIRECTORY") { // which systemd replaces as a whole
		paths = append(paths, filepath.Dir(paths[1]))
	}
	return paths
}

// resolvConf is resolv.conf(5).
const resolvConf = "/etc/resolv.conf"

// resolverFiles returns what is read to find a name, or a service's port. If
// names are looked up and resolv.conf is no link, it is all of /etc: the file is
// replaced when the host moves to another network.
func (c *Config) resolverFiles() []string {
	files := []string{"/etc/hosts", "/etc/nsswitch.conf", "/etc/services", "/etc/protocols", "/etc/host.conf", "/etc/gai.conf", resolvConf}
	real, err := filepath.EvalSymlinks(resolvConf)
	if dir := filepath.Dir(real); err == nil && (dir != "/etc" || c.looksUp()) {
		files = append(files, dir)
	}
	return files
}

// looksUp reports whether the host's resolver is asked.
func (c *Config) looksUp() bool {
	for i := range c.Tunnel.Peers {
		if hasName(c.Tunnel.Peers[i].Endpoint) {
			return true
		}
	}
	return c.Mode == tunnel.ModeKernel && c.Dials
}

// needsOfKernel adds what hostnet and the UAPI socket need in kernel mode.
func (c *Config) needsOfKernel(n *needs) {
	state := c.Tunnel.StateDir
	if state == "" {
		state = tunnel.DefaultStateDir
	}
	n.write = append(n.write, state)
	n.clear = append(n.clear, "/var/run/wireguard")
	n.set = append(n.set, "/proc/sys/net/ipv4/conf/all/src_valid_mark", "/dev/null")
	name := c.manager()
	if name == "" {
		return
	}
	n.read = append(n.read, "/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/resolvconf")
	n.run = append(n.run, "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/gnu/store")
	if path, err := exec.LookPath(name); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			n.run = append(n.run, filepath.Dir(path), filepath.Dir(real))
		}
	}
}
