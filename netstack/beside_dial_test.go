package netstack_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"tstun/netstack"
)

// dialed notes what a dial gives.
func (s *script) dialed(what string, ctx context.Context, d netstack.Dialer, network, address string) {
	c, err := s.dial(ctx, d, network, address)
	s.note(what, c, err)
	if err == nil {
		c.Close()
	}
}

func (s *script) plainly(network, address string) {
	s.dialed("dial "+network+" "+hide(address), context.Background(), netstack.Dialer{}, network, address)
}

// dialRows are about dialing, by both protocols.
var dialRows = []row{
	{"dial by version", func(s *script) {
		l := s.listener("tcp")
		for _, network := range []string{"tcp", "tcp4", "tcp6", "udp", "udp4", "udp6"} {
			s.plainly(network, s.on(port(l.Addr())))
		}
	}},
	{"dial a mapped address", func(s *script) {
		if s.v6 {
			return
		}
		l := s.listener("tcp")
		s.plainly("tcp", fmt.Sprintf("[::ffff:%s]:%d", s.addr, port(l.Addr())))
		s.plainly("tcp4", fmt.Sprintf("[::ffff:%s]:%d", s.addr, port(l.Addr())))
	}},
	{"refused", func(s *script) {
		s.plainly("tcp", s.on(s.refusingPort("tcp")))
		s.plainly(s.version("tcp"), s.on(s.refusingPort("tcp")))
	}},
	{"unknown networks", func(s *script) {
		for _, network := range []string{"", "tcp5", "TCP", "sctp", "udp44"} {
			s.plainly(network, s.on(80))
		}
	}},
	{"bad addresses", func(s *script) {
		for _, address := range []string{
			"", s.addr, s.on(65536), s.on(-1), net.JoinHostPort(s.addr, "nosuchservice"), net.JoinHostPort(s.addr, "70000000000000"),
			"[::1", "[::1]", "a:b:c", "[[::1]]:80", s.on(80) + "0", "::::80", ":::80",
		} {
			s.plainly("tcp", address)
			s.plainly("udp", address)
		}
	}},
	{"services", func(s *script) {
		s.dialed("canceled", canceled(), netstack.Dialer{}, "tcp", net.JoinHostPort(s.addr, "http"))
		s.dialed("canceled", canceled(), netstack.Dialer{}, "tcp", net.JoinHostPort(s.addr, "HTTPS"))
		s.dialed("canceled", canceled(), netstack.Dialer{}, "udp", net.JoinHostPort(s.addr, "domain"))
	}},
	{"context", func(s *script) {
		l := s.listener("tcp")
		late, cancel := context.WithDeadline(context.Background(), past)
		defer cancel()
		for _, network := range []string{"tcp", "udp", s.version("tcp")} {
			s.dialed("canceled", canceled(), netstack.Dialer{}, network, l.Addr().String())
			s.dialed("late", late, netstack.Dialer{}, network, l.Addr().String())
		}
	}},
	{"dialer's limits", func(s *script) {
		l := s.listener("tcp")
		for _, d := range []netstack.Dialer{
			{Timeout: -1}, {Deadline: past}, {Timeout: time.Hour, Deadline: past}, {Timeout: -1, Deadline: time.Now().Add(time.Hour)},
			{Timeout: time.Hour}, {Deadline: time.Now().Add(time.Hour)},
		} {
			s.dialed("dial", context.Background(), d, "tcp", l.Addr().String())
			s.dialed("dial", context.Background(), d, "udp", l.Addr().String())
		}
	}},
	{"local address", func(s *script) {
		l := s.listener("tcp")
		to := l.Addr().String()
		ip, other := net.ParseIP("127.0.0.1"), net.ParseIP("::1")
		if s.v6 {
			ip, other = other, ip
		}
		_ = ip
		for _, local := range []net.Addr{
			&net.TCPAddr{}, &net.UDPAddr{}, &net.IPAddr{}, &net.TCPAddr{IP: net.IPv4zero}, &net.TCPAddr{IP: net.IPv6zero},
			&net.TCPAddr{IP: other}, &net.TCPAddr{IP: net.ParseIP("192.0.2.1")}, &net.TCPAddr{IP: net.ParseIP("2001:db8::1")},
		} {
			s.dialed("from "+describe(local), context.Background(), netstack.Dialer{LocalAddr: local}, "tcp", to)
		}
		for _, local := range []net.Addr{&net.UDPAddr{}, &net.TCPAddr{}, &net.UDPAddr{IP: other}, &net.UDPAddr{IP: net.ParseIP("192.0.2.1")}} {
			s.dialed("udp from "+describe(local), context.Background(), netstack.Dialer{LocalAddr: local}, "udp", to)
			s.dialed(s.version("udp")+" from "+describe(local), context.Background(), netstack.Dialer{LocalAddr: local}, s.version("udp"), to)
		}
	}},
	{"local port", func(s *script) {
		l, m := s.listener("tcp"), s.listener("tcp")
		first := s.connect(netstack.Dialer{}, "tcp", l.Addr().String())
		from := netstack.Dialer{LocalAddr: first.LocalAddr()}
		s.dialed("taken, same peer", context.Background(), from, "tcp", l.Addr().String())
		s.dialed("taken, other peer", context.Background(), from, "tcp", m.Addr().String())
		free := netstack.Dialer{LocalAddr: &net.TCPAddr{Port: port(first.LocalAddr())}}
		s.dialed("taken, any address", context.Background(), free, "tcp", m.Addr().String())
		if err := first.(conn).SetLinger(0); err != nil {
			s.Error(err)
		}
		first.Close()
		c := s.connect(from, "tcp", l.Addr().String())
		s.note("free again", c, c.LocalAddr().String() == first.LocalAddr().String())
	}},
	{"local port in TIME-WAIT", func(s *script) {
		l := s.listener("tcp")
		first := s.connect(netstack.Dialer{LocalAddr: &net.TCPAddr{}}, "tcp", l.Addr().String())
		d, err := l.Accept()
		must(s, d, err)
		first.Close()
		io.Copy(io.Discard, d)
		d.Close()
		time.Sleep(moment) // the last acknowledgement
		from := netstack.Dialer{LocalAddr: first.LocalAddr()}
		s.dialed("again", context.Background(), from, "tcp", l.Addr().String())
	}},
	{"local port of a dialed UDP socket", func(s *script) {
		_, server := s.packetPair()
		first := s.connect(netstack.Dialer{}, "udp", server.LocalAddr().String())
		from := netstack.Dialer{LocalAddr: first.LocalAddr()}
		s.dialed("taken", context.Background(), from, "udp", server.LocalAddr().String())
		first.Close()
		c := s.connect(from, "udp", server.LocalAddr().String())
		s.note("free again", c, c.LocalAddr().String() == first.LocalAddr().String(), c.RemoteAddr())
	}},
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// listened notes what listening gives, and returns it open.
func (s *script) listened(what, network, address string) net.Listener {
	l, err := s.listen(network, address)
	if err != nil {
		s.note(what, nil, err)
		return nil
	}
	s.note(what, l, err, l.Addr())
	return closing(s, l)
}

// listenRows are about listeners.
var listenRows = []row{
	{"addresses of listeners", func(s *script) {
		for _, network := range []string{"tcp", "tcp4", "tcp6"} {
			for _, address := range []string{":0", "0.0.0.0:0", "[::]:0", s.on(0), ":", "[::ffff:0.0.0.0]:0"} {
				s.listened(network+" "+hide(address), network, address)
			}
		}
	}},
	{"bad listeners", func(s *script) {
		for _, network := range []string{"", "udp", "tcp5"} {
			s.listened(network, network, ":0")
		}
		for _, address := range []string{"", s.addr, s.on(65536), s.on(-1), "[::1", "192.0.2.1:0", "[2001:db8::1]:0", net.JoinHostPort(s.addr, "nosuchservice")} {
			s.listened(hide(address), "tcp", address)
		}
		s.listened("mismatch", "tcp4", "[::1]:0")
		s.listened("mismatch", "tcp6", "127.0.0.1:0")
	}},
	{"who hears", func(s *script) {
		for _, network := range []string{"tcp", "tcp4", "tcp6"} {
			l := s.listened(network, network, ":0")
			s.plainly("tcp", s.on(port(l.Addr())))
			s.plainly("tcp6", s.on(port(l.Addr())))
		}
	}},
	{"a listener's port is taken", func(s *script) {
		l := s.listener("tcp")
		s.listened("same", "tcp", l.Addr().String())
		s.listened("any", "tcp", fmt.Sprintf(":%d", port(l.Addr())))
		wild := s.listened("wild", "tcp", ":0")
		s.listened("one of it", "tcp", s.on(port(wild.Addr())))
		s.listened("same", "tcp", fmt.Sprintf(":%d", port(wild.Addr())))
		s.listened("4", "tcp4", fmt.Sprintf(":%d", port(wild.Addr())))
		s.listened("6", "tcp6", fmt.Sprintf(":%d", port(wild.Addr())))
		four := s.listened("only 4", "tcp4", ":0")
		s.listened("6 beside", "tcp6", fmt.Sprintf(":%d", port(four.Addr())))
		s.listened("both beside", "tcp", fmt.Sprintf(":%d", port(four.Addr())))
	}},
	{"a port is free again at once", func(s *script) {
		l := s.listener("tcp")
		open := s.connect(netstack.Dialer{}, "tcp", l.Addr().String())
		d, err := l.Accept()
		must(s, d, err)
		closing(s, d)
		waiting := s.connect(netstack.Dialer{}, "tcp", l.Addr().String())
		e, err := l.Accept()
		must(s, e, err).Close() // the server's side is in TIME-WAIT in the end
		waiting.Read(make([]byte, 1))
		waiting.Close()
		l.Close()
		again := s.listened("again", "tcp", l.Addr().String())
		c := s.connect(netstack.Dialer{}, "tcp", l.Addr().String())
		got, err := again.Accept()
		s.note("accepted", got, err, got.RemoteAddr().String() == c.LocalAddr().String())
		closing(s, got)
		open.Write([]byte("old"))
		n, err := d.Read(make([]byte, 9))
		s.note("old one works", n, err)
	}},
	{"accept deadline", func(s *script) {
		l := s.listener("tcp").(deadliner)
		for _, at := range []time.Time{past, time.Now().Add(moment)} {
			s.note("set", l.SetDeadline(at))
			c, err := l.Accept()
			s.note("accept", c, err)
		}
		s.connect(netstack.Dialer{}, "tcp", l.Addr().String())
		c, err := l.Accept()
		s.note("late with one there", c, err)
		s.note("none", l.SetDeadline(time.Time{}))
		c, err = l.Accept()
		s.note("accept", c, err)
		closing(s, c)
		wait := background(func() {
			c, err := l.Accept()
			s.note("accept", c, err)
		})
		time.Sleep(moment)
		l.SetDeadline(past)
		wait()
	}},
	{"a closed listener", func(s *script) {
		l := s.listener("tcp").(deadliner)
		wait := background(func() {
			c, err := l.Accept()
			s.note("accept", c, err)
		})
		time.Sleep(moment)
		err := l.Close()
		wait()
		s.note("close", err)
		s.note("again", l.Close())
		c, err := l.Accept()
		s.note("accept", c, err)
		s.note("deadline", l.SetDeadline(past))
		s.note("address", l.Addr())
		s.plainly("tcp", l.Addr().String())
	}},
	{"closed with connections that wait", func(s *script) {
		l := s.listener("tcp")
		c := s.connect(netstack.Dialer{}, "tcp", l.Addr().String())
		time.Sleep(moment)
		l.Close()
		n, err := c.Read(make([]byte, 1))
		s.note("read", n, err)
	}},
	{"accepted after its end", func(s *script) {
		l := s.listener("tcp")
		c := s.connect(netstack.Dialer{}, "tcp", l.Addr().String())
		c.Write([]byte("last words"))
		c.Close()
		d, err := l.Accept()
		s.note("accept", d, err, d.RemoteAddr())
		b := make([]byte, 20)
		n, err := closing(s, d).Read(b)
		s.note("read", string(b[:n]), err)
		n, err = d.Read(b)
		s.note("read", n, err)
	}},
}

type deadliner interface {
	net.Listener
	SetDeadline(time.Time) error
}
