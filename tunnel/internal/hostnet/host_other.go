//go:build !linux

package hostnet

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"syscall"

	"tstun/logger"
)

type host struct {
	name string
}

// unsupported is what every method returns.
func unsupported() error {
	return fmt.Errorf("addresses, routes and DNS are set on Linux alone, and this is %s: set them by hand: %w", runtime.GOOS, errors.ErrUnsupported)
}

func (*host) open(string, string, logger.Logf) error { return unsupported() }
func (*host) mark(*Config) (uint32, error)           { return 0, unsupported() }
func (*host) set(*Config) ([]Warning, error)         { return nil, unsupported() }
func (*host) close() error                           { return nil }
func nameservers() []netip.AddrPort                  { return nil }
func markSocket(syscall.RawConn, uint32) error       { return nil }
func pathMTU(syscall.RawConn) int                    { return 0 }
func dontFragment(syscall.RawConn) error             { return nil }

func (*host) wayTo(netip.Addr, netip.Addr) (Way, error) { return Way{}, unsupported() }
func (*host) listeners(string, uint16) ([]netip.Addr, error) {
	return nil, unsupported()
}
