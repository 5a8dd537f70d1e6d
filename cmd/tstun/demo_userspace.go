package main

import (
	"tstun"
	"tstun/netstack"
)

// newUserspaceHost gives the node a network stack in this process.
func newUserspaceHost(n *node) error {
	n.wrapper = tstun.Wrap(nil, tstun.NewFake())
	n.host.name = "userspace stack"
	if err := n.prepare(); err != nil {
		return err
	}
	s, err := netstack.New(n.wrapper, netstack.Config{Addrs: n.addrs()})
	if err != nil {
		return err
	}
	n.net = s
	return nil
}
