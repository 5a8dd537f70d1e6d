package netstack_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"sync"
	"testing"
	"time"

	"tstun/filter"
)

// pattern yields reproducible bytes.
func pattern(seed uint64) io.Reader {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	return mathrand.NewChaCha8(key)
}

// nets are the ways between two nodes that a test goes through.
var nets = []struct {
	name  string
	build func(testing.TB) (a, b *node)
}{
	{"back to back", backToBack},
	{"wireguard", overWireGuard},
}

func TestTCPTransferIsIntact(t *testing.T) {
	for _, net := range nets {
		for _, version := range []string{"tcp4", "tcp6"} {
			for _, size := range []int64{0, 1, 1239, 8 << 20} {
				t.Run(net.name+"/"+version, func(t *testing.T) {
					a, b := net.build(t)
					to := b.v4
					if version == "tcp6" {
						to = b.v6
					}
					transfer(t, a, b, version, b.on(to, 5001), size)
				})
			}
		}
	}
}

// transfer sends size bytes from a to b and their hash back.
func transfer(t testing.TB, a, b *node, network, address string, size int64) {
	t.Helper()
	l := mustListen(t, b.s, network, address)
	got := make(chan []byte, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			got <- nil
			return
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		h := sha256.New()
		io.Copy(h, c)
		c.Write(h.Sum(nil))
		got <- h.Sum(nil)
	}()
	c := mustDial(t, a.s, network, address)
	want := sha256.New()
	if n, err := io.Copy(c, io.TeeReader(io.LimitReader(pattern(uint64(size)), size), want)); n != size || err != nil {
		t.Fatalf("sent %d of %d bytes: %v", n, size, err)
	}
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	echoed, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(echoed, want.Sum(nil)) || !bytes.Equal(<-got, want.Sum(nil)) {
		t.Errorf("%d bytes arrived changed", size)
	}
}

// BenchmarkTCP measures what connections carry together, from one stack to the
// other, without and with WireGuard in between.
func BenchmarkTCP(b *testing.B) {
	for _, path := range nets {
		for _, connections := range []int{1, 16, 128} {
			b.Run(fmt.Sprintf("%s/%d", path.name, connections), func(b *testing.B) {
				benchmarkTCP(b, path.build, connections)
			})
		}
	}
}

func benchmarkTCP(b *testing.B, build func(testing.TB) (x, y *node), connections int) {
	x, y := build(b)
	l := mustListen(b, y.s, "tcp", y.on(y.v4, 5001))
	var sinks, sources sync.WaitGroup
	blocks := make(chan []byte)
	for range connections {
		c, err := x.s.DialContext(ctx(b), "tcp", y.on(y.v4, 5001))
		if err != nil {
			b.Fatal(err)
		}
		peer, err := l.Accept()
		if err != nil {
			b.Fatal(err)
		}
		sinks.Go(func() {
			io.CopyBuffer(struct{ io.Writer }{io.Discard}, peer, make([]byte, 256<<10))
			peer.Close()
		})
		sources.Go(func() {
			for block := range blocks {
				if _, err := c.Write(block); err != nil {
					b.Error(err)
				}
			}
			c.Close()
		})
	}
	block := make([]byte, 256<<10)
	b.SetBytes(int64(len(block)))
	b.ReportAllocs()
	for b.Loop() {
		blocks <- block
	}
	close(blocks)
	sources.Wait()
	sinks.Wait()
	b.ReportMetric(float64(x.w.Counters().QueueOverflows)/float64(b.N), "overflows/op")
	b.ReportMetric(float64(y.w.Counters().In.Drops[filter.ReasonHook])/float64(b.N), "inboxdrops/op")
}
