//go:build !android

package tunqueue_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// No interrupt is lost: after each, the reader comes back. Many interrupters
// wait for the reader to take notice of what they left, while packets come and
// end the same waits.
func TestInterruptIsNeverLost(t *testing.T) {
	q, far := newQueue(t, false, t.Logf)
	var posted, seen atomic.Int64
	var stop atomic.Bool
	var reader, others sync.WaitGroup
	reader.Go(func() {
		bufs, sizes := buffers(8, 200)
		for !stop.Load() {
			seen.Store(posted.Load()) // as Wrapper looks into its queue before it waits
			if _, err := q.ReadReady(bufs, sizes, 0, true); err != nil {
				t.Error(err)
				return
			}
		}
	})
	const interrupters, rounds = 8, 3000
	for range interrupters {
		others.Go(func() {
			for range rounds {
				mine := posted.Add(1)
				q.Interrupt()
				for since := time.Now(); seen.Load() < mine; runtime.Gosched() {
					if time.Since(since) > patience {
						t.Error("an interrupt was lost")
						return
					}
				}
			}
		})
	}
	others.Go(func() {
		for range rounds {
			if _, err := far.Write(udp(1, 10)); err != nil {
				runtime.Gosched() // full
			}
		}
	})
	soon(t, "an interrupter", others.Wait)
	stop.Store(true)
	q.Interrupt()
	soon(t, "ReadReady", reader.Wait)
}

// An interrupt costs packets nothing: all of them come, in order.
func TestInterruptLosesNoPacket(t *testing.T) {
	q, far := newQueue(t, false, t.Logf)
	const packets = 20_000
	var stop atomic.Bool
	var others sync.WaitGroup
	others.Go(func() {
		for !stop.Load() {
			q.Interrupt()
			runtime.Gosched()
		}
	})
	others.Go(func() {
		for i := range packets {
			if _, err := far.Write(udp(uint32(i), 4)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	bufs, sizes := buffers(16, 100)
	for got := 0; got < packets; {
		n, err := q.ReadReady(bufs, sizes, 0, got%3 > 0)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if want := udp(uint32(got), 4); sizes[i] != len(want) || string(bufs[i][:sizes[i]]) != string(want) {
				t.Fatalf("packet %d is another one", got)
			}
			got++
		}
	}
	stop.Store(true)
	soon(t, "Interrupt", others.Wait)
}

// The order of events decides whether the next wait is interrupted.
func TestInterruptBefore(t *testing.T) {
	q, far := newQueue(t, false, t.Logf)
	bufs, sizes := buffers(1, 100)
	read := func(wait bool) int {
		n, err := q.ReadReady(bufs, sizes, 0, wait)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	q.Interrupt()
	if n := read(false); n != 0 {
		t.Errorf("no packet there: %d", n)
	}
	if n := read(true); n != 0 { // the interrupt is still on
		t.Errorf("interrupted: %d", n)
	}
	send(t, far, udp(1, 4))
	q.Interrupt()
	if n := read(false); n != 1 { // it does not keep from packets
		t.Errorf("a packet there: %d", n)
	}
	if n := read(true); n != 0 {
		t.Errorf("interrupted: %d", n)
	}
	for range 3 {
		send(t, far, udp(1, 4))
		if n := read(true); n != 1 {
			t.Errorf("not interrupted: %d", n)
		}
	}
}
