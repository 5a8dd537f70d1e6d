package tunnel

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.zx2c4.com/wireguard/device"
)

// controlDir is where wg(8) looks for the sockets of devices that are not the
// kernel's (https://www.wireguard.com/xplatform/).
const controlDir = "/var/run/wireguard"

// listenControl lets wg(8) see and set the WireGuard device of a tunnel in
// kernel mode. That it cannot is a warning: the tunnel goes without.
func (t *Tunnel) listenControl(context.Context) error {
	if t.mode != ModeKernel {
		return nil
	}
	path := filepath.Join(controlDir, t.now().Name+".sock")
	l, err := listenPrivately(path)
	if err != nil {
		t.warn(fmt.Sprintf("wg(8) does not see the tunnel: %v", err))
		return nil
	}
	s := &control{tunnel: t, listener: l, conns: make(map[net.Conn]bool)}
	s.running.Go(s.serve)
	t.atClose("remove "+path, func() error { return errors.Join(os.Remove(path), s.close()) })
	return nil
}

// listenPrivately listens on a socket at path that its owner alone may use, also
// in its first moment. It takes the place of one that nobody listens on.
func listenPrivately(path string) (*net.UnixListener, error) {
	if c, err := net.Dial("unix", path); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("another process listens on %s", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".new-") // of mode 0700
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	inside := filepath.Join(dir, "sock")
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

// control answers wg(8).
type control struct {
	tunnel   *Tunnel
	listener *net.UnixListener
	running  sync.WaitGroup

	mu     sync.Mutex // guards what is below
	conns  map[net.Conn]bool
	closed bool
}

// serve accepts connections until the listener is closed.
func (s *control) serve() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.closed {
			_ = c.Close()
		} else {
			s.conns[c] = true
			s.running.Go(func() { s.handle(c) })
		}
		s.mu.Unlock()
	}
}

func (s *control) handle(c net.Conn) {
	r := bufio.NewReader(c)
	for s.answer(r, c) == nil {
	}
	_ = c.Close()
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
}

// close ends all connections, and waits for what serves them.
func (s *control) close() error {
	err := s.listener.Close()
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
	return err
}

// maxRequest bounds what one operation may say, in bytes: ten times a device of
// 10,000 peers with ten allowed IPs each.
const maxRequest = 64 << 20

var errProtocol = errors.New("not WireGuard's configuration protocol")

// answer reads and answers one operation of the configuration protocol. An error
// ends the connection.
func (s *control) answer(r *bufio.Reader, w io.Writer) error {
	operation, err := readLine(r)
	if err != nil {
		return err
	}
	text, err := readRequest(r)
	if err != nil {
		return err
	}
	var out strings.Builder
	switch operation {
	case "get=1":
		err = s.tunnel.wg.IpcGetOperation(&out)
	case "set=1":
		err = s.tunnel.setByUser(text)
	default:
		return errProtocol
	}
	fmt.Fprintf(&out, "errno=%d\n\n", errno(err))
	_, err = io.WriteString(w, out.String())
	return err
}

// errno returns an error's number in the protocol, or 0 without an error.
func errno(err error) int64 {
	var ipc *device.IPCError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &ipc):
		return ipc.ErrorCode()
	}
	return 1 // EPERM: what the protocol has no number for
}

// readLine returns a line without its end.
func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n') // of at most 4096 bytes
	return strings.TrimSuffix(string(line), "\n"), err
}

// readRequest returns the lines up to an empty one.
func readRequest(r *bufio.Reader) (string, error) {
	var all strings.Builder
	for {
		line, err := readLine(r)
		if err != nil {
			return "", err
		}
		if line == "" {
			return all.String(), nil
		}
		if all.Len() > maxRequest {
			return "", errProtocol
		}
		all.WriteString(line + "\n")
	}
}
