package netstack

import (
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// floodFor is how long a flood lasts.
const floodFor = 200 * time.Millisecond

// BenchmarkFlood sends datagrams of so many bytes as fast as the sender takes
// them. Reported is how many of them a second the other end's program reads.
func BenchmarkFlood(b *testing.B) {
	for _, size := range []int{200, 1200} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			compare(b, "received/s", func(tb testing.TB, ends [2]end) func() float64 {
				received := count(tb, ends[1])
				c := dialTo(tb, ends[0], "udp", 80)
				tb.Cleanup(func() { c.Close() })
				return func() float64 { return flood(tb, c, make([]byte, size), received) }
			}, func(own, other float64) float64 { return own / other })
		})
	}
}

// count reads datagrams to port 80, and returns their number so far.
func count(tb testing.TB, e end) *atomic.Int64 {
	c, err := e.listenUDP(80)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	n := new(atomic.Int64)
	go func() {
		for b := make([]byte, 2048); ; n.Add(1) {
			if _, _, err := c.ReadFrom(b); err != nil {
				return
			}
		}
	}()
	return n
}

// flood sends for floodFor, and returns how many a second were received in that
// time and until nothing more came.
func flood(tb testing.TB, c net.Conn, datagram []byte, received *atomic.Int64) float64 {
	before, began := received.Load(), time.Now()
	for time.Since(began) < floodFor {
		for range 16 {
			if _, err := c.Write(datagram); err != nil {
				tb.Error(err)
				return 0
			}
		}
	}
	rate := float64(received.Load()-before) / time.Since(began).Seconds()
	for last := int64(-1); received.Load() != last; time.Sleep(20 * time.Millisecond) {
		last = received.Load() // the next one begins with empty queues
	}
	return rate
}
