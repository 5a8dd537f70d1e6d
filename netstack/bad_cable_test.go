package netstack_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/tun"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/netstack"
)

// badCable does to packets what networks do, and more often: it loses, doubles,
// reorders and changes them. What it does depends on the seed and the order of
// the packets alone.
type badCable struct {
	rnd  *mathrand.Rand
	good int      // so many packets get through before it is bad
	held [][]byte // come later

	did struct{ lost, doubled, reordered, changed int }
}

// pass returns what comes out when pkt goes in.
func (c *badCable) pass(pkt []byte) [][]byte {
	if c.good > 0 {
		c.good--
		return [][]byte{pkt}
	}
	var out [][]byte
	switch n := c.rnd.IntN(1000); {
	case n < 50:
		c.did.lost++
	case n < 70:
		c.did.doubled++
		out = append(out, pkt, slices.Clone(pkt))
	case n < 120:
		c.did.reordered++
		c.held = append(c.held, pkt)
	case n < 130:
		c.did.changed++
		out = append(out, c.change(pkt))
	default:
		out = append(out, pkt)
	}
	if len(c.held) > 3 || len(c.held) > 0 && c.rnd.IntN(4) == 0 {
		out = append(out, c.held...)
		c.held = nil
	}
	return out
}

// change flips one bit behind the IP header, which the checksum finds.
func (c *badCable) change(pkt []byte) []byte {
	start := rig.Offset + 40
	if pkt[rig.Offset]>>4 == 4 {
		start = rig.Offset + 20
	}
	pkt[start+c.rnd.IntN(len(pkt)-start)] ^= 1 << c.rnd.IntN(8)
	return pkt
}

// run moves packets from one Wrapper to the other until either is closed.
func (c *badCable) run(from, to *tstun.Wrapper) {
	bufs, sizes := make([][]byte, 128), make([]int, 128)
	for i := range bufs {
		bufs[i] = make([]byte, rig.Offset+9000)
	}
	for {
		n, err := from.Read(bufs, sizes, rig.Offset)
		if err != nil {
			return
		}
		var out [][]byte
		for i := range n {
			if sizes[i] > 0 {
				out = append(out, c.pass(slices.Clone(bufs[i][:rig.Offset+sizes[i]]))...)
			}
		}
		out = append(out, c.held...) // nothing waits for a packet that may never come
		c.held = nil
		if _, err := to.Write(out, rig.Offset); err != nil {
			return
		}
	}
}

// wide is a device with an MTU.
type wide struct {
	tun.Device
	mtu int
}

func (d wide) MTU() (int, error) { return d.mtu, nil }

// handshake is how many packets a connection opens with, each way at most. The
// loss of one costs whole seconds: one until it is sent again, and then gVisor
// takes that one for the way's delay.
const handshake = 2

// badNet returns two nodes with bad cables between them.
func badNet(t *testing.T, mtu int, seed uint64) (a, b *node) {
	t.Helper()
	nodes := [2]*node{}
	for i := range nodes {
		n := &node{w: tstun.Wrap(nil, wide{tstun.NewFake(), mtu}), v4: nodeAddrs[i][0], v6: nodeAddrs[i][1]}
		n.w.SetFilter(filter.NewAllowAll(nil))
		nodes[i] = n
	}
	a, b = nodes[0], nodes[1]
	there := &badCable{good: handshake, rnd: mathrand.New(mathrand.NewPCG(seed, 1))}
	back := &badCable{good: handshake, rnd: mathrand.New(mathrand.NewPCG(seed, 2))}
	var wg sync.WaitGroup
	wg.Go(func() { there.run(a.w, b.w) })
	wg.Go(func() { back.run(b.w, a.w) })
	a.start(t)
	b.start(t)
	for _, s := range []*netstack.Stack{a.s, b.s} {
		s.SetMinRTO(5 * time.Millisecond) // the way is shorter than most
	}
	t.Cleanup(func() {
		a.w.Close()
		b.w.Close()
		wg.Wait()
		if did := there.did; did.lost*did.reordered*did.doubled*did.changed == 0 {
			t.Errorf("the cable was too good: %+v", did)
		}
	})
	return a, b
}

// badBytes is small since most of the time goes by in time-outs.
var badBytes = flag.Int64("badcable", 512<<10, "`bytes` that TestBadCable sends each way")

func TestBadCable(t *testing.T) {
	for _, mtu := range []int{1280, 9000} {
		for i, version := range []string{"IPv4", "IPv6"} {
			t.Run(fmt.Sprintf("%s/%d", version, mtu), func(t *testing.T) {
				t.Parallel()
				a, b := badNet(t, mtu, uint64(mtu+i))
				bothWays(t, a, b, b.on(b.addrs()[i], 80), *badBytes)
				datagrams(t, a, b, b.on(b.addrs()[i], 53), mtu)
			})
		}
	}
}

// bothWays sends size bytes each way at once over one connection.
func bothWays(t *testing.T, a, b *node, address string, size int64) {
	t.Helper()
	l := mustListen(t, b.s, "tcp", address)
	c := mustDial(t, a.s, "tcp", address)
	d, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	end := time.Now().Add(patience * time.Duration(1+size>>20))
	c.SetDeadline(end)
	d.SetDeadline(end)
	var wg sync.WaitGroup
	for i, side := range []net.Conn{c, d} {
		wg.Go(func() {
			if _, err := io.CopyN(side, pattern(uint64(i)), size); err != nil {
				t.Errorf("sending: %v", err)
			}
			side.(*netstack.TCPConn).CloseWrite()
		})
		wg.Go(func() {
			want, got := sha256.New(), sha256.New()
			io.CopyN(want, pattern(uint64(1-i)), size)
			if n, err := io.Copy(got, side); n != size || err != nil || !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
				t.Errorf("%d of %d bytes arrived, %v", n, size, err)
			}
		})
	}
	wg.Wait()
}

// datagrams sends numbered ones, which arrive whole or not at all.
func datagrams(t *testing.T, a, b *node, address string, mtu int) {
	t.Helper()
	const number = 300
	pc, err := b.s.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	pc.(*netstack.UDPConn).SetReadBuffer(4 << 20)
	c := mustDial(t, a.s, "udp", address)
	var sent sync.WaitGroup
	sent.Go(func() {
		for i := range uint32(number) {
			if _, err := c.Write(numbered(i, mtu)); err != nil {
				t.Error(err)
			}
		}
		pc.SetReadDeadline(time.Now().Add(300 * time.Millisecond)) // for the last ones
	})
	seen := 0
	buf := make([]byte, 1<<16)
	for {
		n, _, err := pc.ReadFrom(buf)
		if err != nil {
			break
		}
		i := binary.BigEndian.Uint32(buf)
		if !bytes.Equal(buf[:n], numbered(i, mtu)) {
			t.Fatalf("datagram %d of %d bytes is not what was sent", i, n)
		}
		seen++
	}
	sent.Wait()
	if seen < number/2 {
		t.Errorf("%d of %d datagrams arrived", seen, number)
	}
}

// numbered returns the datagram with the number. Some are fragmented.
func numbered(i uint32, mtu int) []byte {
	b := make([]byte, 4+int(i*37)%(mtu+mtu/2))
	binary.BigEndian.PutUint32(b, i)
	io.ReadFull(pattern(uint64(i)), b[4:])
	return b
}
