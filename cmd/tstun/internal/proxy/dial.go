package proxy

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"
)

const (
	attemptDelay = 250 * time.Millisecond // RFC 8305 §5
	maxAddrs     = 16                     // of a name, that are tried
)

// route opens connections over a Network to the destinations that check
// allows.
type route struct {
	network Network
	check   func(netip.Addr) error // nil: all are allowed
	timeout time.Duration          // to resolve and to connect
}

// dial opens a connection to the first address of to.Host that answers.
// network is "tcp" or "udp".
func (r route) dial(ctx context.Context, network string, to Endpoint) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	addrs, err := r.resolve(ctx, to.Host)
	if err != nil {
		return nil, err
	}
	return r.dialFirst(ctx, network, addrs, to.Port)
}

// resolve returns the addresses of host that may be dialled, at least one.
func (r route) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return r.allowed(host, []netip.Addr{ip})
	}
	addrs, err := r.network.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	return r.allowed(host, addrs)
}

func (r route) allowed(host string, addrs []netip.Addr) ([]netip.Addr, error) {
	var refusal error = &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	var left []netip.Addr
	for _, a := range addrs {
		if r.check != nil {
			if err := r.check(a); err != nil {
				refusal = err
				continue
			}
		}
		left = append(left, a.Unmap())
	}
	if len(left) == 0 {
		return nil, refusal
	}
	left = interleave(left)
	return left[:min(len(left), maxAddrs)], nil
}

// interleave takes addresses of both IP versions by turns, so that one that
// does not work delays the other by one attempt. RFC 8305 §4.
func interleave(addrs []netip.Addr) []netip.Addr {
	first, second := make([]netip.Addr, 0, len(addrs)), []netip.Addr(nil)
	for _, a := range addrs {
		if a.Is4() == addrs[0].Is4() {
			first = append(first, a)
		} else {
			second = append(second, a)
		}
	}
	for i, a := range second {
		first = slices.Insert(first, min(2*i+1, len(first)), a)
	}
	return first
}

type attempt struct {
	conn net.Conn
	err  error
}

// dialFirst starts an attempt for one address after the other, the next when
// the last has failed or has had its time, and returns the first connection.
func (r route) dialFirst(ctx context.Context, network string, addrs []netip.Addr, port uint16) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan attempt, len(addrs))
	due := time.NewTimer(0)
	defer due.Stop()
	var errs []error
	for started := 0; len(errs) < len(addrs); {
		start := due.C
		if started == len(addrs) {
			start = nil
		}
		select {
		case <-start:
			to := netip.AddrPortFrom(addrs[started], port).String()
			go func() {
				c, err := r.network.DialContext(ctx, network, to)
				results <- attempt{c, err}
			}()
			started++
			due.Reset(attemptDelay)
		case got := <-results:
			if got.err == nil {
				cancel()
				discard(results, started-len(errs)-1)
				return got.conn, nil
			}
			errs = append(errs, got.err)
			due.Reset(0)
		}
	}
	return nil, errors.Join(errs...)
}

// discard waits for n attempts that came too late, and closes what they opened.
func discard(results <-chan attempt, n int) {
	for range n {
		if late := <-results; late.err == nil {
			late.conn.Close()
		}
	}
}
