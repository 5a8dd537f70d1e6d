//go:build !linux

package demo

import "tstun/cmd/tstun/internal/ui"

// newKernelHosts returns an error: only Linux has network namespaces.
func (d *demo) newKernelHosts() error {
	return ui.Failf("leave out --tun; the demo does the same without it", "--tun is for Linux")
}
