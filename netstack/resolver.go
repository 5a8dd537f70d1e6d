package netstack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	defaultTimeout  = 5 * time.Second // resolv.conf(5), "timeout"
	defaultAttempts = 2               // resolv.conf(5), "attempts"
)

// Resolver looks up names with the DNS servers, search domains and hosts that
// the program gives it, and reads nothing of the system's. Its methods have
// the signatures and meanings of those of net.Resolver, of which it asks and
// judges as the form in Go does:
//
//   - Hosts is looked at first, then the servers in their order. A server that
//     does not answer, fails, refuses or only refers to others is followed by
//     the next one. NXDOMAIN and an answer without records are final.
//   - A name with a dot is tried as it is, then in the search domains; one
//     without a dot the other way round; one that ends with a dot only as it
//     is.
//   - Servers are asked by UDP (EDNS0, 1232 bytes), then by TCP if the answer
//     is truncated, and are to be recursive: aliases are followed within an
//     answer.
//
// Differences to package net:
//
//   - No server is asked for localhost and *.localhost (RFC 6761 §6.3). They are
//     what Hosts has as localhost: the stack's own addresses, if the program
//     wants that. Without it they are not found, for 127.0.0.1 and ::1 are the
//     system's, and a Stack, which has neither, would send to its peers.
//   - IPv6 addresses come before IPv4 addresses, or behind them if Dial cannot
//     open a UDP socket to the first IPv6 one, which sends nothing. The rest of
//     RFC 6724 is left out. Within a version the server's order stands.
//   - Records of an answer whose owner is neither the name that was asked for
//     nor an alias of it are ignored.
//   - LookupPort knows common services by itself.
//
// Errors are *net.DNSError. IsNotFound is set for a name that does not exist
// ("no such host") and for one without records of the type ("no records of
// this type"); IsTimeout when the last server asked did not answer; and
// IsTemporary for that, SERVFAIL and errors of sockets, which are wrapped, as
// is a context's: a closed Stack is net.ErrClosed.
//
// The zero value is not valid: Dial is required. All methods may be called
// from any goroutine. The fields may not be changed after the first lookup,
// which checks them, and a Resolver may not be copied then. A fault of theirs
// is the error of every lookup.
type Resolver struct {
	// Dial opens a connection to a server: a Stack's DialContext. network is
	// udp or tcp, address one of Servers. If what it returns for udp is not a
	// net.PacketConn, messages on it are framed as over TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Servers are recursive DNS servers, usually with port 53. Without any,
	// only Hosts and literal addresses are found, and other lookups fail with an
	// error that says so.
	Servers []netip.AddrPort
	// Search are the domains in which names without a final dot are looked up.
	Search []string
	// Hosts are the program's own names, as a hosts file has them. Upper and
	// lower case are the same, and so is a name with a final dot. LookupAddr
	// finds the names of an address. A name in Hosts has the addresses listed
	// alone, with none in the list it has no address.
	Hosts map[string][]netip.Addr
	// Timeout is for one question to one server, by UDP and by TCP each.
	// 0: 5 s.
	Timeout time.Duration
	// Attempts is how often all servers are asked. 0: 2.
	Attempts int

	once sync.Once
	own  settings // set by once
	bad  error    // set by once: a fault in the fields
}

// settings are a Resolver's fields as the lookups need them.
type settings struct {
	hosts    map[string][]netip.Addr // by key
	names    map[netip.Addr][]string // sorted
	search   []string                // with a final dot
	timeout  time.Duration
	attempts int
}

// settings checks the fields at the first call. name is for the error.
func (r *Resolver) settings(name string) (*settings, error) {
	r.once.Do(func() { r.own, r.bad = r.check() })
	if r.bad != nil {
		return nil, &net.DNSError{UnwrapErr: r.bad, Err: r.bad.Error(), Name: name}
	}
	return &r.own, nil
}

func (r *Resolver) check() (settings, error) {
	s := settings{timeout: r.Timeout, attempts: r.Attempts}
	switch {
	case r.Dial == nil:
		return s, errors.New("netstack: Resolver without Dial")
	case r.Timeout < 0:
		return s, fmt.Errorf("netstack: Resolver: timeout %v is negative", r.Timeout)
	case r.Attempts < 0:
		return s, fmt.Errorf("netstack: Resolver: %d attempts", r.Attempts)
	}
	if s.timeout == 0 {
		s.timeout = defaultTimeout
	}
	if s.attempts == 0 {
		s.attempts = defaultAttempts
	}
	for i, server := range r.Servers {
		if !server.IsValid() || server.Addr().IsUnspecified() || server.Port() == 0 {
			return s, fmt.Errorf("netstack: Resolver: server %d: %v is not an address and port", i, server)
		}
	}
	for i, domain := range r.Search {
		if !isDomainName(domain) {
			return s, fmt.Errorf("netstack: Resolver: search domain %d: %q is not a domain name", i, domain)
		}
		s.search = append(s.search, absolute(domain))
	}
	return s, s.index(r.Hosts)
}

// index makes the two directions of hosts.
func (s *settings) index(hosts map[string][]netip.Addr) error {
	s.hosts = make(map[string][]netip.Addr)
	s.names = make(map[netip.Addr][]string)
	spelling := make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		k := key(name)
		if !isDomainName(name) || k == "" {
			return fmt.Errorf("netstack: Resolver: hosts: %q is not a host name", name)
		}
		if other, ok := spelling[k]; ok {
			return fmt.Errorf("netstack: Resolver: hosts: %q and %q are the same name", other, name)
		}
		spelling[k] = name
		s.hosts[k] = []netip.Addr{}
		for i, a := range hosts[name] {
			if !a.IsValid() {
				return fmt.Errorf("netstack: Resolver: hosts: %q: address %d is not valid", name, i)
			}
			a = a.Unmap()
			s.hosts[k] = append(s.hosts[k], a)
			s.names[a] = append(s.names[a], hostName(name))
		}
	}
	return nil
}

// hostsOf returns the addresses that name has without a server; ok is false
// if servers are to be asked.
func (s *settings) hostsOf(name string) (addrs []netip.Addr, ok bool) {
	k := key(name)
	if addrs, ok := s.hosts[k]; ok {
		return addrs, true
	}
	if isLocalhost(k) {
		return s.hosts["localhost"], true
	}
	return nil, false
}

// noAddress is the error if none of hostsOf fits.
func noAddress(name string) *net.DNSError {
	if isLocalhost(key(name)) {
		return dnsError(errLocalhost, name, "")
	}
	return dnsError(errNoData, name, "")
}
