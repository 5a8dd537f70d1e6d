// Package netns makes anonymous network namespaces (network_namespaces(7)):
// one per privileged test, and two for the demo that runs over real
// interfaces. A namespace has no name and no mount point: it lives as long as
// its NS is open or something runs in it, so a crash leaves nothing behind.
//
// Only Linux has them. Elsewhere every error is errors.ErrUnsupported.
package netns

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os/exec"
)

// NS is a network namespace with its loopback interface up. Its methods may be
// called from any goroutine until Close. Make one with Create or New.
type NS struct {
	handle
}

// Create makes a network namespace, which needs CAP_SYS_ADMIN. The caller
// closes it.
func Create() (*NS, error) {
	h, err := create()
	if err != nil {
		return nil, fmt.Errorf("create network namespace: %w", err)
	}
	return &NS{h}, nil
}

// Close lets go of the namespace. The kernel removes it, with the interfaces
// in it, soon after the last process, socket and TUN of it are gone. A second
// Close does nothing.
func (n *NS) Close() error { return n.close() }

// Do runs f in the namespace: on the calling goroutine, whose thread is
// switched for the time being. Sockets and TUNs that f opens belong to the
// namespace for good; goroutines that f starts run outside it.
func (n *NS) Do(f func() error) error { return n.do(f) }

// Start starts cmd in the namespace. The file systems stay those of the
// caller, so /sys/class/net shows the caller's interfaces.
func (n *NS) Start(cmd *exec.Cmd) error { return n.Do(cmd.Start) }

// Exec runs a program in the namespace until it ends or ctx is done, and
// returns what it wrote to stdout and stderr, which is also in the error.
func (n *NS) Exec(ctx context.Context, name string, args ...string) ([]byte, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := n.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return out.Bytes(), fmt.Errorf("%s: %w\n%s", cmd, err, out.Bytes())
	}
	return out.Bytes(), nil
}

// LinkUp brings the interface up.
func (n *NS) LinkUp(name string) error { return n.linkUp(name) }

// LinkDown takes the interface down.
func (n *NS) LinkDown(name string) error { return n.linkDown(name) }

// AddAddr gives the interface the address and the route of its prefix. An
// IPv6 address can be used at once: duplicate detection is off for it.
func (n *NS) AddAddr(name string, prefix netip.Prefix) error { return n.addAddr(name, prefix) }

// AddRoute sends what goes to prefix through the interface.
func (n *NS) AddRoute(name string, prefix netip.Prefix) error { return n.addRoute(name, prefix) }

// Links returns the names of the namespace's interfaces, loopback included.
func (n *NS) Links() ([]string, error) { return n.links() }

// Connect makes a pair of Ethernet interfaces, name in n and peerName in peer,
// both up. What goes into one comes out of the other. The pair goes with the
// first of the two namespaces.
func (n *NS) Connect(name string, peer *NS, peerName string) error {
	return n.connect(name, peer, peerName)
}

// MoveLink moves the interface to another namespace, where it is down and
// has no addresses.
func (n *NS) MoveLink(name string, to *NS) error { return n.moveLink(name, to) }
