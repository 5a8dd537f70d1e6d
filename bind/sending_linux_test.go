package bind

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"

	"tstun/internal/netns"
	"tstun/internal/rig/race"
)

// to returns the endpoint that l is reached at.
func (l *listener) to(t testing.TB, b conn.Bind) conn.Endpoint {
	t.Helper()
	e, err := b.ParseEndpoint(l.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// numbered returns count datagrams with the numbers from first on.
func numbered(first uint32, lengths ...int) (bufs [][]byte) {
	for i, length := range lengths {
		bufs = append(bufs, datagram(first+uint32(i), length))
	}
	return bufs
}

// Datagrams arrive as they were given to Send, whichever of them the kernel cuts out of
// one: any number, of changing lengths, from several goroutines at a time.
func TestSend(t *testing.T) {
	for _, addr := range loopbacks {
		t.Run(addr.String(), func(t *testing.T) {
			l, b := listen(t, New(), addr), New()
			if _, _, err := b.Open(0); err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			random := rand.New(rand.NewPCG(5, 6))
			lengths := []int{4, 32, 148, 700, 1452, 1452, 1452, 9000}
			for range 300 {
				var sent [][]byte
				var calls [][][]byte
				for left := 100_000; left > 0; { // what a socket's buffer holds for certain
					length := lengths[random.IntN(len(lengths))]
					var of []int
					for range 1 + random.IntN(min(200, left/max(length, 1000)+1)) {
						of = append(of, length)
						left -= max(length, 1000)
						if random.IntN(30) == 0 {
							of = append(of, 4+random.IntN(2*length))
							left -= max(2*length, 1000)
						}
					}
					calls = append(calls, numbered(uint32(len(sent)), of...))
					sent = append(sent, calls[len(calls)-1]...)
				}
				var wg sync.WaitGroup
				for _, bufs := range calls {
					wg.Go(func() {
						if err := b.Send(bufs, l.to(t, b)); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				for missing := len(sent); missing > 0; {
					l.next(t, func(data []byte, _ conn.Endpoint) {
						n := uint32(data[0])<<24 | uint32(data[1])<<16 | uint32(data[2])<<8 | uint32(data[3])
						if int(n) >= len(sent) || !bytes.Equal(data, sent[n]) {
							t.Fatalf("datagram %d: %d bytes, or sent twice, or other ones", n, len(data))
						}
						sent[n] = nil
						missing--
					})
				}
			}
		})
	}
}

// What one call sends stays in order.
func TestSendKeepsOrder(t *testing.T) {
	l, b := listen(t, New(), loopbacks[0]), New()
	if _, _, err := b.Open(0); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	bufs := numbered(0, 900, 900, 900, 400, 900, 1000, 1000, 30, 30, 30, 20, 1000, 1000)
	if err := b.Send(bufs, l.to(t, b)); err != nil {
		t.Fatal(err)
	}
	for len(bufs) > 0 {
		l.next(t, func(data []byte, _ conn.Endpoint) {
			if !bytes.Equal(data, bufs[0]) {
				t.Fatalf("%d bytes, want %d", len(data), len(bufs[0]))
			}
			bufs = bufs[1:]
		})
	}
}

// Nothing is allocated to send, and what is sent is left alone.
func TestSendAllocations(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	for _, addr := range loopbacks {
		l, b := listen(t, New(), addr), New()
		if _, _, err := b.Open(0); err != nil {
			t.Fatal(err)
		}
		to := l.to(t, b)
		for _, count := range []int{1, 64, 128} {
			bufs := numbered(0, slicesOf(count, 500)...)
			before := append([]byte(nil), bufs[0]...)
			if got := testing.AllocsPerRun(100, func() {
				if err := b.Send(bufs, to); err != nil {
					t.Fatal(err)
				}
			}); got >= 1 {
				t.Errorf("%v, %d datagrams: %v allocations", addr, count, got)
			}
			if !bytes.Equal(before, bufs[0]) {
				t.Errorf("%v: the first datagram was changed", addr)
			}
		}
		b.Close()
	}
}

func slicesOf(count, length int) []int {
	of := make([]int, count)
	for i := range of {
		of[i] = length
	}
	return of
}

// A device without checksum offload, on which kernels before 6.11 refuse to cut
// datagrams (EIO), gets them one by one.
func TestSendWithoutChecksumOffload(t *testing.T) {
	a, far := netns.New(t), netns.New(t)
	if err := a.Connect("eth0", far, "eth0"); err != nil {
		t.Fatal(err)
	}
	for ns, addr := range map[*netns.NS]string{a: "192.0.2.1/24", far: "192.0.2.2/24"} {
		if err := ns.AddAddr("eth0", netip.MustParsePrefix(addr)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.Exec(t.Context(), "ethtool", "-K", "eth0", "tx", "off"); err != nil {
		t.Skipf("needs ethtool: %v", err)
	}
	var there net.PacketConn
	if err := far.Do(func() (err error) {
		there, err = net.ListenPacket("udp", "192.0.2.2:51820")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	err := a.Do(func() error { return sendMany(New(), there.LocalAddr().String()) })
	var disabled conn.ErrUDPGSODisabled
	if err != nil && (!errors.As(err, &disabled) || disabled.RetryErr != nil) {
		t.Fatal(err)
	}
	if err == nil && kernelBefore(t, 6, 11) {
		t.Error("datagrams were cut on a device without checksum offload")
	}
	expectMany(t, there)
}

// kernelBefore reports whether the kernel is older than a version.
func kernelBefore(t *testing.T, major, minor int) bool {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	var is [2]int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &is[0], &is[1]); err != nil {
		t.Fatal(err)
	}
	return is[0] < major || is[0] == major && is[1] < minor
}

// An endpoint of link-local scope is on the interface that its zone names, also when
// that is made anew and has another index.
func TestSendToZone(t *testing.T) {
	a, far := netns.New(t), netns.New(t)
	b := New()
	for range 2 {
		if err := a.Connect("eth0", far, "eth0"); err != nil {
			t.Fatal(err)
		}
		for ns, addr := range map[*netns.NS]string{a: "fe80::1/64", far: "fe80::2/64"} {
			if err := ns.AddAddr("eth0", netip.MustParsePrefix(addr)); err != nil {
				t.Fatal(err)
			}
		}
		var there net.PacketConn
		if err := far.Do(func() (err error) {
			there, err = net.ListenPacket("udp", "[::]:51820") // package net remembers what index a zone had
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if err := a.Do(func() error { return sendMany(b, "[fe80::2%eth0]:51820") }); err != nil {
			t.Logf("%v; once more", err) // by the index that the name had
			if err := a.Do(func() error { return sendMany(b, "[fe80::2%eth0]:51820") }); err != nil {
				t.Fatal(err)
			}
		}
		expectMany(t, there)
		there.Close()
		if _, err := a.Exec(t.Context(), "ip", "link", "del", "eth0"); err != nil {
			t.Fatal(err)
		}
	}
}
