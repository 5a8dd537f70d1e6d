package netstack

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"tstun/filter"
)

// Defaults of Forward.
const (
	// DefaultOpening is how many TCP connections may wait for their handlers'
	// answers.
	DefaultOpening = 1024
	// DefaultSessions is how many UDP sessions there may be.
	DefaultSessions = 2048
	// DefaultIdle is how long a UDP session may be idle: the least that
	// RFC 4787 §4.3 (REQ-5) asks of a NAT.
	DefaultIdle = 2 * time.Minute
	// DefaultDNSIdle is the same for port 53: twice what resolv.conf(5) has a
	// resolver wait.
	DefaultDNSIdle = 10 * time.Second
)

// Forward says which packets from peers to other addresses than the stack's
// own go to handlers of the program. All others go on to the device behind the
// Wrapper, and so do those to the addresses of Config.Host. The stack's own
// addresses are never forwarded, nor is what the host sends.
//
// Datagrams in fragments are put together. A fragment has no port unless it is
// the first of its datagram, so the others are taken by address alone: where
// some UDP ports of an address are forwarded, large datagrams to its other
// ports are lost.
type Forward struct {
	// Rules are the addresses and ports. Of several rules for a packet, the
	// first counts.
	Rules []ForwardRule
	// Ping, if not nil, is asked whether an echo request to an address in
	// Rules is to be answered, at most 1,000 times a second and 256 at once,
	// and of no peer more than three times as often as is left for others.
	// ctx ends after 5 s. Where Ping is nil, echo requests go to the device.
	Ping func(ctx context.Context, to netip.Addr) bool
	// Opening bounds the TCP connections whose handlers have not answered
	// yet. One more is refused with a reset and counted with ReasonForward. A
	// peer has at most three times as many as are free for others. 0:
	// DefaultOpening.
	Opening int
	// Sessions bounds the UDP sessions. A peer has at most three times as many
	// as are free for others; another one replaces that of its own which is
	// idle for longest, or nearly so. If it has none, its datagram is dropped
	// and counted with ReasonForward. 0: DefaultSessions.
	Sessions int
	// Idle is how long a UDP session lives without a datagram in either
	// direction. 0: DefaultIdle, and DefaultDNSIdle for port 53.
	Idle time.Duration
}

// ForwardRule is a set of addresses and ports, and who serves them. Handlers
// run in a goroutine of their own for each connection or session.
type ForwardRule struct {
	// Prefixes are the destination addresses: at least one. A prefix with bits
	// behind its length is refused.
	Prefixes []netip.Prefix
	// Ports are the destination ports. None: all.
	Ports []filter.PortRange
	// TCP and UDP serve a connection or session. Nil: this protocol is not
	// forwarded.
	TCP func(*TCPRequest)
	UDP func(*UDPRequest)
}

// withDefaults returns f with its zero fields replaced, but for Idle.
func (f Forward) withDefaults() Forward {
	f.Opening = orDefault(f.Opening, DefaultOpening)
	f.Sessions = orDefault(f.Sessions, DefaultSessions)
	return f
}

func (f *Forward) check() error {
	switch {
	case len(f.Rules) == 0:
		return errors.New("forward: no rules")
	case f.Opening < 0:
		return fmt.Errorf("forward: opening is %d", f.Opening)
	case f.Sessions < 0:
		return fmt.Errorf("forward: sessions is %d", f.Sessions)
	case f.Idle < 0:
		return fmt.Errorf("forward: idle is %v", f.Idle)
	}
	for i := range f.Rules {
		if err := f.Rules[i].check(f.Ping != nil); err != nil {
			return fmt.Errorf("forward: rule %d: %w", i, err)
		}
	}
	return nil
}

func (r *ForwardRule) check(pings bool) error {
	if len(r.Prefixes) == 0 {
		return errors.New("no prefixes")
	}
	if r.TCP == nil && r.UDP == nil && !pings {
		return errors.New("neither TCP nor UDP is forwarded")
	}
	for i, p := range r.Prefixes {
		if err := checkPrefix(p); err != nil {
			return fmt.Errorf("prefix %d: %w", i, err)
		}
	}
	for i, p := range r.Ports {
		if p.First > p.Last || p.Last == 0 {
			return fmt.Errorf("ports %d: %v is not a range", i, p)
		}
	}
	return nil
}

// idle returns how long a session to the port may be idle.
func (f *Forward) idle(port uint16) time.Duration {
	const dns = 53 // RFC 1035 §4.2
	switch {
	case f.Idle != 0:
		return f.Idle
	case port == dns:
		return DefaultDNSIdle
	}
	return DefaultIdle
}
