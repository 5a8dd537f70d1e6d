package tunnel_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"tstun"
	"tstun/filter"
	"tstun/key"
	"tstun/packet"
	"tstun/tunnel"
)

// TestMSSClamp: what a peer hears in the handshake of a connection is bounded for
// all peers, by the MTU, and for one peer, and another bound is in force after a
// reload.
func TestMSSClamp(t *testing.T) {
	keyA, keyB := key.NewPrivate(), key.NewPrivate()
	type syn struct{ from, mss uint16 } // from a port
	heard := make(chan syn, 64)
	b := userspace(keyB, keyA)
	b.Addresses, b.Peers[0].AllowedIPs = prefixes("10.9.0.2/32"), prefixes("10.9.0.1/32")
	b.Setup = func(w *tstun.Wrapper) error {
		w.PreFilterIn = func(p *packet.Parsed, _ *tstun.Wrapper) filter.Response {
			if options := p.Transport(); p.IsTCPSyn() && options[20] == 2 {
				heard <- syn{p.Src.Port(), binary.BigEndian.Uint16(options[22:])}
			}
			return filter.Accept
		}
		return nil
	}
	far := start(t, b)
	ln, err := far.Listen(within(t), "tcp", "10.9.0.2:80")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()

	a := userspace(keyA, keyB)
	a.Addresses, a.Peers[0].AllowedIPs = prefixes("10.9.0.1/32"), prefixes("10.9.0.2/32")
	a.Peers[0].Endpoint = fmt.Sprintf("127.0.0.1:%d", far.Status().ListenPort)
	near := start(t, a)
	for _, tt := range []struct {
		name      string
		mtu       int
		all, peer tunnel.MSSClamp
		want      uint16
	}{
		{"off", 0, tunnel.NoClamp, tunnel.NoClamp, 1240},
		{"all", 0, 1000, tunnel.NoClamp, 1000},
		{"peer", 0, tunnel.NoClamp, 900, 900},
		{"both", 0, 800, 1000, 800},
		{"mtu", 1300, tunnel.ClampToMTU, tunnel.NoClamp, 1260},
		{"peer's mtu", 1290, 1255, tunnel.ClampToMTU, 1250},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := clone(a)
			c.MTU, c.MSSClamp, c.Peers[0].MSSClamp = tt.mtu, tt.all, tt.peer
			if err := near.Reload(within(t), c); err != nil {
				t.Fatal(err)
			}
			conn, err := near.DialContext(within(t), "tcp", "10.9.0.2:80")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			own := netip.MustParseAddrPort(conn.LocalAddr().String()).Port()
			got := <-heard
			for got.from != own { // the SYN of the connection before was sent again
				got = <-heard
			}
			if got.mss != tt.want {
				t.Errorf("MSS %d, want %d", got.mss, tt.want)
			}
		})
	}
}

func TestMSSClampText(t *testing.T) {
	for m, want := range map[tunnel.MSSClamp]string{tunnel.NoClamp: "off", tunnel.ClampToMTU: "mtu", 1360: "1360"} {
		if m.String() != want {
			t.Errorf("%d: %v, want %s", int(m), m, want)
		}
	}
}
