package netstack_test

import (
	"io"
	"net"
	"time"
)

// endRows are about how TCP connections end.
var endRows = []row{
	{"EOF again and again", func(s *script) {
		c, d := s.pair()
		io.WriteString(c, "x")
		c.Close()
		for range 3 {
			n, err := d.Read(make([]byte, 5))
			s.note("read", n, err)
		}
	}},
	{"half close", func(s *script) {
		c, d := s.pair()
		s.note("close", c.CloseWrite())
		n, err := c.Write([]byte("x"))
		s.note("write", n, err)
		n, err = d.Read(make([]byte, 1))
		s.note("other reads", n, err)
		n, err = d.Write([]byte("still"))
		s.note("other writes", n, err)
		n, err = c.Read(make([]byte, 10))
		s.note("read", n, err)
		s.note("again", c.CloseWrite())
		s.note("other", d.CloseWrite())
		n, err = c.Read(make([]byte, 10))
		s.note("read", n, err)
	}},
	{"CloseRead", func(s *script) {
		c, d := s.pair()
		s.note("close", c.CloseRead())
		n, err := c.Read(make([]byte, 1))
		s.note("read", n, err)
		n, err = c.Write([]byte("x"))
		s.note("write", n, err)
		n, err = d.Read(make([]byte, 1))
		s.note("other reads", n, err)
		s.note("again", c.CloseRead())
	}},
	{"CloseRead while reading", func(s *script) {
		c, _ := s.pair()
		wait := background(func() {
			n, err := c.Read(make([]byte, 1))
			s.note("read", n, err)
		})
		time.Sleep(moment)
		c.CloseRead()
		wait()
	}},
	{"both halves", func(s *script) {
		c, d := s.pair()
		s.note("close", c.CloseRead(), c.CloseWrite())
		n, err := d.Read(make([]byte, 1))
		s.note("other reads", n, err)
		s.note("close", c.Close())
	}},
	{"reset, then read", func(s *script) {
		c, d := s.pair()
		c.SetLinger(0)
		c.Close()
		for range 3 {
			n, err := d.Read(make([]byte, 5))
			s.note("read", n, err)
		}
		n, err := d.Write([]byte("x"))
		s.note("write", n, err)
		s.note("halves", d.CloseRead(), d.CloseWrite())
		s.note("settings", d.SetNoDelay(false), d.SetKeepAlive(true), d.SetDeadline(past))
		n, err = d.Read(make([]byte, 5))
		s.note("read late", n, err)
		s.note("addresses", d.LocalAddr(), d.RemoteAddr())
		s.note("close", d.Close())
	}},
	{"reset, then write", func(s *script) {
		c, d := s.pair()
		c.SetLinger(0)
		c.Close()
		n, err := untilError(d)
		s.note("write", n, err)
		n, err = d.Write([]byte("x"))
		s.note("write", n, err)
		n, err = d.Read(make([]byte, 5))
		s.note("read", n, err)
	}},
	{"reset while reading", func(s *script) {
		c, d := s.pair()
		wait := background(func() {
			n, err := d.Read(make([]byte, 1))
			s.note("read", n, err)
		})
		time.Sleep(moment)
		c.SetLinger(0)
		c.Close()
		wait()
	}},
	{"reset while writing", func(s *script) {
		c, d := s.pair()
		wait := background(func() {
			n, err := d.Write(much)
			s.note("write", n > 0, n < len(much), err)
		})
		c.Read(make([]byte, 1)) // so it has begun
		c.SetLinger(0)
		c.Close()
		wait()
	}},
	{"write after the other's close", func(s *script) {
		c, d := s.pair()
		c.Close()
		n, err := d.Read(make([]byte, 5))
		s.note("read", n, err)
		n, err = untilError(d)
		s.note("write", n, err)
		n, err = d.Write([]byte("x"))
		s.note("write", n, err)
		n, err = d.Read(make([]byte, 5))
		s.note("read", n, err)
	}},
	{"close with unread data resets", func(s *script) {
		c, d := s.pair()
		io.WriteString(c, "two")
		io.ReadFull(d, make([]byte, 1))
		d.Close()
		n, err := c.Read(make([]byte, 5))
		s.note("read", n, err)
	}},
	{"what was written is still sent", func(s *script) {
		c, d := s.pair()
		for _, sec := range []int{-1, 5} {
			s.note("linger", c.SetLinger(sec))
		}
		c.SetLinger(-1)
		c.Write(make([]byte, 100_000))
		s.note("close", c.Close())
		n, err := io.Copy(io.Discard, d)
		s.note("arrived", n, err)
	}},
}

// untilError writes until that fails: a reset is on its way.
func untilError(c net.Conn) (int, error) {
	for {
		if n, err := c.Write([]byte("x")); err != nil {
			return n, err
		}
		time.Sleep(time.Millisecond)
	}
}

// optionRows are about settings.
var optionRows = []row{
	{"settings", func(s *script) {
		c, _ := s.pair()
		s.note("delay", c.SetNoDelay(false), c.SetNoDelay(true))
		s.note("linger", c.SetLinger(-5), c.SetLinger(0), c.SetLinger(10))
		s.note("keep-alive", c.SetKeepAlive(false), c.SetKeepAlive(true))
		for _, d := range []time.Duration{-1, 0, 1, time.Second, time.Hour} {
			s.note("period", c.SetKeepAlivePeriod(d))
		}
		for _, k := range []net.KeepAliveConfig{{}, {Enable: true}, {Enable: true, Idle: -1, Interval: -1, Count: -1}, {Enable: true, Idle: 5e9, Interval: 3e9, Count: 10}} {
			s.note("config", c.SetKeepAliveConfig(k))
		}
		c.SetLinger(-1)
	}},
	{"keep-alive out of range", func(s *script) {
		c, _ := s.pair()
		s.note("count", c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Count: 1000}))
		s.note("idle", c.SetKeepAlivePeriod(100_000*time.Second))
		s.note("interval", c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Interval: 100_000 * time.Second}))
	}},
	{"buffers", func(s *script) {
		c, d := s.pair()
		for _, n := range []int{0, -1, 1, 5000, 1 << 30} {
			s.note("set", c.SetReadBuffer(n), c.SetWriteBuffer(n))
		}
		c.SetReadBuffer(20_000)
		c.SetWriteBuffer(20_000)
		wait := background(func() {
			n, err := io.Copy(c, c)
			s.note("echoed", n, err)
			c.CloseWrite()
		})
		go func() {
			io.CopyN(d, pattern(1), 100_000)
			d.CloseWrite()
		}()
		n, err := io.Copy(io.Discard, d)
		wait()
		s.note("came back", n, err)
	}},
}
