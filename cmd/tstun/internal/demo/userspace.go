package demo

import (
	"fmt"

	"tstun"
	"tstun/netstack"
)

// newUserspaceHosts gives each node a network stack in this process.
func (d *demo) newUserspaceHosts() error {
	for _, n := range d.nodes() {
		if err := newUserspaceHost(n); err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
	}
	return nil
}

func newUserspaceHost(n *node) error {
	n.wrapper = tstun.Wrap(nil, tstun.NewFake())
	n.host.name = "userspace stack"
	if err := n.configureWrapper(); err != nil {
		return err
	}
	s, err := netstack.New(n.wrapper, netstack.Config{Addrs: n.addrs()})
	if err != nil {
		return err
	}
	n.net = s
	return nil
}
