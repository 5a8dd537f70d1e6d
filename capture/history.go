package capture

import (
	"fmt"
	"sync"
	"time"

	"tstun"
	"tstun/internal/clock"
)

const (
	// DefaultHistorySnapLen is how much of a packet a History keeps: its headers, and the
	// beginning of what it carries.
	DefaultHistorySnapLen = 128

	minHistory = 1 << 20
)

// HistoryOptions say what a History keeps.
type HistoryOptions struct {
	// Memory is how many bytes the packets take; it is rounded up to a power of two. A
	// packet takes what Options.Ring says. At least 1 MiB, at most 1 GiB. A sixteenth
	// comes on top, by which packets are found.
	Memory int
	// SnapLen is how many bytes of a packet are kept at most. 0: DefaultHistorySnapLen.
	SnapLen int
}

func (o HistoryOptions) withDefaults() (HistoryOptions, error) {
	if o.SnapLen == 0 {
		o.SnapLen = DefaultHistorySnapLen
	}
	if o.SnapLen < 0 || o.SnapLen > DefaultSnapLen {
		return o, fmt.Errorf("capture: history's snap length %d: want 1 to %d bytes", o.SnapLen, DefaultSnapLen)
	}
	if o.Memory < minHistory || o.Memory > maxRing {
		return o, fmt.Errorf("capture: history of %d bytes: want %d to %d", o.Memory, minHistory, maxRing)
	}
	return o, nil
}

// History keeps the latest packets in fixed memory, so that a capture can begin in the
// past: Copy gives them to one. Its methods may be called from any goroutine. It comes
// from NewHistory; the zero value is not valid.
//
// The packets lie in the ring that a capture has for those that wait. Nobody takes them
// out: the oldest make room, ahead of need, so that no packet waits for that. Between
// five and six eighths of the memory have packets once it was full.
type History struct {
	recorder
	began time.Time
	done  chan struct{} // closed by what makes room, at its end

	mu   sync.Mutex // guards what is below, and held while records are copied out
	pos  uint32     // of the oldest record
	gone uint64     // records that made room
}

// NewHistory returns a History, which Close ends.
func NewHistory(o HistoryOptions) (*History, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	h := &History{
		recorder: recorder{keep: o.SnapLen, peer: true, ring: newRing(o.Memory)},
		began:    clock.Time(clock.Now()), done: make(chan struct{}),
	}
	go h.makeRoom()
	return h, nil
}

// Sink is for Wrapper.SetCapture. It neither blocks nor allocates. A packet for which
// there is no room yet is lost, and counted. After Close it does nothing.
func (h *History) Sink(o *tstun.Observation) {
	if !h.add(o) && !h.ring.isClosed() {
		h.ring.lost.Add(1)
	}
}

// HistoryStats are a History's counts of packets.
type HistoryStats struct {
	Kept  uint64    // packets that are there
	Gone  uint64    // those that made room for others
	Lost  uint64    // those for which there was no room when they came
	Since time.Time // from when on the packets are there, but for those that are lost
}

// Stats returns what h keeps.
func (h *History) Stats() HistoryStats {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := HistoryStats{Kept: h.ring.waiting(h.gone), Gone: h.gone, Lost: h.ring.lost.Load(), Since: h.began}
	if s.Gone == 0 {
		return s
	}
	s.Since = clock.Time(clock.Now())
	if h.nextLocked(h.pos) != 0 {
		var r record
		r.decode(h.ring.first(h.pos, recordLen))
		s.Since = clock.Time(r.now)
	}
	return s
}

// Close lets the packets go and ends every Copy. A second Close does nothing.
func (h *History) Close() {
	h.ring.close()
	<-h.done
}

// makeRoom frees the places of the oldest packets as new ones come near.
func (h *History) makeRoom() {
	defer close(h.done)
	eighth := (h.ring.mask + 1) / 8
	for !h.ring.isClosed() {
		oldest := h.free(eighth * 5)
		h.ring.wakeAt.Store(oldest + eighth*6)
		if h.ring.end()-oldest < eighth*6 {
			<-h.ring.wake
		} else { // the oldest packet is being copied into its place
			select {
			case <-h.ring.wake:
			case <-time.After(time.Millisecond):
			}
		}
	}
}

// free lets the oldest packets go until the rest takes no more than so many cells, or one
// is not there yet. It returns the position of the oldest.
func (h *History) free(most uint32) uint32 {
	h.mu.Lock()
	defer h.mu.Unlock()
	end := h.ring.end()
	for end-h.pos > most {
		cells := h.nextLocked(h.pos)
		if cells == 0 {
			break
		}
		h.ring.commits[h.pos&h.ring.mask].Store(0)
		h.pos += cells
		h.gone++
	}
	h.ring.tail.Store(h.pos)
	return h.pos
}

// nextLocked returns the cells of the record at pos, or 0 if it is not there yet.
func (h *History) nextLocked(pos uint32) uint32 {
	if pos == h.ring.end() {
		return 0 // where a ring that is full has its oldest
	}
	return h.ring.commits[pos&h.ring.mask].Load()
}
