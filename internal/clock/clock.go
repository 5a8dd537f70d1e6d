// Package clock is the module's one clock: a monotonic number of nanoseconds.
package clock

import "time"

var epoch = time.Now()

// Now returns the time since the program began, in nanoseconds. It never goes
// back, whatever is done to the system's time.
func Now() int64 { return int64(time.Since(epoch)) }

// Time returns the time of the system's clock that was, or will be, at now, as told by
// the system when the program began.
func Time(now int64) time.Time { return epoch.Add(time.Duration(now)) }
