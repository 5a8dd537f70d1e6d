// Package clock is the module's one clock: a monotonic number of nanoseconds.
package clock

import "time"

var epoch = time.Now()

// begin is what the clock tells as the program begins: 73 years. So all times are more
// than 0, which stands for "never" in many places, also where time is that of
// testing/synctest, which begins in the year 2000.
const begin = 1 << 61

// Now returns the time, in nanoseconds. It never goes back, whatever is done to the
// system's time.
func Now() int64 { return begin + int64(time.Since(epoch)) }

// Time returns the time of the system's clock that was, or will be, at now, as told by
// the system when the program began.
func Time(now int64) time.Time { return epoch.Add(time.Duration(now - begin)) }
