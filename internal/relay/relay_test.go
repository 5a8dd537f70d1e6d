package relay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"syscall"
	"testing"
	"time"

	"tstun/internal/rig/race"
)

const patience = 30 * time.Second // for what should take milliseconds

// tcpPair returns both ends of a connection over loopback.
func tcpPair(t testing.TB) (near, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	d, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{c, d} {
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(patience))
	}
	return c.(*net.TCPConn), d.(*net.TCPConn)
}

// startRelay returns the outer ends of two connections with a relay between
// them, and what it returns.
func startRelay(t testing.TB, ctx context.Context) (left, right *net.TCPConn, done chan error) {
	t.Helper()
	left, a := tcpPair(t)
	right, b := tcpPair(t)
	done = make(chan error, 1)
	go func() { done <- Both(ctx, a, b) }()
	return left, right, done
}

func wantEnd(t *testing.T, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		t.Fatal("the relay goes on")
		return nil
	}
}

// Each half ends by itself, with all bytes.
func TestRelayHalfClose(t *testing.T) {
	left, right, done := startRelay(t, t.Context())
	data := make([]byte, 3*LargeBuffer+SmallBuffer+1)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	for _, way := range [][2]*net.TCPConn{{left, right}, {right, left}} {
		go func() {
			way[0].Write(data)
			way[0].CloseWrite()
		}()
		if got, err := io.ReadAll(way[1]); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes, %v; want %d", len(got), err, len(data))
		}
	}
	if err := wantEnd(t, done); err != nil {
		t.Error(err)
	}
}

// A reset on one side is a reset on the other.
func TestRelayReset(t *testing.T) {
	for name, pick := range map[string]func(l, r *net.TCPConn) (from, to *net.TCPConn){
		"left":  func(l, r *net.TCPConn) (_, _ *net.TCPConn) { return l, r },
		"right": func(l, r *net.TCPConn) (_, _ *net.TCPConn) { return r, l },
	} {
		t.Run(name, func(t *testing.T) {
			left, right, done := startRelay(t, t.Context())
			from, to := pick(left, right)
			from.Write([]byte("x"))
			io.ReadFull(to, make([]byte, 1))
			from.SetLinger(0)
			from.Close()
			if _, err := to.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("got %v", err)
			}
			if err := wantEnd(t, done); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the relay returns %v", err)
			}
		})
	}
}

func TestRelayContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	left, right, done := startRelay(t, ctx)
	cancel()
	wantEnd(t, done)
	for _, c := range []net.Conn{left, right} {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %v", err)
		}
	}
}

// script is a reader of given read sizes. It says with how large a buffer it
// was asked.
type script struct {
	sizes []int
	asked []int
	end   error
}

func (s *script) Read(b []byte) (int, error) {
	s.asked = append(s.asked, len(b))
	if len(s.sizes) == 0 {
		return 0, s.end
	}
	n := min(s.sizes[0], len(b))
	s.sizes = s.sizes[1:]
	return n, nil
}

// What waits, waits with a small buffer.
func TestCopyBuffers(t *testing.T) {
	errBroken := errors.New("broken")
	for _, end := range []error{io.EOF, errBroken} {
		s := &script{sizes: []int{10, 1 << 30, 1 << 30, SmallBuffer + 1, SmallBuffer, 10, SmallBuffer}, end: end}
		if err := Copy(io.Discard, s); end == io.EOF && err != nil || end != io.EOF && err != end {
			t.Errorf("got %v after %v", err, end)
		}
		want := []int{SmallBuffer, SmallBuffer, LargeBuffer, LargeBuffer, LargeBuffer, SmallBuffer, SmallBuffer, LargeBuffer}
		for i, n := range want {
			if s.asked[i] != n {
				t.Fatalf("buffers %v, want %v", s.asked, want)
			}
		}
	}
}

type brokenWriter struct{ after int }

func (w *brokenWriter) Write(b []byte) (int, error) {
	if w.after--; w.after < 0 {
		return 0, syscall.EPIPE
	}
	return len(b), nil
}

func TestCopyWriteErrors(t *testing.T) {
	for after := range 3 {
		s := &script{sizes: []int{SmallBuffer, LargeBuffer, 1}, end: io.EOF}
		if err := Copy(&brokenWriter{after}, s); err != syscall.EPIPE {
			t.Errorf("after %d writes: %v", after, err)
		}
	}
}

func TestCopyDoesNotAllocate(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	s := &script{end: io.EOF, asked: make([]int, 0, 100)}
	sizes := []int{1, SmallBuffer, LargeBuffer, 1}
	if n := testing.AllocsPerRun(100, func() {
		s.sizes, s.asked = sizes, s.asked[:0]
		Copy(io.Discard, s)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkRelay compares Copy with io.Copy over loopback, from TCP to TCP,
// where io.Copy uses splice(2) on Linux, and hidden from it.
func BenchmarkRelay(b *testing.B) {
	type conn struct{ net.Conn }
	for _, way := range []struct {
		name string
		copy func(dst, src net.Conn) error
	}{
		{"Copy", func(dst, src net.Conn) error { return Copy(dst, src) }},
		{"io.Copy", func(dst, src net.Conn) error { _, err := io.Copy(dst, src); return err }},
		{"io.Copy hidden", func(dst, src net.Conn) error { _, err := io.Copy(conn{dst}, conn{src}); return err }},
	} {
		b.Run(way.name, func(b *testing.B) {
			in, src := tcpPair(b)
			dst, out := tcpPair(b)
			go func() {
				way.copy(dst, src)
				dst.CloseWrite()
			}()
			ended := make(chan struct{})
			go func() {
				io.Copy(io.Discard, struct{ io.Reader }{out})
				close(ended)
			}()
			data := make([]byte, 1<<20)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := in.Write(data); err != nil {
					b.Fatal(err)
				}
			}
			in.CloseWrite()
			<-ended
		})
	}
}
