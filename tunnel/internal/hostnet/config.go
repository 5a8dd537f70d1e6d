package hostnet

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"strings"
)

// Config is what the host's network shall be. The zero value asks for an
// interface that is up, with an MTU and nothing else. Set keeps none of it.
type Config struct {
	Addresses []netip.Prefix // of the interface, with the length of its network
	MTU       int            // bytes; 0: the smallest of the endpoints' paths less Overhead
	Routes    []netip.Prefix // what goes into the tunnel; no host bits
	Table     Table          // where the routes go
	FwMark    uint32         // mark of the tunnel's own packets; 0: chosen where one is needed
	Endpoints []netip.AddrPort
	DNS       []netip.Addr // servers, asked before all others
	Search    []string     // search domains
}

// Table is a routing table as wg-quick's key Table says it: its number, or one
// of the two constants.
type Table int64

const (
	// TableAuto is the table main, and for a default route, or for both its
	// halves, a table of its own with the rules of a full tunnel.
	TableAuto Table = 0
	// TableOff makes no routes.
	TableOff Table = -1
)

// Overhead is what WireGuard adds to a packet, in bytes: 40 of IPv6, 8 of UDP,
// 32 of its own. It is 20 less over IPv4; wg-quick reckons with 80 as well, and
// so do the other ends.
const Overhead = 80

const (
	minMTU  = 68    // RFC 791 §3.2
	maxMTU  = 65535 // of a TUN, linux/if_tun.h
	minMTU6 = 1280  // RFC 8200 §5
)

// nameForm is what wg-quick takes for the name of an interface.
var nameForm = regexp.MustCompile(`^[a-zA-Z0-9_=+.][a-zA-Z0-9_=+.-]{0,14}$`)

func checkName(name string) error {
	if !nameForm.MatchString(name) || name == "." || name == ".." || name == "all" || name == "default" {
		return fmt.Errorf("%q cannot be the name of an interface: use 1 to 15 of letters, digits and _=+.-", name)
	}
	return nil
}

// validate refuses by name and position what the host cannot be given.
func (c *Config) validate() error {
	return errors.Join(
		each("address", c.Addresses, checkAddress),
		each("route", c.Routes, checkRoute),
		each("endpoint", c.Endpoints, checkEndpoint),
		each("DNS server", c.DNS, checkServer),
		each("search domain", c.Search, checkDomain),
		c.checkTwice(), c.checkMTU(), c.checkTable(), c.checkMark(),
	)
}

// each checks every one of values. Positions count from 1.
func each[T any](what string, values []T, check func(T) string) error {
	var errs []error
	for i, v := range values {
		if problem := check(v); problem != "" {
			errs = append(errs, fmt.Errorf("%s %d (%v): %s", what, i+1, v, problem))
		}
	}
	return errors.Join(errs...)
}

func checkAddress(p netip.Prefix) string {
	a := p.Addr()
	switch {
	case !p.IsValid():
		return "is not an address with a prefix length"
	case a.Is4In6():
		return fmt.Sprintf("is IPv4 in IPv6: write %s", a.Unmap())
	case a.IsUnspecified() || a.IsMulticast():
		return "cannot be the address of an interface"
	}
	return ""
}

// checkTwice refuses an IPv6 address that has two prefix lengths, of which the
// kernel takes one.
func (c *Config) checkTwice() error {
	for i, a := range c.Addresses {
		for j, b := range c.Addresses[:i] {
			if a.Addr().Is6() && a.Addr() == b.Addr() && a != b {
				return fmt.Errorf("address %d (%v): is address %d with another prefix length, and IPv6 has it once", i+1, a, j+1)
			}
		}
	}
	return nil
}

func checkRoute(p netip.Prefix) string {
	switch {
	case !p.IsValid():
		return "is not a prefix"
	case p.Addr().Is4In6():
		return "is IPv4 in IPv6: write it as IPv4"
	case p != p.Masked():
		return fmt.Sprintf("has host bits: write %s", p.Masked())
	}
	return ""
}

func checkEndpoint(e netip.AddrPort) string {
	if !e.IsValid() || e.Addr().IsUnspecified() || e.Port() == 0 {
		return "is not an address and a port"
	}
	return ""
}

func checkServer(a netip.Addr) string {
	if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
		return "cannot be the address of a server"
	}
	return ""
}

// domainForm is letters, digits, hyphens (RFC 1123 §2.1) and the underscores
// that are met. Search domains are written into files and command lines.
var domainForm = regexp.MustCompile(`^([a-zA-Z0-9_]([a-zA-Z0-9_-]{0,62})\.)*[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,62})\.?$`)

func checkDomain(d string) string {
	if len(strings.TrimSuffix(d, ".")) > 253 || !domainForm.MatchString(d) {
		return "is not a domain name"
	}
	return ""
}

func (c *Config) checkMTU() error {
	if c.MTU != 0 && (c.MTU < minMTU || c.MTU > maxMTU) {
		return fmt.Errorf("MTU %d: must be between %d and %d, or 0 to have it computed", c.MTU, minMTU, maxMTU)
	}
	return nil
}

func (c *Config) checkTable() error {
	if c.Table < TableOff || c.Table > math.MaxUint32 || int64(int(c.Table)) != int64(c.Table) {
		return fmt.Errorf("Table %d: must be auto, off, or a number between 1 and %d", c.Table, uint64(min(math.MaxUint32, math.MaxInt)))
	}
	return nil
}

// The tables that the kernel itself uses, linux/rtnetlink.h.
const (
	tableDefault = 253
	tableMain    = 254
	tableLocal   = 255
)

// checkMark refuses marks that cannot be the number of a full tunnel's table.
func (c *Config) checkMark() error {
	l := c.layout()
	switch {
	case len(l.marked) == 0:
		return nil
	case c.FwMark >= tableDefault && c.FwMark <= tableLocal:
		return fmt.Errorf("FwMark %d: a full tunnel keeps its routes in the table of that number, which is one of the kernel's own: choose another mark, such as 51820", c.FwMark)
	case int64(int(c.FwMark)) != int64(c.FwMark):
		return fmt.Errorf("FwMark %d: a full tunnel keeps its routes in the table of that number, which must be below %d", c.FwMark, math.MaxInt)
	}
	return nil
}
