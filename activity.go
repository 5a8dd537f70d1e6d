package tstun

import (
	"sync/atomic"
	"time"
	"tstun/internal/clock"
)

// activityGrain is how far packets are apart, at least, that are noted apart:
// receivers on several processors would contend for the place where each of
// their packets is noted.
const activityGrain = 5 * time.Millisecond

// activity is when there was a packet last, as clock.Now tells: exactly for
// one that came alone, and less than activityGrain too early for others.
type activity struct {
	last atomic.Int64
}

// note says that there is a packet. It does not go back in time, whichever
// caller is late.
func (a *activity) note(now int64) {
	for last := a.last.Load(); now-last >= int64(activityGrain); last = a.last.Load() {
		if a.last.CompareAndSwap(last, now) {
			return
		}
	}
}

// noteActivity notes the call, if any packet went through or was taken in it:
// as of now where hooks may have taken their time, else as of its beginning,
// which costs a lone packet no second question to the system.
func (b *batch) noteActivity() {
	switch {
	case b.n.packets == 0:
	case b.hooked():
		b.w.activity.note(clock.Now())
	default:
		b.w.activity.note(b.now)
	}
}

// hooked reports whether hooks may have been called for packets of b.
func (b *batch) hooked() bool {
	w := b.w
	if b.way == dirOut {
		return w.seenOut() || len(b.cfg.activity) > 0
	}
	return w.seenIn() || w.OnICMPEchoResponseReceived != nil || w.OnTSMPPongReceived != nil
}

// IdleDuration returns the time since Counters last counted a packet as
// passed, either way, or since Wrap if there was none: one that Read returned
// or Write took, injected or handled by a hook included. It is accurate to
// 5 ms, and to the time that the device took for the packet. A packet that was
// dropped is none: refused peers do not keep a device from being idle.
func (w *Wrapper) IdleDuration() time.Duration {
	last := w.activity.last.Load() // first, so that it is not after now
	return time.Duration(clock.Now() - last)
}
