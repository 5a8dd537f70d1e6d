//go:build !linux

package main

import "tstun/cmd/tstun/internal/ui"

func (d *demo) newKernelHosts() error {
	return ui.Failf("leave out --tun; the demo does the same without it", "--tun is for Linux")
}
