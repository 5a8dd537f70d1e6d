package control_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tstun/cmd/tstun/internal/control"
	"tstun/cmd/tstun/internal/proxy"
	"tstun/key"
	"tstun/logger"
	"tstun/tunnel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// shortDir returns a directory whose name leaves room for a socket's.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ctl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// through is a tunnel as a proxy.Network.
type through struct{ *tunnel.Tunnel }

func (n through) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	return n.Lookup().LookupNetIP(ctx, network, host)
}

func (n through) Listen(network, address string) (net.Listener, error) {
	return n.Tunnel.Listen(context.Background(), network, address)
}

func (n through) ListenPacket(network, address string) (net.PacketConn, error) {
	return n.Tunnel.ListenPacket(context.Background(), network, address)
}

// pair returns two tunnels that had a handshake: 10.9.0.1 and .2.
func pair(t testing.TB) (a, b *tunnel.Tunnel) {
	t.Helper()
	ka, kb := key.NewPrivate(), key.NewPrivate()
	config := func(own, other key.Private, n byte) tunnel.Config {
		addr := func(n byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 9, 0, n}) }
		return tunnel.Config{
			Name: fmt.Sprint("node", n), Mode: tunnel.ModeUserspace, PrivateKey: own, Addresses: []netip.Prefix{netip.PrefixFrom(addr(n), 24)},
			Peers: []tunnel.Peer{{Name: "other", PublicKey: other.Public(), AllowedIPs: []netip.Prefix{netip.PrefixFrom(addr(3-n), 32)}}},
		}
	}
	a = start(t, config(ka, kb, 1))
	c := config(kb, ka, 2)
	c.Peers[0].Endpoint, c.Peers[0].Required = fmt.Sprintf("127.0.0.1:%d", a.Status().ListenPort), true
	b = start(t, c)
	// Who answered a handshake holds it for done at the first packet that follows it.
	for ctx := within(t); !a.Status().Peers[0].Up; time.Sleep(time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatal("the handshake does not end")
		}
	}
	return a, b
}

func start(t testing.TB, c tunnel.Config) *tunnel.Tunnel {
	t.Helper()
	tun, err := tunnel.Start(within(t), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tun.Close() })
	return tun
}

// serve returns a Server for a tunnel, and a Client of it.
func serve(t testing.TB, tun *tunnel.Tunnel) (*control.Server, *control.Client) {
	t.Helper()
	dir := shortDir(t)
	s, err := control.Listen(dir, "node", logger.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(nil); err != nil {
			t.Error(err)
		}
	})
	s.Serve(control.Running{Tunnel: tun, Network: through{tun}, Reload: func(context.Context) error { return errReload }})
	c, err := control.Find([]string{dir}, "node")
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

var errReload = errors.New("wg0.conf:3:1: PrivateKey is missing")

var _ proxy.Network = through{}
