//go:build !android

package tundev_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tstun/internal/gso"
	"tstun/internal/netns"
	"tstun/internal/tunqueue/queuetest"
	"tstun/tundev"
)

// cable is two network namespaces whose TUNs are connected by a program: what
// one device reads, the other writes.
type cable struct {
	ns     [2]*netns.NS
	dev    [2]tundev.Direct
	joined atomic.Int64 // packets written that stand for several
}

func newCable(t *testing.T) *cable {
	t.Helper()
	c := new(cable)
	for i := range 2 {
		c.ns[i] = netns.New(t)
		dev, ok := tundev.AsDirect(t.Logf, createIn(t, c.ns[i], "cable0", 1280))
		if !ok {
			t.Fatal("not direct")
		}
		c.dev[i] = dev
		queuetest.RefuseWrites(tundev.QueueOf(dev), func(p []byte) syscall.Errno {
			var v gso.Virtio
			if v.Decode(p); v.Super() {
				c.joined.Add(1)
			}
			return 0
		})
		last := string(rune('1' + i))
		if err := errors.Join(
			c.ns[i].AddAddr("cable0", netip.MustParsePrefix("10.8.0."+last+"/24")),
			c.ns[i].AddAddr("cable0", netip.MustParsePrefix("fd08::"+last+"/64")),
			c.ns[i].LinkUp("cable0"),
		); err != nil {
			t.Fatal(err)
		}
	}
	var ends sync.WaitGroup
	for i := range 2 {
		ends.Go(func() { carry(t, c.dev[i], c.dev[1-i]) })
	}
	t.Cleanup(func() {
		c.dev[0].Close()
		c.dev[1].Close()
		soon(t, "the cable", ends.Wait)
	})
	c.probe(t, "10.8.0.2:5")
	c.probe(t, "[fd08::2]:5")
	return c
}

// probe waits until addr is reached: the kernel starts to use an IPv6 address a
// moment after it is set.
func (c *cable) probe(t *testing.T, addr string) {
	t.Helper()
	from, in := c.sockets(t, addr)
	defer in.Close()
	defer from.Close()
	for range 500 {
		writeAll(t, from, []byte{1})
		in.SetReadDeadline(time.Now().Add(patience / 500))
		if n, _ := in.Read(make([]byte, 1)); n == 1 {
			c.joined.Store(0)
			return
		}
	}
	t.Fatalf("%s is not reached", addr)
}

// sockets returns one in each namespace, from the first to addr in the second.
func (c *cable) sockets(t *testing.T, addr string) (from, in *net.UDPConn) {
	t.Helper()
	to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr))
	c.in(t, 1, func() (err error) { in, err = net.ListenUDP("udp", to); return err })
	c.in(t, 0, func() (err error) { from, err = net.DialUDP("udp", nil, to); return err })
	return from, in
}

// carry takes packets from one device to the other until one is closed.
func carry(t *testing.T, from, to tundev.Direct) {
	bufs, sizes := buffers(128, room+2048)
	out := make([][]byte, 0, 128)
	for {
		n, err := from.ReadReady(bufs, sizes, room, true)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		out = out[:0]
		for i := range n {
			out = append(out, bufs[i][:room+sizes[i]])
		}
		if err == nil {
			_, err = to.Write(out, room)
		}
		if err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	}
}

// in runs f in namespace i.
func (c *cable) in(t *testing.T, i int, f func() error) {
	t.Helper()
	if err := c.ns[i].Do(f); err != nil {
		t.Fatal(err)
	}
}

// checksumErrors are those that the receiving stack has counted.
func (c *cable) checksumErrors(t *testing.T) string {
	t.Helper()
	out, err := c.ns[1].Exec(t.Context(), "sh", "-c", "cat /proc/net/snmp /proc/net/snmp6")
	if err != nil {
		t.Fatal(err)
	}
	return wrongSums(string(out))
}

// wrongSums finds counters of checksum errors that are not 0, in either format.
func wrongSums(text string) (found string) {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		fields := strings.Fields(line)
		if len(fields) == 2 && strings.Contains(fields[0], "CsumErrors") && fields[1] != "0" {
			found += line + "; "
		}
		at := slices.Index(fields, "InCsumErrors")
		if at < 0 || len(fields) == 2 {
			continue
		}
		if values := strings.Fields(lines[i+1]); at < len(values) && values[at] != "0" {
			found += fields[0] + " " + values[at] + "; "
		}
	}
	return found
}

// TCP gets its bytes through devices that cut and join.
func TestCableTCP(t *testing.T) {
	c := newCable(t)
	for _, addr := range []string{"10.8.0.2:7", "[fd08::2]:7"} {
		var listener net.Listener
		c.in(t, 1, func() (err error) { listener, err = net.Listen("tcp", addr); return err })
		var conn net.Conn
		c.in(t, 0, func() (err error) { conn, err = net.DialTimeout("tcp", addr, patience); return err })
		got := make(chan [32]byte)
		go func() {
			peer, err := listener.Accept()
			if err != nil {
				t.Error(err)
				close(got)
				return
			}
			defer peer.Close()
			hash := sha256.New()
			io.Copy(hash, peer)
			got <- [32]byte(hash.Sum(nil))
		}()
		conn.SetDeadline(time.Now().Add(3 * patience))
		hash, r := sha256.New(), rand.NewChaCha8([32]byte{1})
		if _, err := io.Copy(io.MultiWriter(conn, hash), io.LimitReader(r, 16<<20)); err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if sum := <-got; sum != [32]byte(hash.Sum(nil)) {
			t.Errorf("%s: other bytes arrived", addr)
		}
		listener.Close()
		if n := c.joined.Swap(0); n < 100 {
			t.Errorf("%s: %d joined packets", addr, n)
		}
	}
	if found := c.checksumErrors(t); found != "" {
		t.Error(found)
	}
}

// UDP datagrams keep their bounds and order, whether the sender leaves cutting
// to the device or not, and whether the receiver takes them joined or not. They
// are joined where the kernel grants it, and only there.
func TestCableUDP(t *testing.T) {
	c := newCable(t)
	granted := false
	c.in(t, 0, func() error { granted = udpOffload(t); return nil })
	for _, addr := range []string{"10.8.0.2:9", "[fd08::2]:9"} {
		for _, gro := range []bool{false, true} {
			from, in := c.sockets(t, addr)
			if gro {
				socketOption(t, in, unix.SOL_UDP, unix.UDP_GRO, 1)
			}
			datagrams(t, from, in, true)
			if joined := c.joined.Load(); gro && granted && joined == 0 || !granted && joined != 0 {
				t.Errorf("%s: %d joined packets; the kernel grants UDP offload: %v", addr, joined, granted)
			}
		}
	}
	if found := c.checksumErrors(t); found != "" {
		t.Error(found)
	}
}

// Datagrams without a checksum, as VXLAN's, arrive as they do with one. Over IPv4 they are
// joined.
func TestCableUDPWithoutChecksums(t *testing.T) {
	c := newCable(t)
	granted := false
	c.in(t, 0, func() error { granted = udpOffload(t); return nil })

	from, in := c.sockets(t, "10.8.0.2:9")
	socketOption(t, from, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1)
	datagrams(t, from, in, false)
	if joined := c.joined.Swap(0); granted != (joined > 0) {
		t.Errorf("IPv4: %d joined packets; the kernel grants UDP offload: %v", joined, granted)
	}

	const noCheck6TX, noCheck6RX = 101, 102 // UDP_NO_CHECK6_TX and _RX of linux/udp.h
	from, in = c.sockets(t, "[fd08::2]:9")
	socketOption(t, from, unix.SOL_UDP, noCheck6TX, 1)
	socketOption(t, in, unix.SOL_UDP, noCheck6RX, 1)
	datagrams(t, from, in, false)
	if joined := c.joined.Load(); joined != 0 {
		t.Errorf("IPv6: %d joined packets", joined)
	}
	if found := c.checksumErrors(t); found != "" {
		t.Error(found)
	}
}

// datagrams sends bursts, compares each as it arrives, and closes both sockets. It leaves
// the cutting of every second one to the kernel if segment is set.
func datagrams(t *testing.T, from, in *net.UDPConn, segment bool) {
	t.Helper()
	defer in.Close()
	defer from.Close()
	in.SetReadBuffer(1 << 20)
	r := rand.New(rand.NewPCG(1, 2))
	for burst := range 60 {
		size := 1 + r.IntN(1100)
		data := make([]byte, size*(1+r.IntN(20))-r.IntN(size))
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		if segment && burst%2 == 1 {
			socketOption(t, from, unix.SOL_UDP, unix.UDP_SEGMENT, size)
			writeAll(t, from, data)
			socketOption(t, from, unix.SOL_UDP, unix.UDP_SEGMENT, 0)
		} else {
			for chunk := range slices.Chunk(data, size) {
				writeAll(t, from, chunk)
			}
		}
		checkDatagrams(t, in, data, size)
	}
}

func writeAll(t *testing.T, to *net.UDPConn, b []byte) {
	t.Helper()
	if _, err := to.Write(b); err != nil {
		t.Fatal(err)
	}
}

func socketOption(t *testing.T, c *net.UDPConn, level, option, value int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if ctlErr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, value) }); ctlErr != nil || err != nil {
		t.Skipf("this kernel has no UDP offload: %v", errors.Join(ctlErr, err))
	}
}

// checkDatagrams reads what stands for data, in datagrams of size bytes but the
// last.
func checkDatagrams(t *testing.T, in *net.UDPConn, data []byte, size int) {
	t.Helper()
	buf, control := make([]byte, 1<<16), make([]byte, 64)
	in.SetReadDeadline(time.Now().Add(patience))
	for len(data) > 0 {
		n, controls, _, _, err := in.ReadMsgUDP(buf, control)
		if err != nil {
			t.Fatalf("%d bytes missing: %v", len(data), err)
		}
		segment := segmentOf(control[:controls])
		if segment == 0 {
			segment = n
		}
		if n > len(data) || !bytes.Equal(buf[:n], data[:n]) || segment != min(size, len(data)) ||
			n%size != 0 && n != len(data) {
			t.Fatalf("%d bytes of segments of %d; %d bytes of %d were to come", n, segment, len(data), size)
		}
		data = data[n:]
	}
}

// segmentOf reads the control message of UDP_GRO (udp(7)), 0 if there is none.
func segmentOf(control []byte) int {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return 0
	}
	for _, m := range messages {
		if m.Header.Level == unix.IPPROTO_UDP && m.Header.Type == unix.UDP_GRO {
			return int(binary.NativeEndian.Uint32(m.Data))
		}
	}
	return 0
}
