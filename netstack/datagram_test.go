package netstack

import (
	"bytes"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"tstun"
	"tstun/filter"
	"tstun/packet"
)

// datagramTarget is a stack with sockets that datagrams may be for: one that
// hears all, one of IPv6 alone, and one that has a peer.
type datagramTarget struct {
	s       *Stack
	sockets []*UDPConn
}

func newDatagramTarget(t testing.TB) datagramTarget {
	w := tstun.Wrap(nil, tstun.NewFake())
	w.SetFilter(filter.NewAllowAll(nil))
	s, err := New(w, Config{Addrs: []netip.Addr{netip.MustParseAddr("100.64.0.2"), netip.MustParseAddr("fd00::2")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		w.Close()
	})
	target := datagramTarget{s: s}
	for _, at := range []string{":7", "[fd00::2]:8"} {
		c, err := s.ListenPacket("udp", at)
		if err != nil {
			t.Fatal(err)
		}
		target.sockets = append(target.sockets, c.(*UDPConn))
	}
	c, err := s.DialContext(t.Context(), "udp", "100.64.0.1:5")
	if err != nil {
		t.Fatal(err)
	}
	target.sockets = append(target.sockets, c.(*UDPConn))
	return target
}

// got is what a socket has, or -1 for none.
type got struct {
	socket int
	data   []byte
	from   netip.AddrPort
}

// give hands a packet over, past gVisor if fast and if it may go there, and
// returns what came of it.
func (d datagramTarget) give(t *testing.T, p *packet.Parsed, fast bool) got {
	if fast {
		if !d.s.link.datagram(p) {
			t.Fatal("a plain datagram is not taken")
		}
	} else {
		if why := d.s.link.inbox.put(p); why != noReason {
			t.Fatal(why)
		}
		for until := time.Now().Add(10 * time.Second); !d.s.IsIdle() && time.Now().Before(until); {
			runtime.Gosched() // the stack's goroutine hands it over
		}
	}
	found := got{socket: -1}
	for i, c := range d.sockets {
		for {
			q, ok := c.queue.pop()
			if !ok {
				break
			}
			if found.socket >= 0 {
				t.Fatal("two sockets got it")
			}
			found = got{i, bytes.Clone(q.data), q.from}
		}
	}
	return found
}

// A datagram that goes past gVisor gets where gVisor would have put it. What
// does not go past it is gVisor's to judge.
func FuzzDatagram(f *testing.F) {
	target := newDatagramTarget(f)
	connected := target.sockets[2].local.AddrPort().Port()
	for _, to := range []string{"100.64.0.2:7", "[fd00::2]:7", "[fd00::2]:8", "100.64.0.2:8", "100.64.0.2:9"} {
		for _, payload := range []string{"", "x", "datagram"} {
			src := "100.64.0.1:5"
			if to[0] == '[' {
				src = "[fd00::1]:5"
			}
			f.Add(packet.Generate(packet.UDPHeader{Src: netip.MustParseAddrPort(src), Dst: netip.MustParseAddrPort(to)}, []byte(payload)), 0, byte(0))
		}
	}
	for _, port := range []string{":5", ":6"} { // the peer, and another
		f.Add(packet.Generate(packet.UDPHeader{
			Src: netip.MustParseAddrPort("100.64.0.1" + port),
			Dst: netip.AddrPortFrom(netip.MustParseAddr("100.64.0.2"), connected),
		}, []byte("to the connected one")), 0, byte(0))
	}
	noSum := packet.Generate(packet.UDPHeader{
		Src: netip.MustParseAddrPort("100.64.0.1:5"), Dst: netip.MustParseAddrPort("100.64.0.2:7"),
	}, []byte("no checksum"))
	noSum[26], noSum[27] = 0, 0
	f.Add(noSum, 0, byte(0))
	f.Fuzz(func(t *testing.T, pkt []byte, at int, flip byte) {
		pkt = bytes.Clone(pkt)
		if len(pkt) > 0 {
			pkt[uint(at)%uint(len(pkt))] ^= flip
		}
		var p packet.Parsed
		p.Decode(pkt)
		if p.Problem() != packet.ProblemNone || !target.s.link.isOwn(p.Dst.Addr()) || !isPlainDatagram(&p) || target.s.link.socketOf(&p) == nil ||
			target.s.link.isOwn(p.Src.Addr()) {
			return
		}
		slow := target.give(t, &p, false)
		for until := time.Now().Add(time.Second); target.s.link.inbox.datagrams.Load() != 0 && time.Now().Before(until); {
			time.Sleep(10 * time.Microsecond) // the stack's goroutine has it
		}
		if fast := target.give(t, &p, true); fast.socket != slow.socket || !bytes.Equal(fast.data, slow.data) || fast.from != slow.from {
			t.Errorf("%x: got %+v, gVisor %+v", pkt, fast, slow)
		}
		if slow.socket < 0 {
			t.Errorf("%x: gVisor delivers it to nobody", pkt)
		}
	})
}
