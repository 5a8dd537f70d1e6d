// Package clock is the module's one clock: a monotonic number of nanoseconds.
package clock

import "time"

var epoch = time.Now()

// Now returns the time since the program began, in nanoseconds. It never goes
// back, whatever is done to the system's time.
func Now() int64 { return int64(time.Since(epoch)) }
