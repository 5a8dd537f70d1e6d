package tstun

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tstun/filter"
	"tstun/internal/testdev"
	"tstun/packet"
)

// The clock is tested from inside: what it saves is not to be seen from
// outside.

// stopped reports whether the clock has no timer that is running.
func (c *clock) stopped() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now.Load() == 0 && (c.timer == nil || !c.timer.Stop())
}

func TestClockIsHardlyBehindWhileAsked(t *testing.T) {
	for _, most := range []time.Duration{time.Microsecond, clockPeriod / 3, clockPeriod, 10 * clockPeriod} {
		synctest.Test(t, func(t *testing.T) {
			var c clock
			defer c.close()
			r := rand.New(rand.NewPCG(1, uint64(most)))
			before, exact := c.read(), 0
			for range 2000 {
				time.Sleep(time.Duration(r.Int64N(int64(most) + 1)))
				now, want := c.read(), filter.Now()
				if now < before || now > want || want-now > int64(clockPeriod) {
					t.Fatalf("at %d, after %d: read %d", want, before, now)
				}
				if now == want {
					exact++
				}
				before = now
			}
			t.Logf("up to %v apart: %d of 2000 are exact", most, exact)
		})
	}
}

func TestClockStandsStillWhenNobodyAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clock
		if !c.stopped() {
			t.Error("a clock that was never asked runs")
		}
		for range 3 {
			if now, want := c.read(), filter.Now(); now != want {
				t.Errorf("the first read is %d behind", want-now)
			}
			if c.now.Load() == 0 {
				t.Error("the clock does not run after a read")
			}
			time.Sleep(2*clockPeriod + 1) // a tick that finds it asked, one that does not
			synctest.Wait()
			if !c.stopped() {
				t.Error("the clock runs, and nobody asks")
			}
			time.Sleep(time.Hour)
		}
	})
}

func TestClockAfterClose(t *testing.T) {
	for _, reads := range []int{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			var c clock
			for range reads {
				c.read()
			}
			c.close()
			c.close()
			for range 5 {
				if now, want := c.read(), filter.Now(); now != want {
					t.Errorf("read after close is %d behind", want-now)
				}
				if !c.stopped() {
					t.Error("a read after close started the clock")
				}
				time.Sleep(clockPeriod)
			}
		})
	}
}

// TestClockNeverGoesBack: no goroutine reads less than what another had read
// before, also while the clock starts, stands still and is closed.
func TestClockNeverGoesBack(t *testing.T) {
	var c clock
	var latest atomic.Int64
	var readers sync.WaitGroup
	start := time.Now()
	for range 4 {
		readers.Go(func() {
			for n := 0; time.Since(start) < 30*clockPeriod; n++ {
				before := latest.Load()
				now := c.read()
				if now < before {
					t.Errorf("read %d after %d", now, before)
				}
				for before < now && !latest.CompareAndSwap(before, now) {
					before = latest.Load()
				}
				if n%1000 == 0 {
					c.tick() // as often as not without having been asked
				}
			}
		})
	}
	readers.Go(func() {
		<-time.After(20 * clockPeriod)
		c.close()
	})
	readers.Wait()
	if !c.stopped() {
		t.Error("the clock runs after close")
	}
}

// TestActivityIsWhenItWas: at the device, not when the call began.
func TestActivityIsWhenItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := Wrap(nil, testdev.New(8))
		defer w.Close()
		w.SetFilter(laneFilter(t, nil))
		w.PreFilterIn = func(*packet.Parsed, *Wrapper) filter.Response {
			time.Sleep(time.Second)
			return filter.Accept
		}
		if _, err := w.Write(laneTraffic(1), 0); err != nil || w.IdleDuration() > 2*clockPeriod {
			t.Errorf("idle for %v after a packet; %v", w.IdleDuration(), err)
		}
	})
}
