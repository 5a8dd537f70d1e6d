package demo

import (
	"net/netip"

	"tstun/tunnel"
)

// newUserspaceHosts gives each node a network stack in this process.
func (d *demo) newUserspaceHosts() error {
	for _, n := range d.nodes() {
		n.host, n.at = inProcess{}, netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return nil
}

// inProcess is the host of a node in userspace.
type inProcess struct{}

func (inProcess) do(f func() error) error { return f() }

func (inProcess) configure(c *tunnel.Config) { c.Mode = tunnel.ModeUserspace }

func (inProcess) network(t *tunnel.Tunnel) network { return t.Stack() }

func (inProcess) close() error { return nil }
