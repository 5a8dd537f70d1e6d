package tundev

import (
	"io/fs"
	"time"

	"golang.zx2c4.com/wireguard/tun"

	"tstun/logger"
)

// Insides that tests in package tundev_test reach.

var (
	CheckName = checkName
	ErrNotUp  = errNotUp
)

// NewCloseGuard is the package's around a device that takes no offset below need.
func NewCloseGuard(inner tun.Device, need int) tun.Device {
	g := newCloseGuard(inner, nil, nil)
	g.need = need
	return g
}

// Headroom is what wireguard-go's device needs on a system.
var Headroom = headroom

// Retry runs retry.do against the given clock.
func Retry(now func() time.Time, sleep func(time.Duration), limit, pause, maxPause time.Duration, again func(error) bool, f func() error) error {
	r := retry{clock{now, sleep}, limit, pause, maxPause}
	return r.do(logger.Discard, again, f)
}

// WaitUp runs waitUp.do against the given clock.
func WaitUp(logf logger.Logf, now func() time.Time, sleep func(time.Duration), limit, every, logEvery time.Duration, state func() (bool, string, error)) error {
	return waitUp{clock{now, sleep}, limit, every, logEvery}.do(logf, state)
}

// System describes a system to Diagnose.
type System struct {
	GOOS    string
	Root    fs.FS
	Release string
	OpenErr error // of opening /dev/net/tun
	Jailed  bool
	DLLDirs map[string]fs.FS
}

// Diagnose is the package's, of a described system. opened tells whether the
// node was opened.
func (s System) Diagnose(name string, err error) (found []Finding, opened bool) {
	sys := system{
		goos:    s.GOOS,
		root:    s.Root,
		release: s.Release,
		open:    func(string) error { opened = true; return s.OpenErr },
		rdev:    thisSystem().rdev,
		owner:   thisSystem().owner,
		jailed:  s.Jailed,
	}
	for path, tree := range s.DLLDirs {
		sys.dllDirs = append(sys.dllDirs, dllDir{path, tree})
	}
	found = sys.diagnose(name, err)
	return found, opened
}

// DiagnoseHere is Diagnose of this system, taken for no container: an advice for
// those cannot be followed from within.
func DiagnoseHere(name string, err error) []Finding {
	s := thisSystem()
	s.root = noContainer{s.root}
	return s.diagnose(name, err)
}

// noContainer is a file tree without what marks a container.
type noContainer struct{ fs.FS }

func (t noContainer) Stat(name string) (fs.FileInfo, error) {
	if name == ".dockerenv" || name == "run/.containerenv" || name == "run/systemd/container" {
		return nil, fs.ErrNotExist
	}
	return fs.Stat(t.FS, name)
}

func (t noContainer) ReadFile(name string) ([]byte, error) {
	if name == "proc/1/environ" {
		return nil, fs.ErrNotExist
	}
	return fs.ReadFile(t.FS, name)
}

func (t noContainer) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(t.FS, name) }
func (t noContainer) ReadLink(name string) (string, error)       { return fs.ReadLink(t.FS, name) }
func (t noContainer) Lstat(name string) (fs.FileInfo, error)     { return fs.Lstat(t.FS, name) }

// SharedTAP is TAP for an Ethernet with several stations.
func SharedTAP(dev tun.Device) tun.Device {
	t := newTAP(dev)
	t.stations = newStations()
	return t
}

// MaxStations is how many addresses a SharedTAP remembers.
const MaxStations = maxStations

// Remembered returns how many addresses, questions and packets a SharedTAP holds.
func Remembered(dev tun.Device) (known, asked, held int) {
	s := dev.(*tap).stations
	return len(s.known), len(s.asked), len(s.held)
}
