package tunqueue

import (
	"os"
	"sync/atomic"
	"time"
)

// States of a waker.
const (
	idle        int32 = iota
	waiting           // the reader waits for packets, or is about to
	interrupted       // the reader has not seen an interrupt yet
)

// waker interrupts one reader that waits on a file, by a read deadline.
//
// No interrupt is lost. An interrupt swaps the state to interrupted, and finds
// one of two things. If it finds idle or interrupted, the state stays
// interrupted until the reader's next begin, which fails. If it finds waiting,
// that wait began before. Nothing but this interrupt has swapped waiting away,
// so it alone sets a deadline for the wait. The deadline ends the wait unless
// packets do. The reader clears deadlines, and only between an end and the next
// begin, when no wait relies on one.
//
// A deadline may come late: when packets end the wait that it was meant for, it
// can hit the next one, which then ends early and without packets. That happens
// at most once for each deadline that is set, and costs nothing else.
type waker struct {
	file  *os.File
	state atomic.Int32
}

var (
	past       = time.Unix(1, 0)
	noDeadline time.Time
)

// interrupt ends the wait or, if there is none, makes the next begin fail.
func (w *waker) interrupt() {
	if w.state.Swap(interrupted) == waiting {
		w.file.SetReadDeadline(past) // fails only if the file is closed, which ends the wait as well
	}
}

// begin announces that the reader will wait. It reports false after an
// interrupt, and the reader must not wait then.
func (w *waker) begin() bool {
	if w.state.CompareAndSwap(idle, waiting) {
		return true
	}
	// A swap, not a store, so that the reader sees what the goroutines did
	// that interrupted it.
	w.state.Swap(idle)
	return false
}

// end announces that the wait is over, after a begin that reported true.
func (w *waker) end() { w.state.Swap(idle) }

// clearDeadline removes the deadline. Nobody must wait meanwhile.
func (w *waker) clearDeadline() { w.file.SetReadDeadline(noDeadline) }
