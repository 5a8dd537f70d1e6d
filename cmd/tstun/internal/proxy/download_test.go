package proxy_test

import (
	"context"
	"crypto/ecdh"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
	wgnetstack "golang.zx2c4.com/wireguard/tun/netstack"

	"tstun"
	"tstun/cmd/tstun/internal/proxy"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/netstack"
)

const downloadPort = 9

// BenchmarkTunnelDownload is a download by a client of the host through a proxy
// at one end of a tunnel: ours, with the package's relay and with io.Copy, and
// that of others, which is wireguard-go's stack and io.Copy. The other end is
// always ours.
func BenchmarkTunnelDownload(b *testing.B) {
	b.Run("tstun", func(b *testing.B) {
		w, s := newStack(b, tunnelAddrs[0])
		joinWithServer(b, w)
		c := greet(b, startSOCKS(b, &proxy.SOCKS5{Network: tunnelNetwork{s, nil}}))
		send(b, c, request(1, tunnelAddrs[1][0].String(), downloadPort))
		if code, _ := readReply(b, c); code != 0 {
			b.Fatalf("reply %d", code)
		}
		download(b, c)
	})
	b.Run("tstun with io.Copy", func(b *testing.B) {
		w, s := newStack(b, tunnelAddrs[0])
		joinWithServer(b, w)
		download(b, dial(b, startCopying(b, s.DialContext)))
	})
	b.Run("wireguard-go with io.Copy", func(b *testing.B) {
		dev, s, err := wgnetstack.CreateNetTUN(tunnelAddrs[0], nil, 1420)
		if err != nil {
			b.Fatal(err)
		}
		joinWithServer(b, dev)
		download(b, dial(b, startCopying(b, s.DialContext)))
	})
}

func newStack(b *testing.B, addrs []netip.Addr) (*tstun.Wrapper, *netstack.Stack) {
	b.Helper()
	w := tstun.Wrap(nil, tstun.NewFake())
	w.SetFilter(filter.NewAllowAll(nil))
	s, err := netstack.New(w, netstack.Config{Addrs: addrs, MTU: 1420})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return w, s
}

// joinWithServer puts WireGuard on near, and at the other end a server that
// sends without end.
func joinWithServer(b *testing.B, near tun.Device) {
	b.Helper()
	far, s := newStack(b, tunnelAddrs[1])
	l := listenAt(b, tunnelNetwork{s, nil}, ":9")
	go serveEndless(l)
	var devices [2]*device.Device
	keys := [2]*ecdh.PrivateKey{rig.NewKey(b), rig.NewKey(b)}
	for i, dev := range []tun.Device{near, far} {
		d, err := rig.StartWireGuard(dev, &device.Logger{Verbosef: device.DiscardLogf, Errorf: b.Logf}, rig.Interface(keys[i], 0))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(d.Close)
		devices[i] = d
	}
	for i, d := range devices {
		peer := 1 - i
		if err := d.IpcSet(rig.Peer(keys[peer].PublicKey(), endpointOf(b, devices[peer]), tunnelAddrs[peer])); err != nil {
			b.Fatal(err)
		}
	}
}

// endpointOf returns where a device is reached on loopback.
func endpointOf(b *testing.B, d *device.Device) netip.AddrPort {
	b.Helper()
	state, err := d.IpcGet()
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(state, "listen_port=")
	text, _, _ := strings.Cut(rest, "\n")
	return netip.MustParseAddrPort("127.0.0.1:" + text)
}

func serveEndless(l net.Listener) {
	data := make([]byte, 1<<20)
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			for {
				if _, err := c.Write(data); err != nil {
					return
				}
			}
		}()
	}
}

// startCopying starts a proxy that copies with io.Copy, and returns its
// address.
func startCopying(b *testing.B, dial func(context.Context, string, string) (net.Conn, error)) string {
	to := netip.AddrPortFrom(tunnelAddrs[1][0], downloadPort).String()
	return startTCP(b, func(c net.Conn) {
		remote, err := dial(context.Background(), "tcp", to)
		if err != nil {
			b.Error(err)
			return
		}
		defer remote.Close()
		go io.Copy(remote, c)
		io.Copy(c, remote)
	}).String()
}

func download(b *testing.B, c net.Conn) {
	buf := make([]byte, 1<<20)
	io.ReadFull(c, buf) // the handshake is over
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		if _, err := io.ReadFull(c, buf); err != nil {
			b.Fatal(err)
		}
	}
	c.Close()
}
