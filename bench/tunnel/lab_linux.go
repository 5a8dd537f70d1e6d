package tunnel

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"tstun/internal/netns"
)

// side is one end: a namespace with an Ethernet interface, and the address
// that the tunnel gives it.
type side struct {
	ns     *netns.NS
	device string // name of the TUN, of its own: tstun up keeps its state by it
	outer  netip.Prefix
	inner  netip.Prefix
	key    *ecdh.PrivateKey
	driver *process // runs what sends and receives
	node   *process // while there is a tunnel
}

// lab is two namespaces with a cable between them.
type lab struct {
	cfg  Config
	a, b side // a sends, b receives
}

const (
	ether = "bench-eth"
	port  = 51820 // UDP, of both ends
)

// newLab makes the namespaces, which go with their last process and with the
// lab: the kernel removes what is in them.
func newLab(ctx context.Context, cfg Config) (*lab, error) {
	l := &lab{
		cfg: cfg,
		a:   side{device: "bench-tun-a", outer: netip.MustParsePrefix("192.0.2.1/24"), inner: netip.MustParsePrefix("100.64.0.1/24")},
		b:   side{device: "bench-tun-b", outer: netip.MustParsePrefix("192.0.2.2/24"), inner: netip.MustParsePrefix("100.64.0.2/24")},
	}
	if err := l.build(ctx); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *lab) build(ctx context.Context) (err error) {
	for _, s := range l.sides() {
		if s.ns, err = netns.Create(); err != nil {
			return err
		}
		if s.key, err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
			return err
		}
	}
	if err := l.a.ns.Connect(ether, l.b.ns, ether); err != nil {
		return fmt.Errorf("connect the namespaces: %w", err)
	}
	for _, s := range l.sides() {
		if err := s.prepare(ctx, l.cfg); err != nil {
			return err
		}
	}
	return nil
}

// prepare gives the side its address and its driver.
func (s *side) prepare(ctx context.Context, cfg Config) (err error) {
	if err := s.ns.AddAddr(ether, s.outer); err != nil {
		return err
	}
	if err := s.ns.Do(forgetful); err != nil {
		return err
	}
	s.driver, err = startAgent(ctx, s.ns, cfg.Self)
	return err
}

// forgetful keeps a namespace from beginning a TCP connection with what it
// learned from those before, which another candidate may have carried.
func forgetful() error {
	return os.WriteFile("/proc/sys/net/ipv4/tcp_no_metrics_save", []byte("1"), 0o644)
}

func (l *lab) sides() []*side { return []*side{&l.a, &l.b} }

func (l *lab) close() error {
	err := l.down()
	for _, s := range l.sides() {
		err = errors.Join(err, s.driver.end())
		if s.ns != nil {
			err = errors.Join(err, s.ns.Close())
		}
	}
	return err
}

// up starts a tunnel's two ends, of these kinds, and waits until packets pass.
func (l *lab) up(ctx context.Context, a, b string) error {
	if err := l.upEnd(ctx, &l.b, &l.a, b); err != nil {
		return err
	}
	if err := l.upEnd(ctx, &l.a, &l.b, a); err != nil {
		return err
	}
	return l.awaitPassage()
}

// upEnd starts one end of a tunnel to other.
func (l *lab) upEnd(ctx context.Context, s, other *side, kind string) (err error) {
	if s.node, err = startAgent(ctx, s.ns, l.cfg.Self); err != nil {
		return err
	}
	_, err = s.node.ask(request{Do: doUp, Node: &nodeSpec{
		Kind: kind, Device: s.device, MTU: l.cfg.MTU,
		Address: s.inner, Peer: other.inner.Addr(),
		PrivateKey: hex.EncodeToString(s.key.Bytes()), PeerKey: hex.EncodeToString(other.key.PublicKey().Bytes()),
		Port: port, Endpoint: netip.AddrPortFrom(other.outer.Addr(), port), Program: l.cfg.Program,
	}})
	return err
}

// awaitPassage makes the first packets, which pay for the handshake.
func (l *lab) awaitPassage() error {
	const attempts = 5 // of up to a second each
	for range attempts {
		if r, err := l.pings(10, 0); err != nil || r.Lost == 0 {
			return err
		}
	}
	return errors.New("no packet passes through the tunnel")
}

// pings makes n round trips from a to b, one in each interval.
func (l *lab) pings(n int, every time.Duration) (reply, error) {
	to := netip.AddrPortFrom(l.b.inner.Addr(), 7)
	if _, err := l.b.driver.ask(request{Do: doEcho, To: to}); err != nil {
		return reply{}, err
	}
	r, err := l.a.driver.ask(request{Do: doPing, To: to, Count: n, Every: every})
	_, stopErr := l.b.driver.ask(request{Do: doStop})
	return r, errors.Join(err, stopErr)
}

// down ends the tunnel, if there is one. The TUNs go with their processes.
func (l *lab) down() error {
	var err error
	for _, s := range l.sides() {
		err = errors.Join(err, s.node.end())
		s.node = nil
	}
	return err
}
