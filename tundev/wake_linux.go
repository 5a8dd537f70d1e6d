package tundev

import (
	"os"
	"sync/atomic"
	"time"
)

// States of a waker.
const (
	idle    int32 = iota
	waiting       // the reader waits for packets, or is about to
	poked         // an interrupt has not been seen by the reader
)

// waker interrupts one reader that waits on a file, by a read deadline.
//
// No interrupt is lost. An interrupt swaps the state to poked, and finds
// either of two things. It finds idle or poked: then the state stays poked until the
// reader's next begin, which fails. Or it finds waiting: then that waiting began
// before, and since nothing but that interrupt has swapped it away, it alone
// sets a deadline for it, which ends the waiting unless packets do. Deadlines
// are lifted by the reader, only between an end and the next begin, when
// no waiting relies on one.
//
// A deadline may come late: when packets end the waiting that it was meant
// for, it can hit the next one, which then ends early and with nothing. That is
// all that it costs, and at most once per deadline set.
type waker struct {
	file  *os.File
	state atomic.Int32
}

var (
	past       = time.Unix(1, 0)
	noDeadline time.Time
)

// interrupt ends the waiting or, if there is none, makes the next begin fail.
func (w *waker) interrupt() {
	if w.state.Swap(poked) == waiting {
		w.file.SetReadDeadline(past) // fails only once the file is closed, which ends waiting too
	}
}

// begin announces that the reader will wait. It fails after an interrupt, of
// which the reader is told thereby.
func (w *waker) begin() bool {
	if w.state.CompareAndSwap(idle, waiting) {
		return true
	}
	// A swap, not a store: what the interrupts' senders did before is seen
	// by the reader.
	w.state.Swap(idle)
	return false
}

// end follows a begin that succeeded.
func (w *waker) end() { w.state.Swap(idle) }

// lift takes the deadline away, while nobody waits.
func (w *waker) lift() { w.file.SetReadDeadline(noDeadline) }
