package netstack_test

import (
	"fmt"
	"net"
	"net/netip"

	"tstun/netstack"
)

// packetListened notes what ListenPacket gives, and returns it open.
func (s *script) packetListened(what, network, address string) packetConn {
	pc, err := s.listenPacket(network, address)
	if err != nil {
		s.note(what, nil, err)
		return nil
	}
	c := pc.(packetConn)
	s.note(what, net.Conn(c), err, c.LocalAddr(), c.RemoteAddr())
	return closing(s, c)
}

func udpAddrPort(a net.Addr) netip.AddrPort { return a.(*net.UDPAddr).AddrPort() }

// udpRows are about what UDP sockets do.
var udpRows = []row{
	{"addresses of sockets", func(s *script) {
		for _, network := range []string{"udp", "udp4", "udp6"} {
			for _, address := range []string{":0", "0.0.0.0:0", "[::]:0", s.on(0), ":", "[::ffff:0.0.0.0]:0"} {
				s.packetListened(network+" "+hide(address), network, address)
			}
		}
		c, _ := s.packetPair()
		s.note("dialed", net.Conn(c), c.LocalAddr(), c.RemoteAddr())
	}},
	{"bad sockets", func(s *script) {
		for _, network := range []string{"", "tcp", "udp5"} {
			s.packetListened(network, network, ":0")
		}
		for _, address := range []string{"", s.addr, s.on(65536), s.on(-1), "[::1", "192.0.2.1:0", "[2001:db8::1]:0", net.JoinHostPort(s.addr, "nosuchservice")} {
			s.packetListened(hide(address), "udp", address)
		}
		s.packetListened("mismatch", "udp4", "[::1]:0")
		s.packetListened("mismatch", "udp6", "127.0.0.1:0")
	}},
	{"ports of sockets", func(s *script) {
		c := s.packetListened("first", "udp", s.on(0))
		s.packetListened("same", "udp", c.LocalAddr().String())
		s.packetListened("any", "udp", fmt.Sprintf(":%d", port(c.LocalAddr())))
		c.Close()
		s.packetListened("again", "udp", c.LocalAddr().String())
		four := s.packetListened("only 4", "udp4", ":0")
		s.packetListened("6 beside", "udp6", fmt.Sprintf(":%d", port(four.LocalAddr())))
		s.packetListened("both beside", "udp", fmt.Sprintf(":%d", port(four.LocalAddr())))
	}},
	{"all ways to read", func(s *script) {
		c, d := s.packetPair()
		for range 6 {
			c.Write([]byte("hello"))
		}
		b := make([]byte, 10)
		n, err := d.Read(b)
		s.note("Read", n, err)
		n, a, err := d.ReadFrom(b)
		s.note("ReadFrom", n, a, err)
		n, u, err := d.ReadFromUDP(b)
		s.note("ReadFromUDP", n, u, err)
		n, ap, err := d.ReadFromUDPAddrPort(b)
		s.note("ReadFromUDPAddrPort", n, ap, err)
		n, oobn, flags, u, err := d.ReadMsgUDP(b, make([]byte, 50))
		s.note("ReadMsgUDP", n, oobn, flags, u, err)
		n, oobn, flags, ap, err = d.ReadMsgUDPAddrPort(b, nil)
		s.note("ReadMsgUDPAddrPort", n, oobn, flags, ap, err)
		d.WriteTo([]byte("back"), c.LocalAddr())
		n, a, err = c.ReadFrom(b)
		s.note("ReadFrom", n, a, err)
	}},
	{"all ways to write", func(s *script) {
		c, d := s.packetPair()
		to := c.LocalAddr().(*net.UDPAddr)
		n, err := d.WriteTo([]byte("a"), to)
		s.note("WriteTo", n, err)
		n, err = d.WriteToUDP([]byte("b"), to)
		s.note("WriteToUDP", n, err)
		n, err = d.WriteToUDPAddrPort([]byte("c"), udpAddrPort(to))
		s.note("WriteToUDPAddrPort", n, err)
		n, oobn, err := d.WriteMsgUDP([]byte("d"), nil, to)
		s.note("WriteMsgUDP", n, oobn, err)
		n, oobn, err = d.WriteMsgUDPAddrPort([]byte("e"), nil, udpAddrPort(to))
		s.note("WriteMsgUDPAddrPort", n, oobn, err)
		for range 5 {
			b := make([]byte, 9)
			n, err := c.Read(b)
			s.note("read", string(b[:n]), err)
		}
	}},
	{"writing where it cannot go", func(s *script) {
		c, d := s.packetPair()
		to := d.LocalAddr().(*net.UDPAddr)
		for name, w := range map[string]packetConn{"connected": c} {
			n, err := w.WriteTo([]byte("x"), to)
			s.note(name+" WriteTo", n, err)
			n, err = w.WriteToUDP([]byte("x"), to)
			s.note(name+" WriteToUDP", n, err)
			n, err = w.WriteToUDPAddrPort([]byte("x"), udpAddrPort(to))
			s.note(name+" WriteToUDPAddrPort", n, err)
			n, oobn, err := w.WriteMsgUDP([]byte("x"), nil, to)
			s.note(name+" WriteMsgUDP", n, oobn, err)
			n, oobn, err = w.WriteMsgUDPAddrPort([]byte("x"), nil, udpAddrPort(to))
			s.note(name+" WriteMsgUDPAddrPort", n, oobn, err)
			n, oobn, err = w.WriteMsgUDP([]byte("x"), nil, nil)
			s.note(name+" WriteMsgUDP to nobody", n, oobn, err)
			n, oobn, err = w.WriteMsgUDPAddrPort([]byte("x"), nil, netip.AddrPort{})
			s.note(name+" WriteMsgUDPAddrPort to nobody", n, oobn, err)
			n, err = w.WriteTo([]byte("x"), nil)
			s.note(name+" WriteTo nobody", n, err)
			n, err = w.WriteToUDP([]byte("x"), nil)
			s.note(name+" WriteToUDP nobody", n, err)
		}
		n, err := d.Write([]byte("x"))
		s.note("Write", n, err)
		n, err = d.WriteTo([]byte("x"), nil)
		s.note("to nil", n, err)
		n, err = d.WriteTo([]byte("x"), &net.TCPAddr{IP: to.IP, Port: 9})
		s.note("to TCP", n, err)
		n, err = d.WriteToUDP([]byte("x"), nil)
		s.note("to nil", n, err)
		n, err = d.WriteToUDPAddrPort([]byte("x"), netip.AddrPort{})
		s.note("to the zero", n, err)
		n, oobn, err := d.WriteMsgUDP([]byte("x"), nil, nil)
		s.note("message to nil", n, oobn, err)
		n, oobn, err = d.WriteMsgUDPAddrPort([]byte("x"), nil, netip.AddrPort{})
		s.note("message to the zero", n, oobn, err)
		n, err = d.WriteTo([]byte("x"), &net.UDPAddr{IP: to.IP})
		s.note("to port 0", n, err)
	}},
	{"writing to the other IP version", func(s *script) {
		ip := net.ParseIP("::1")
		if s.v6 {
			ip = net.ParseIP("127.0.0.1")
		}
		for _, network := range []string{"udp", s.version("udp")} {
			c := s.packetListened(network, network, s.on(0))
			n, err := c.WriteTo([]byte("x"), &net.UDPAddr{IP: ip, Port: 9})
			s.note("WriteTo", n, err)
			n, err = c.WriteToUDPAddrPort([]byte("x"), netip.AddrPortFrom(netip.MustParseAddr(ip.String()), 9))
			s.note("WriteToUDPAddrPort", n, err)
			n, oobn, err := c.WriteMsgUDP([]byte("x"), nil, &net.UDPAddr{IP: ip, Port: 9})
			s.note("WriteMsgUDP", n, oobn, err)
		}
	}},
	{"a socket of both IP versions", func(s *script) {
		d := s.packetListened("both", "udp", ":0")
		c := s.connect(netstack.Dialer{}, "udp", s.on(port(d.LocalAddr())))
		c.Write([]byte("ping"))
		b := make([]byte, 9)
		n, from, err := d.ReadFrom(b)
		s.note("read", n, from, err)
		n, err = d.WriteTo([]byte("pong"), from)
		s.note("write", n, err)
		n, err = c.Read(b)
		s.note("read", n, err)
	}},
	{"truncated", func(s *script) {
		c, d := s.packetPair()
		for range 5 {
			c.Write([]byte("hello"))
		}
		c.Write([]byte("last"))
		n, err := d.Read(make([]byte, 3))
		s.note("Read", n, err)
		n, _, err = d.ReadFrom(make([]byte, 3))
		s.note("ReadFrom", n, err)
		n, _, err = d.ReadFrom(nil)
		s.note("ReadFrom into nothing", n, err)
		n, oobn, flags, _, err := d.ReadMsgUDP(make([]byte, 3), nil)
		s.note("ReadMsgUDP", n, oobn, flags, err)
		n, oobn, flags, _, err = d.ReadMsgUDPAddrPort(make([]byte, 5), nil)
		s.note("ReadMsgUDPAddrPort, fits", n, oobn, flags, err)
		b := make([]byte, 9)
		n, err = d.Read(b)
		s.note("next", string(b[:n]), err)
	}},
	{"empty datagrams", func(s *script) {
		c, d := s.packetPair()
		n, err := c.Write(nil)
		s.note("Write", n, err)
		n, err = c.Write([]byte{})
		s.note("Write", n, err)
		c.Write([]byte("x"))
		n, from, err := d.ReadFrom(make([]byte, 9))
		s.note("ReadFrom", n, from, err)
		n, err = d.Read(make([]byte, 9))
		s.note("Read", n, err)
		n, err = d.Read(make([]byte, 9))
		s.note("Read", n, err)
		n, err = d.WriteTo(nil, c.LocalAddr())
		s.note("WriteTo", n, err)
		n, err = c.Read(nil)
		s.note("Read", n, err)
	}},
	{"largest datagram", func(s *script) {
		c, d := s.packetPair()
		for _, size := range []int{65507, 65508, 65527, 65528, 70000} {
			if s.v6 && size == 65508 {
				continue // an IPv6 packet can be as long
			}
			n, err := c.Write(make([]byte, size))
			s.note("Write", size, n, err)
			n, err = d.WriteTo(make([]byte, size), c.LocalAddr())
			s.note("WriteTo", size, n, err)
			_, _, err = d.WriteMsgUDP(make([]byte, size), nil, c.LocalAddr().(*net.UDPAddr))
			s.note("WriteMsgUDP", size, err)
			_, _, err = c.WriteMsgUDP(make([]byte, size), nil, nil)
			s.note("WriteMsgUDP", size, err)
		}
	}},
	{"strangers are not heard", func(s *script) {
		c, d := s.packetPair()
		e, err := s.listenPacket("udp", s.on(0))
		closing(s, must(s, e, err)).WriteTo([]byte("stranger"), c.LocalAddr())
		d.WriteTo([]byte("friend"), c.LocalAddr())
		b := make([]byte, 20)
		n, err := c.Read(b)
		s.note("read", string(b[:n]), err)
	}},
}
