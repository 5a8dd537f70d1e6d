package up

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"

	"tstun/cmd/tstun/internal/proxy"
	"tstun/tunnel"
)

// servers are the proxies and forwards of a tunnel.
type servers struct {
	log     log
	opened  []*server
	running sync.WaitGroup
	failed  chan error // the first that failed
}

// server serves one socket.
type server struct {
	what   string // for people
	addr   net.Addr
	socket io.Closer
	serve  func(context.Context, through) error // closes the socket
}

// openServers opens the sockets of the host, all or none. They are served once
// there is a tunnel: a port that is taken keeps it from being started.
func openServers(o *Options, c proxy.Credentials, l log) (*servers, error) {
	s := &servers{log: l, failed: make(chan error, 1)}
	if err := s.openHost(o, c); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *servers) openHost(o *Options, c proxy.Credentials) error {
	for _, at := range o.SOCKS5 {
		if err := s.openListener("SOCKS5", "--socks5", at, func(ctx context.Context, n through, l net.Listener) error {
			return (&proxy.SOCKS5{Network: n, Credentials: c, AllowOpen: o.AllowOpenProxy, Logf: s.log.Logf}).Serve(ctx, l)
		}); err != nil {
			return err
		}
	}
	for _, at := range o.HTTP {
		if err := s.openListener("HTTP proxy", "--http-proxy", at, func(ctx context.Context, n through, l net.Listener) error {
			return (&proxy.HTTP{Network: n, Credentials: c, AllowOpen: o.AllowOpenProxy, Logf: s.log.Logf}).Serve(ctx, l)
		}); err != nil {
			return err
		}
	}
	if err := s.openMetrics(o.Metrics); err != nil {
		return err
	}
	for _, r := range o.Forward {
		if err := s.openForward("--forward", r, proxy.Host{}, func(n through) proxy.Network { return n }); err != nil {
			return err
		}
	}
	return nil
}

// openExposed opens the ports of the tunnel. In kernel mode they are at the
// tunnel's own addresses: the host's others are no business of the peers.
func (s *servers) openExposed(n through, rules []proxy.Rule) error {
	toHost := func(through) proxy.Network { return proxy.Host{} }
	status := n.Status()
	for _, r := range rules {
		if status.Mode == tunnel.ModeUserspace {
			if err := s.openForward("--expose", r, n, toHost); err != nil {
				return err
			}
			continue
		}
		for _, a := range status.Addresses {
			r.Listen.Host = a.Addr().String()
			if err := s.openForward("--expose", r, n, toHost); err != nil {
				return err
			}
		}
	}
	return nil
}

// openListener opens a port of the host, which serve serves.
func (s *servers) openListener(what, flag string, at proxy.Endpoint, serve func(context.Context, through, net.Listener) error) error {
	l, err := proxy.Host{}.Listen("tcp", at.String())
	if err != nil {
		return listenFailure(flag, err)
	}
	s.opened = append(s.opened, &server{what, l.Addr(), l, func(ctx context.Context, n through) error { return serve(ctx, n, l) }})
	return nil
}

// openForward opens a port of from, of which each connection goes to to's
// network.
func (s *servers) openForward(flag string, r proxy.Rule, from proxy.Network, to func(through) proxy.Network) error {
	forward := func(n through) *proxy.Forward {
		return &proxy.Forward{To: to(n), Destination: r.To, Logf: s.log.Logf}
	}
	what := flag[len("--"):] + " to " + r.To.String()
	if r.Network == "tcp" {
		l, err := from.Listen("tcp", r.Listen.String())
		if err != nil {
			return listenFailure(flag, err)
		}
		s.opened = append(s.opened, &server{what, l.Addr(), l, func(ctx context.Context, n through) error { return forward(n).ServeTCP(ctx, l) }})
		return nil
	}
	c, err := from.ListenPacket("udp", r.Listen.String())
	if err != nil {
		return listenFailure(flag, err)
	}
	s.opened = append(s.opened, &server{what, c.LocalAddr(), c, func(ctx context.Context, n through) error { return forward(n).ServeUDP(ctx, c) }})
	return nil
}

// serve serves what is open until ctx ends. It says where.
func (s *servers) serve(ctx context.Context, n through) {
	for _, o := range s.opened {
		s.running.Go(func() {
			if err := o.serve(ctx, n); err != nil {
				s.fail(fmt.Errorf("%s at %v: %w", o.what, o.addr, err))
			}
		})
	}
}

func (s *servers) fail(err error) {
	select {
	case s.failed <- err:
	default: // another was first
	}
}

// close closes all that is open and waits until nothing is served any more. The
// context of serve must have ended.
func (s *servers) close() {
	for _, o := range s.opened {
		_ = o.socket.Close() // again, if it was served
	}
	s.running.Wait()
}
