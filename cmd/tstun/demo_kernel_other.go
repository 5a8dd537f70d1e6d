//go:build !linux

package main

func (d *demo) newKernelHosts() error {
	return failf("leave out --tun; the demo does the same without it", "--tun is for Linux")
}
