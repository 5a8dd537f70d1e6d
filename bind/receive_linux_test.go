package bind

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"

	"tstun/internal/netns"
	"tstun/internal/rig/race"
)

// loopbacks are where tests receive.
var loopbacks = []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Unspecified().Next()}

// listener is an open Bind that receives on one family, into buffers like
// wireguard-go's.
type listener struct {
	conn.Bind
	addr    netip.AddrPort
	receive conn.ReceiveFunc
	bufs    [][]byte
	sizes   []int
	from    []conn.Endpoint
}

// listen opens a Bind that is reached at addr.
func listen(t testing.TB, b conn.Bind, addr netip.Addr) *listener {
	t.Helper()
	fns, port, err := b.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	n := b.BatchSize()
	l := &listener{b, netip.AddrPortFrom(addr, port), fns[0], make([][]byte, n), make([]int, n), make([]conn.Endpoint, n)}
	if addr.Is6() {
		l.receive = fns[1]
	}
	for i := range l.bufs {
		l.bufs[i] = make([]byte, 1<<16-1)
	}
	return l
}

// next receives, and calls f with each datagram.
func (l *listener) next(t testing.TB, f func(data []byte, from conn.Endpoint)) {
	t.Helper()
	n, err := l.receive(l.bufs, l.sizes, l.from)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if l.sizes[i] > 0 {
			f(l.bufs[i][:l.sizes[i]], l.from[i])
		}
	}
}

// sender sends numbered datagrams.
type sender struct {
	*net.UDPConn
	sent, got uint32
}

func dial(t testing.TB, to netip.AddrPort) *sender {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &sender{UDPConn: c}
}

// datagram is the datagram with a number: the number, and a filling that is its own.
func datagram(number uint32, length int) []byte {
	b := bytes.Repeat([]byte{byte(number*7 + 1)}, length)
	binary.BigEndian.PutUint32(b, number)
	return b
}

// send sends count datagrams of length bytes, the last of them of tail bytes, in one
// call of the system. The receiver's kernel has them as one message.
func (s *sender) send(t testing.TB, count, length, tail int) {
	t.Helper()
	var all []byte
	for range count - 1 {
		all = append(all, datagram(s.sent, length)...)
		s.sent++
	}
	all = append(all, datagram(s.sent, tail)...)
	s.sent++
	raw, err := s.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT, length) }); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(all); err != nil {
		t.Fatalf("%d datagrams of %d bytes: %v", count, length, err)
	}
}

// receiveAll receives until all that was sent is there, and checks that it is as it was
// sent, and in order.
func (l *listener) receiveAll(t *testing.T, senders ...*sender) {
	t.Helper()
	byAddr := make(map[netip.AddrPort]*sender)
	missing := uint32(0)
	for _, s := range senders {
		byAddr[s.LocalAddr().(*net.UDPAddr).AddrPort()] = s
		missing += s.sent - s.got
	}
	for missing > 0 {
		l.next(t, func(data []byte, from conn.Endpoint) {
			s := byAddr[from.(*conn.StdNetEndpoint).AddrPort]
			if s == nil {
				t.Fatalf("a datagram from %v", from.DstToString())
			}
			if want := datagram(s.got, len(data)); !bytes.Equal(data, want) {
				t.Fatalf("datagram %d from %v: got % .8x, want % .8x", s.got, from.DstToString(), data, want)
			}
			if from.SrcIP() != l.addr.Addr() {
				t.Fatalf("it came to %v, want %v", from.SrcIP(), l.addr.Addr())
			}
			s.got++
			missing--
		})
	}
}

// Datagrams come as they were sent, however the kernel has put them together: runs of
// more than a message has buffers, of changing lengths, single ones, of several senders.
func TestReceive(t *testing.T) {
	for _, addr := range loopbacks {
		t.Run(addr.String(), func(t *testing.T) {
			l := listen(t, New(), addr)
			senders := []*sender{dial(t, l.addr), dial(t, l.addr), dial(t, l.addr)}
			random := rand.New(rand.NewPCG(1, 2))
			lengths := []int{4, 32, 148, 700, 1452, 1452, 1452, 9000}
			for range 3000 {
				// As much as a socket's buffer holds for certain.
				for left := 100_000; left > 0; {
					length := lengths[random.IntN(len(lengths))]
					count := 1
					if random.IntN(3) > 0 {
						count += random.IntN(min(64, 65_000/length))
					}
					senders[random.IntN(len(senders))].send(t, count, length, 4+random.IntN(length-3))
					left -= count * max(length, 1000)
				}
				l.receiveAll(t, senders...)
			}
		})
	}
}

// What the buffers of a message do not hold comes with the next calls, and nothing
// overtakes it.
func TestReceiveMoreThanBuffers(t *testing.T) {
	l := listen(t, New(), loopbacks[0])
	s := dial(t, l.addr)
	for range 2 * narrow { // the next call expects many messages of single datagrams
		s.send(t, 1, 100, 100)
	}
	l.receiveAll(t, s)
	for range 4 {
		s.send(t, 60, 100, 50)
	}
	l.receiveAll(t, s)
}

// One call receives many messages where each is a single datagram.
func TestReceiveSingles(t *testing.T) {
	l := listen(t, New(), loopbacks[0])
	s := dial(t, l.addr)
	calls := 0
	for range 10 {
		for range narrow {
			s.send(t, 1, 100, 100)
		}
		for s.got < s.sent {
			l.next(t, func([]byte, conn.Endpoint) { s.got++ })
			calls++
		}
	}
	if calls > 12 {
		t.Errorf("%d calls for ten times %d datagrams", calls, narrow)
	}
}

// Of a run of datagrams nothing is allocated for each.
func TestReceiveAllocations(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	for _, addr := range loopbacks {
		l := listen(t, New(), addr)
		s := dial(t, l.addr)
		const runs, length = 100, 40
		for range 2 { // the first time it guesses the length
			var before, after runtime.MemStats
			allocated := uint64(0)
			for range runs {
				s.send(t, length, 1452, 1452)
				runtime.ReadMemStats(&before)
				for s.got < s.sent {
					l.next(t, func([]byte, conn.Endpoint) { s.got++ })
				}
				runtime.ReadMemStats(&after)
				allocated += after.Mallocs - before.Mallocs
			}
			if allocated > 6*runs {
				t.Errorf("%v: %d allocations for %d runs of %d datagrams", addr, allocated, runs, length)
			}
		}
	}
}

// A receive ends when the Bind is closed, and it can be opened again.
func TestReceiveEndsByClose(t *testing.T) {
	b := New()
	for range 3 {
		fns, _, err := b.Open(0)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		for _, receive := range fns {
			go func() {
				bufs := [][]byte{make([]byte, 2000)}
				_, err := receive(bufs, make([]int, 1), make([]conn.Endpoint, 1))
				ended <- err
			}()
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		for range fns {
			select {
			case err := <-ended:
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("receive ended with %v", err)
				}
			case <-time.After(30 * time.Second):
				t.Fatal("receive goes on")
			}
		}
	}
}

// Endpoints have the address of the sender, as wireguard-go's own Bind tells it, and
// what is sent to one leaves from the address that the datagram came to, which is where
// the other side expects it from. wireguard-go's Bind forgets that address where the
// kernel puts datagrams together (findings/wireguard-go-source.sh).
func TestEndpoints(t *testing.T) {
	ns := netns.New(t)
	for _, a := range []string{"192.0.2.1/24", "192.0.2.2/24", "fe80::1/64", "2001:db8::1/64", "2001:db8::2/64"} {
		if err := ns.AddAddr("lo", netip.MustParsePrefix(a)); err != nil {
			t.Fatal(err)
		}
	}
	for _, pair := range [][2]string{{"192.0.2.1", "192.0.2.2"}, {"192.0.2.2", "192.0.2.1"}, {"2001:db8::1", "2001:db8::2"}, {"2001:db8::2", "2001:db8::1"}, {"fe80::1%lo", "fe80::1%lo"}} {
		from, to := netip.MustParseAddr(pair[0]), netip.MustParseAddr(pair[1])
		err := ns.Do(func() error { testEndpoint(t, from, to); return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
}

func testEndpoint(t *testing.T, from, to netip.Addr) {
	l := listen(t, New(), to)
	c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), net.UDPAddrFromAddrPort(l.addr))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	var got conn.Endpoint
	l.next(t, func(_ []byte, e conn.Endpoint) { got = e })
	if want := c.LocalAddr().(*net.UDPAddr).AddrPort(); got.DstToString() != want.String() || got.SrcIP() != to.WithZone("") {
		t.Errorf("from %v to %v, want %v and %v", got.DstToString(), got.SrcIP(), want, to)
	}
	if err := l.Send([][]byte{[]byte("reply")}, got); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := c.Read(make([]byte, 10)); n != 5 || err != nil { // it hears l.addr alone
		t.Errorf("from %v to %v: the reply: %d bytes, %v", from, to, n, err)
	}
}
