package tunnel_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"tstun/key"
	"tstun/tunnel"
)

// names is a Resolver of one host, which can move.
type names struct {
	mu    sync.Mutex
	addrs []netip.Addr
	asked int
}

func (n *names) set(addrs ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addrs = nil
	for _, a := range addrs {
		n.addrs = append(n.addrs, netip.MustParseAddr(a))
	}
}

func (n *names) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	if n.addrs == nil {
		return nil, errors.New("nobody answers")
	}
	return n.addrs, nil
}

func (n *names) LookupPort(context.Context, string, string) (int, error) {
	return 0, errors.ErrUnsupported
}

// A peer whose address changes is found again by its name.
func TestNameMoves(t *testing.T) {
	ka, kb := key.NewPrivate(), key.NewPrivate()
	a := start(t, userspace(ka, kb))
	c := userspace(kb, ka)
	var n names
	var l logged
	n.set("fe80::1") // which nothing can be sent to without a zone
	c.Addresses, c.Resolver, c.Logf = prefixes("10.9.0.2/24"), &n, l.logf
	c.Peers[0].AllowedIPs, c.Peers[0].Keepalive = prefixes("10.9.0.1/32"), 1
	c.Peers[0].Endpoint = fmt.Sprintf("a.test:%d", a.Status().ListenPort)
	c.SetLookUps(time.Second, time.Millisecond)
	b := start(t, c)
	events := b.Events(within(t))
	n.set()
	if e := nextOf(within(t), t, events, tunnel.LookupFailed); e.PeerName != "other" || !strings.Contains(e.Text, "nobody answers") {
		t.Errorf("event %+v", e)
	}
	n.set("127.0.0.1")
	if e := nextOf(within(t), t, events, tunnel.PeerMoved); e.Endpoint.Addr() != netip.MustParseAddr("127.0.0.1") || !e.Before.IsValid() || e.Before == e.Endpoint {
		t.Errorf("event %+v", e)
	}
	nextOf(within(t), t, events, tunnel.PeerUp)
	if want := fmt.Sprintf("peer other has no handshake: its endpoint %s is 127.0.0.1:%d now", c.Peers[0].Endpoint, a.Status().ListenPort); !strings.Contains(l.String(), want) {
		t.Errorf("log:\n%s", &l)
	}
	if s := b.Status().Peers[0]; s.ConfiguredEndpoint != c.Peers[0].Endpoint || !s.Up {
		t.Errorf("peer %+v", s)
	}
}

// A tunnel with nothing to send asks for no name.
func TestNoNameIsAsked(t *testing.T) {
	ka, kb := key.NewPrivate(), key.NewPrivate()
	c := userspace(ka, kb)
	var n names
	n.set("127.0.0.9")
	c.Resolver, c.Peers[0].Endpoint = &n, "a.test:9"
	c.SetLookUps(time.Nanosecond, time.Nanosecond)
	tun := start(t, c)
	events := tun.Events(within(t))
	time.Sleep(1500 * time.Millisecond) // a look at the peers
	if err := tun.Close(); err != nil {
		t.Error(err)
	}
	for e := range events {
		t.Errorf("event %+v", e)
	}
	if n.asked != 1 {
		t.Errorf("asked %d times", n.asked)
	}
}

// Ready has a handshake with each required peer, and names those without.
func TestReady(t *testing.T) {
	ka, kb, kc := key.NewPrivate(), key.NewPrivate(), key.NewPrivate()
	a := start(t, userspace(ka, kb))
	c := userspace(kb, ka)
	c.Addresses = prefixes("10.9.0.2/24")
	c.Peers[0].AllowedIPs = prefixes("10.9.0.1/32")
	c.Peers[0].Endpoint = fmt.Sprintf("127.0.0.1:%d", a.Status().ListenPort)
	b := start(t, c)
	if err := b.Ready(within(t)); err != nil || b.Status().Peers[0].Up {
		t.Errorf("without required peers: %v", err)
	}
	c.Peers[0].Required = true
	reload(t, b, c)
	if err := b.Ready(within(t)); err != nil || !b.Status().Peers[0].Up {
		t.Errorf("with one that answers: %v", err)
	}
	c.Peers = append(c.Peers,
		tunnel.Peer{Name: "silent", PublicKey: kc.Public(), Endpoint: "127.0.0.1:9", Required: true},
		tunnel.Peer{Name: "lost", PublicKey: key.NewPrivate().Public(), Required: true},
		tunnel.Peer{Name: "other one", PublicKey: key.NewPrivate().Public()})
	reload(t, b, c)
	ctx, cancel := context.WithTimeout(within(t), 50*time.Millisecond)
	defer cancel()
	err := b.Ready(ctx)
	if err == nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("with two that do not answer: %v", err)
	}
	if text := err.Error(); !strings.Contains(text, "peer silent at 127.0.0.1:9") || !strings.Contains(text, "peer lost: only the peer can begin one") || strings.Contains(text, "other") {
		t.Errorf("got %v", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if b.Ready(within(t)) == nil {
		t.Error("ready after Close")
	}
}
