package accounting

import (
	"sync/atomic"
	"time"
)

// activityGrain is how far packets are apart, at least, that are noted apart:
// receivers on several processors would contend for the place where each of
// their packets is noted.
const activityGrain = 5 * time.Millisecond

// Activity is when a packet passed last: exactly for one that came alone, and
// less than 5 ms too early for others.
type Activity struct {
	last atomic.Int64
}

// Begin says that no packet passed before now.
func (a *Activity) Begin(now int64) { a.last.Store(now) }

// Note says that a packet passed at now. It does not go back in time, whichever
// caller is late.
func (a *Activity) Note(now int64) {
	for last := a.last.Load(); now-last >= int64(activityGrain); last = a.last.Load() {
		if a.last.CompareAndSwap(last, now) {
			return
		}
	}
}

// Last returns when a packet passed last, or what Begin said.
func (a *Activity) Last() int64 { return a.last.Load() }
