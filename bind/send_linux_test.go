package bind

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"

	"tstun/internal/netns"
)

// Datagrams reach the address that they are sent to, whatever addresses those
// before them were sent to.
func TestBindFamilies(t *testing.T) {
	b := New()
	if _, isOurs := b.(*bind); !isOurs {
		t.Fatalf("wireguard-go has another bind, %T: look whether the faults are still there", b)
	}
	ns := netns.New(t)
	addrs := []string{"10.0.0.1", "fd00::1:1:1:1", "10.0.0.2", "fd00::2:2:2:2"}
	for _, a := range addrs {
		addr := netip.MustParseAddr(a)
		if err := ns.AddAddr("lo", netip.PrefixFrom(addr, addr.BitLen())); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // it can be opened again
		if err := ns.Do(func() error { return sendToEach(b, addrs) }); err != nil {
			t.Fatal(err)
		}
	}
}

func sendToEach(b conn.Bind, addrs []string) error {
	if _, _, err := b.Open(0); err != nil {
		return err
	}
	for i := range 5 * len(addrs) {
		if err := sendTo(b, addrs[i%len(addrs)]); err != nil {
			return fmt.Errorf("datagram %d: %w", i, err)
		}
	}
	return b.Close()
}

// sendTo sends a datagram to an address and receives it.
func sendTo(b conn.Bind, addr string) error {
	there, err := net.ListenPacket("udp", net.JoinHostPort(addr, "0"))
	if err != nil {
		return err
	}
	defer there.Close()
	to, err := b.ParseEndpoint(there.LocalAddr().String())
	if err != nil {
		return err
	}
	if err := b.Send([][]byte{[]byte("hello")}, to); err != nil {
		return err
	}
	if err := there.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	_, _, err = there.ReadFrom(make([]byte, 16))
	return err
}

// Datagrams arrive that the kernel could send as one, and that are larger than
// the path to the peer is known to carry.
func TestBindNarrowPath(t *testing.T) {
	a, b := netns.New(t), netns.New(t)
	if err := a.Connect("eth0", b, "eth0"); err != nil {
		t.Fatal(err)
	}
	for ns, addr := range map[*netns.NS]string{a: "192.0.2.1/24", b: "192.0.2.2/24"} {
		if err := ns.AddAddr("eth0", netip.MustParsePrefix(addr)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.Exec(t.Context(), "ip", "route", "add", "192.0.2.2/32", "dev", "eth0", "mtu", "1300"); err != nil {
		t.Fatal(err)
	}
	var there net.PacketConn
	if err := b.Do(func() (err error) {
		there, err = net.ListenPacket("udp", "192.0.2.2:51820")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	if err := a.Do(func() error { return sendMany(New(), there.LocalAddr().String()) }); err != nil {
		t.Fatal(err)
	}
	expectMany(t, there)
}

// expectMany receives what sendMany sent.
func expectMany(t *testing.T, there net.PacketConn) {
	t.Helper()
	for i := range manyDatagrams {
		buf := make([]byte, 2000)
		if err := there.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if n, _, err := there.ReadFrom(buf); err != nil || n != 1400 || buf[0] != byte(i) {
			t.Fatalf("datagram %d: %d bytes of %d, %v", i, n, buf[0], err)
		}
	}
}

const manyDatagrams = 10

// sendMany sends datagrams of 1400 bytes in one call.
func sendMany(b conn.Bind, addr string) error {
	if _, _, err := b.Open(0); err != nil {
		return err
	}
	defer b.Close()
	to, err := b.ParseEndpoint(addr)
	if err != nil {
		return err
	}
	bufs := make([][]byte, manyDatagrams)
	for i := range bufs {
		bufs[i] = make([]byte, 1400, 1<<16) // with room for all
		bufs[i][0] = byte(i)
	}
	return b.Send(bufs, to)
}
