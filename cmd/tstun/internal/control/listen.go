package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// ErrRuns is that a tunnel of the same name runs already.
var ErrRuns = errors.New("runs already")

// listen makes the socket of a tunnel in a directory that is this user's alone.
// It takes the place of one that nobody listens on.
func listen(dir, name string) (*net.UnixListener, string, error) {
	path, err := pathOf(dir, name)
	if err != nil {
		return nil, "", err
	}
	if err := makeDir(dir); err != nil {
		return nil, "", err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, "", err
	}
	defer lock.Close()
	if c, err := dial(path); err == nil {
		defer c.Close()
		who, _ := peerOf(c)
		return nil, "", fmt.Errorf("tunnel %s %w%s", name, ErrRuns, asProcess(who.pid))
	}
	l, err := bind(dir, path)
	return l, path, err
}

// asProcess returns a process as part of a sentence.
func asProcess(pid int) string {
	if pid == 0 {
		return ""
	}
	return fmt.Sprintf(" as process %d", pid)
}

// bind makes a socket that its owner alone may use, also in its first moment.
func bind(dir, path string) (*net.UnixListener, error) {
	private, err := os.MkdirTemp(dir, ".") // of mode 0700
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(private) }()
	inside := filepath.Join(private, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: inside, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(inside, 0o600), os.Rename(inside, path)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// dialTimeout is how long who listens may take to accept, which the kernel does
// in its place unless the queue is full.
const dialTimeout = 2 * time.Second

func dial(path string) (*net.UnixConn, error) {
	c, err := net.DialTimeout("unix", path, dialTimeout)
	if err != nil {
		return nil, err
	}
	return c.(*net.UnixConn), nil
}
