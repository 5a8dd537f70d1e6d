package e2e_test

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"tstun/internal/netns"
)

// tunnel is two nodes of one kind with a cable between them, and a program at
// each end that sends or echoes UDP packets.
type tunnel struct {
	nodes [2]node
	conn  *net.UDPConn // of the program that sends
	sent  uint64
}

const (
	cable     = "cable0"
	tunDevice = "e2e0"
	wgPort    = 51820
	echoPort  = 7

	pingWait = 3 * time.Second // until a round trip counts as lost, however busy the machine is
)

var (
	outer = [2]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
	inner = [2]netip.Addr{netip.MustParseAddr("100.64.0.1"), netip.MustParseAddr("100.64.0.2")}
)

// newTunnel makes a tunnel, with namespaces of its own, that ends with the
// test, and waits until packets pass.
func newTunnel(t *testing.T, kind string) *tunnel {
	t.Helper()
	if _, err := os.Stat("/dev/net/tun"); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("needs /dev/net/tun: %v", err)
	}
	spaces := [2]*netns.NS{netns.New(t), netns.New(t)}
	for _, ns := range spaces {
		if err := ns.Do(only4); err != nil {
			t.Fatal(err)
		}
	}
	if err := spaces[0].Connect(cable, spaces[1], cable); err != nil {
		t.Fatal(err)
	}
	var keys [2]*ecdh.PrivateKey
	for i := range keys {
		var err error
		if keys[i], err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	tn := new(tunnel)
	for i, ns := range spaces {
		address(t, ns, cable, outer[i])
		tn.nodes[i] = startNode(t, ns, nodeSpec{
			Kind: kind, Device: tunDevice, Address: inner[i],
			Key: hex.EncodeToString(keys[i].Bytes()), PeerKey: hex.EncodeToString(keys[1-i].PublicKey().Bytes()),
			Port: wgPort, Endpoint: netip.AddrPortFrom(outer[1-i], wgPort),
		})
		address(t, ns, tunDevice, inner[i])
		if err := ns.LinkUp(tunDevice); err != nil {
			t.Fatal(err)
		}
	}
	echoAt := net.UDPAddrFromAddrPort(netip.AddrPortFrom(inner[1], echoPort))
	go echo(socket(t, spaces[1], func() (*net.UDPConn, error) { return net.ListenUDP("udp4", echoAt) }))
	tn.conn = socket(t, spaces[0], func() (*net.UDPConn, error) { return net.DialUDP("udp4", nil, echoAt) })
	for range 10 { // the first pays for the handshake
		if tn.ping() == nil {
			return tn
		}
	}
	t.Fatalf("no packet passes through the %s tunnel", kind)
	return nil
}

// only4 keeps a namespace from sending what nobody asked it to, which it does
// over IPv6.
func only4() error {
	err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func address(t *testing.T, ns *netns.NS, name string, a netip.Addr) {
	t.Helper()
	if err := ns.AddAddr(name, netip.PrefixFrom(a, 24)); err != nil {
		t.Fatal(err)
	}
}

// socket opens a socket in ns, which is closed with the test.
func socket(t *testing.T, ns *netns.NS, open func() (*net.UDPConn, error)) (c *net.UDPConn) {
	t.Helper()
	if err := ns.Do(func() (err error) { c, err = open(); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func echo(c *net.UDPConn) {
	var b [64]byte
	for {
		n, from, err := c.ReadFromUDPAddrPort(b[:])
		if err != nil {
			return
		}
		c.WriteToUDPAddrPort(b[:n], from) // lost is lost
	}
}

// ping makes one round trip.
func (tn *tunnel) ping() error {
	tn.sent++
	var b [56]byte // as ping(8) sends
	binary.BigEndian.PutUint64(b[:], tn.sent)
	tn.conn.SetDeadline(time.Now().Add(pingWait))
	if _, err := tn.conn.Write(b[:]); err != nil {
		return err
	}
	for {
		if _, err := tn.conn.Read(b[:]); err != nil {
			return err
		}
		if binary.BigEndian.Uint64(b[:]) == tn.sent { // not a late one
			return nil
		}
	}
}

// switches returns how often the kernel has taken a processor away from both
// nodes.
func (tn *tunnel) switches(t *testing.T) int {
	t.Helper()
	return tn.nodes[0].switches(t) + tn.nodes[1].switches(t)
}
