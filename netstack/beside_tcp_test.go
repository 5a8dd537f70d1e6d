package netstack_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"tstun/netstack"
)

// much is more than any socket holds.
var much = make([]byte, 64<<20)

var past = time.Unix(1, 0)

// A moment is for a call to begin to block. If it has not, the row's outcome is
// the same.
const moment = 5 * time.Millisecond

// connRows are about reading, writing and deadlines of TCP.
var connRows = []row{
	{"types and addresses", func(s *script) {
		l := s.listener("tcp")
		c := s.connect(netstack.Dialer{}, "tcp", l.Addr().String())
		d, err := l.Accept()
		s.note("listener", l, l.Addr())
		s.note("client", c, c.LocalAddr(), c.RemoteAddr())
		s.note("server", d, err, d.LocalAddr(), d.RemoteAddr())
		s.note("they match", c.LocalAddr().String() == d.RemoteAddr().String(), c.RemoteAddr().String() == d.LocalAddr().String())
	}},
	{"read and write", func(s *script) {
		c, d := s.pair()
		n, err := c.Write([]byte("hello"))
		s.note("write", n, err)
		b := make([]byte, 3)
		n, err = io.ReadFull(d, b)
		s.note("read", n, err, string(b[:n]))
		n, err = d.Read(make([]byte, 10))
		s.note("rest", n, err)
	}},
	{"nothing to read or write", func(s *script) {
		c, _ := s.pair()
		n, err := c.Read(nil)
		s.note("read", n, err)
		n, err = c.Write(nil)
		s.note("write", n, err)
		c.SetDeadline(past)
		n, err = c.Read(nil)
		s.note("read late", n, err)
		n, err = c.Write([]byte{})
		s.note("write late", n, err)
		c.SetDeadline(time.Time{})
		c.CloseWrite()
		n, err = c.Write(nil)
		s.note("write after CloseWrite", n, err)
		c.Close()
		n, err = c.Read(nil)
		s.note("read closed", n, err)
		n, err = c.Write(nil)
		s.note("write closed", n, err)
	}},
	{"read deadline", func(s *script) {
		c, d := s.pair()
		for _, at := range []time.Time{past, time.Now().Add(-1), time.Now().Add(moment)} {
			s.note("set", c.SetReadDeadline(at))
			for range 2 {
				n, err := c.Read(make([]byte, 1))
				s.note("read", n, err)
			}
		}
		d.Write([]byte("x"))
		s.note("back to none", c.SetReadDeadline(time.Time{}))
		n, err := c.Read(make([]byte, 5))
		s.note("read", n, err)
		n, err = c.Write([]byte("not concerned"))
		s.note("write", n, err)
	}},
	{"late with data there", func(s *script) {
		c, d := s.pair()
		d.Write([]byte("ab"))
		n, err := c.Read(make([]byte, 1))
		s.note("first", n, err)
		c.SetReadDeadline(past)
		n, err = c.Read(make([]byte, 1))
		s.note("late", n, err)
		c.SetReadDeadline(time.Time{})
		n, err = c.Read(make([]byte, 1))
		s.note("second", n, err)
	}},
	{"deadline while reading", func(s *script) {
		c, _ := s.pair()
		c.SetReadDeadline(time.Now().Add(time.Hour))
		wait := background(func() {
			n, err := c.Read(make([]byte, 1))
			s.note("read", n, err)
		})
		time.Sleep(moment)
		c.SetReadDeadline(past)
		wait()
	}},
	{"deadline moved on while reading", func(s *script) {
		c, d := s.pair()
		c.SetReadDeadline(time.Now().Add(20 * moment))
		wait := background(func() {
			n, err := c.Read(make([]byte, 1))
			s.note("read", n, err)
		})
		c.SetReadDeadline(time.Time{})
		time.Sleep(22 * moment)
		d.Write([]byte("x"))
		wait()
	}},
	{"write deadline", func(s *script) {
		c, _ := s.pair()
		s.note("set", c.SetWriteDeadline(past))
		n, err := c.Write([]byte("x"))
		s.note("write", n, err)
		c.SetWriteDeadline(time.Now().Add(moment))
		n, err = c.Write(much)
		s.note("write much", n < len(much), err)
	}},
	{"deadline while writing", func(s *script) {
		c, d := s.pair()
		wait := background(func() {
			n, err := c.Write(much)
			s.note("write", n > 0, n < len(much), err)
		})
		d.Read(make([]byte, 1)) // so it has begun
		c.SetWriteDeadline(past)
		wait()
	}},
	{"close while reading and writing", func(s *script) {
		c, _ := s.pair()
		var mu sync.Mutex
		results := map[string]any{}
		do := func(name string, f func([]byte) (int, error)) func() {
			return background(func() {
				_, err := f(much)
				mu.Lock()
				defer mu.Unlock()
				results[name] = err
			})
		}
		waits := []func(){do("read", c.Read), do("write", c.Write)}
		time.Sleep(moment)
		s.note("close", c.Close())
		for _, wait := range waits {
			wait()
		}
		s.note("read", results["read"])
		s.note("write", results["write"])
	}},
	{"a closed connection", func(s *script) {
		c, _ := s.pair()
		c.Close()
		s.note("close", c.Close())
		n, err := c.Read(make([]byte, 1))
		s.note("read", n, err)
		n, err = c.Write([]byte("x"))
		s.note("write", n, err)
		m, err := c.ReadFrom(strings.NewReader("x"))
		s.note("read from", m, err)
		m, err = c.WriteTo(io.Discard)
		s.note("write to", m, err)
		s.note("halves", c.CloseRead(), c.CloseWrite())
		s.note("deadlines", c.SetDeadline(past), c.SetReadDeadline(time.Time{}), c.SetWriteDeadline(past))
		s.note("delay, linger", c.SetNoDelay(true), c.SetLinger(3))
		s.note("keep-alive", c.SetKeepAlive(true), c.SetKeepAlivePeriod(time.Second), c.SetKeepAliveConfig(net.KeepAliveConfig{}))
		s.note("buffers", c.SetReadBuffer(5000), c.SetWriteBuffer(5000))
		s.note("addresses", c.LocalAddr(), c.RemoteAddr())
	}},
	{"a closed connection reads from nothing", func(s *script) {
		c, _ := s.pair()
		c.Close()
		n, err := c.ReadFrom(strings.NewReader(""))
		s.note("read from", n, err)
	}},
	{"ReadFrom", func(s *script) {
		c, d := s.pair()
		n, err := c.ReadFrom(strings.NewReader("all of it"))
		s.note("all", n, err)
		n, err = c.ReadFrom(io.LimitReader(strings.NewReader("all of it"), 3))
		s.note("limited", n, err)
		n, err = c.ReadFrom(io.MultiReader(strings.NewReader("some"), brokenReader{}))
		s.note("broken source", n, err)
		c.SetWriteDeadline(past)
		n, err = c.ReadFrom(strings.NewReader("late"))
		s.note("late", n, err)
		c.CloseWrite()
		all, err := io.ReadAll(d)
		s.note("arrived", string(all), err)
	}},
	{"WriteTo", func(s *script) {
		c, d := s.pair()
		io.WriteString(c, "all of it")
		c.CloseWrite()
		var b bytes.Buffer
		n, err := d.WriteTo(&b)
		s.note("all", n, err, b.String())
		n, err = d.WriteTo(&b)
		s.note("again", n, err)
		io.WriteString(d, "for nobody")
		n, err = c.WriteTo(brokenWriter{})
		s.note("broken sink", n, err)
		c.SetReadDeadline(past)
		n, err = c.WriteTo(&b)
		s.note("late", n, err)
	}},
	{"io.Copy between connections", func(s *script) {
		c, d := s.pair()
		e, f := s.pair()
		wait := background(func() {
			n, err := io.Copy(e, d)
			s.note("copied", n, err)
			s.note("half", e.CloseWrite())
		})
		n, err := io.Copy(c, io.LimitReader(pattern(1), 50_000))
		c.CloseWrite()
		wait()
		s.note("sent", n, err)
		n, err = io.Copy(io.Discard, f)
		s.note("arrived", n, err)
	}},
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errSource }

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errSource }
