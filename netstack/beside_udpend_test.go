package netstack_test

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"tstun/netstack"
)

// udpErrorRows are about deadlines, ends and refusals of UDP.
var udpErrorRows = []row{
	{"UDP deadlines", func(s *script) {
		c, d := s.packetPair()
		for _, at := range []time.Time{past, time.Now().Add(moment)} {
			s.note("set", c.SetReadDeadline(at), d.SetReadDeadline(at))
			n, err := c.Read(make([]byte, 1))
			s.note("Read", n, err)
			n, a, err := d.ReadFrom(make([]byte, 1))
			s.note("ReadFrom", n, a, err)
			n, ap, err := d.ReadFromUDPAddrPort(make([]byte, 1))
			s.note("ReadFromUDPAddrPort", n, ap == netip.AddrPort{}, err)
			_, _, _, _, err = c.ReadMsgUDP(make([]byte, 1), nil)
			s.note("ReadMsgUDP", err)
			n, err = c.Read(nil)
			s.note("Read nothing", n, err)
		}
		s.note("set", c.SetWriteDeadline(past), d.SetDeadline(past))
		n, err := c.Write([]byte("x"))
		s.note("Write", n, err)
		n, err = c.Write(nil)
		s.note("Write nothing", n, err)
		n, err = d.WriteTo([]byte("x"), c.LocalAddr())
		s.note("WriteTo", n, err)
		n, _, err = d.WriteMsgUDP([]byte("x"), nil, c.LocalAddr().(*net.UDPAddr))
		s.note("WriteMsgUDP", n, err)
		wait := background(func() {
			n, err := c.Read(make([]byte, 1))
			s.note("read", n, err)
		})
		c.SetReadDeadline(time.Time{})
		time.Sleep(moment)
		c.SetReadDeadline(past)
		wait()
	}},
	{"a closed UDP socket", func(s *script) {
		c, d := s.packetPair()
		for _, w := range []packetConn{c, d} {
			wait := background(func() {
				n, a, err := w.ReadFrom(make([]byte, 1))
				s.note("while reading", n, a, err)
			})
			time.Sleep(moment)
			err := w.Close()
			wait()
			s.note("close", err)
			s.note("again", w.Close())
			n, err := w.Read(make([]byte, 1))
			s.note("Read", n, err)
			n, err = w.Read(nil)
			s.note("Read nothing", n, err)
			n, _, err = w.ReadFromUDPAddrPort(make([]byte, 1))
			s.note("ReadFromUDPAddrPort", n, err)
			n, _, _, _, err = w.ReadMsgUDP(make([]byte, 1), nil)
			s.note("ReadMsgUDP", n, err)
			n, err = w.Write([]byte("x"))
			s.note("Write", n, err)
			n, err = w.WriteTo([]byte("x"), c.LocalAddr())
			s.note("WriteTo", n, err)
			n, _, err = w.WriteMsgUDP([]byte("x"), nil, c.LocalAddr().(*net.UDPAddr))
			s.note("WriteMsgUDP", n, err)
			s.note("deadlines", w.SetDeadline(past), w.SetReadDeadline(past), w.SetWriteDeadline(time.Time{}))
			s.note("buffers", w.SetReadBuffer(5000), w.SetWriteBuffer(5000))
			s.note("addresses", w.LocalAddr(), w.RemoteAddr())
		}
	}},
	{"refusal wakes Read", func(s *script) {
		c := s.connect(netstack.Dialer{}, "udp", s.on(s.refusingPort("udp")))
		wait := background(func() {
			n, err := c.Read(make([]byte, 1))
			s.note("Read", n, err)
		})
		time.Sleep(moment)
		n, err := c.Write([]byte("x"))
		wait()
		s.note("Write", n, err)
		c.SetReadDeadline(time.Now().Add(moment))
		n, err = c.Read(make([]byte, 1))
		s.note("Read again", n, err)
	}},
	{"refusal is told by Write", func(s *script) {
		c := s.connect(netstack.Dialer{}, "udp", s.on(s.refusingPort("udp")))
		n, err := c.Write([]byte("x"))
		s.note("first", n, err)
		n, err = untilError(c)
		s.note("Write", n, err)
	}},
	{"refusal is told by ReadFrom", func(s *script) {
		c := s.connect(netstack.Dialer{}, "udp", s.on(s.refusingPort("udp"))).(packetConn)
		for range 2 {
			c.Write([]byte("x"))
			n, a, err := c.ReadFrom(make([]byte, 1))
			s.note("ReadFrom", n, a, err)
		}
		c.Write([]byte("x"))
		_, _, _, _, err := c.ReadMsgUDP(make([]byte, 1), nil)
		s.note("ReadMsgUDP", err)
	}},
	{"an unconnected socket is not refused", func(s *script) {
		_, d := s.packetPair()
		to, err := net.ResolveUDPAddr("udp", s.on(s.refusingPort("udp")))
		must(s, to, err)
		for range 3 {
			n, err := d.WriteTo([]byte("x"), to)
			s.note("WriteTo", n, err)
		}
		d.SetReadDeadline(time.Now().Add(2 * moment))
		n, a, err := d.ReadFrom(make([]byte, 1))
		s.note("ReadFrom", n, a, err)
	}},
	{"a refusal does not lose what came before", func(s *script) {
		c, d := s.packetPair()
		d.WriteTo([]byte("before"), c.LocalAddr())
		time.Sleep(moment)
		d.Close()
		c.Write([]byte("x"))
		time.Sleep(moment)
		var got []string // in an order that depends on when the refusal comes
		for range 2 {
			n, err := c.Read(make([]byte, 9))
			got = append(got, fmt.Sprint(n, " ", describe(err)))
		}
		slices.Sort(got)
		s.note("Read", got[0], got[1])
	}},
	{"UDP buffers", func(s *script) {
		c, d := s.packetPair()
		for _, n := range []int{0, -1, 1, 5000, 1 << 30} {
			s.note("set", d.SetReadBuffer(n), c.SetWriteBuffer(n))
		}
		c.Write([]byte("x"))
		n, err := d.Read(make([]byte, 9))
		s.note("read", n, err)
	}},
}
