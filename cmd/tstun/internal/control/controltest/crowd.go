// Package controltest has what tests and benchmarks of the control API and of its clients
// share.
package controltest

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tstun"
	"tstun/cmd/tstun/internal/control"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/key"
	"tstun/logger"
	"tstun/tunnel"
)

// Crowd runs a tunnel, node, with 64 peers, a policy of 10,000 rules and so many open
// flows and refused ones. dir is where its control socket is, file its policy.
func Crowd(tb testing.TB, open, refused int) (dir, file string) {
	tb.Helper()
	const peers, rules = 64, 10_000
	var policy strings.Builder
	policy.WriteString(`{"hosts": {"web": "10.9.0.1"}, "local": ["web"], "accept": [` + "\n")
	for i := range rules - 1 {
		fmt.Fprintf(&policy, `{"proto": "tcp", "src": "10.10.%d.%d", "dst": "web:%d"},`+"\n", i%peers, i/peers, 1+i%1000)
	}
	policy.WriteString(`{"proto": "udp", "src": "10.10.0.0/16", "dst": "web:53"}]}`)
	file = filepath.Join(tb.TempDir(), "policy.hujson")
	if err := os.WriteFile(file, []byte(policy.String()), 0o600); err != nil {
		tb.Fatal(err)
	}
	var w *tstun.Wrapper
	c := tunnel.Config{
		Name: "node", Mode: tunnel.ModeUserspace, PrivateKey: key.NewPrivate(), Policy: file,
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.0.1/24")},
		Setup:     func(of *tstun.Wrapper) error { w = of; return nil },
	}
	for i := range peers {
		c.Peers = append(c.Peers, tunnel.Peer{
			Name: fmt.Sprint("peer", i), PublicKey: key.NewPrivate().Public(),
			AllowedIPs: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 10, byte(i), 0}), 24)},
		})
	}
	tun, err := tunnel.Start(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { tun.Close() })
	host := netip.MustParseAddr("10.9.0.1")
	for i := range open + refused {
		src, port := netip.AddrFrom4([4]byte{10, 10, byte(i % peers), byte(1 + i/peers%250)}), uint16(53)
		if i >= open {
			port = uint16(2000 + i%7)
		}
		if _, err := w.Write(rig.Wire(craft.UDP(src, uint16(1024+i/peers), host, port, "0123456789ab")), rig.Offset); err != nil {
			tb.Fatal(err)
		}
	}
	dir, err = os.MkdirTemp("", "ctl")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	s, err := control.Listen(dir, "node", logger.Discard)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close(nil) })
	s.Serve(control.Running{Tunnel: tun})
	return dir, file
}
