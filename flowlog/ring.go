package flowlog

import "sync"

// ring holds the last records, in a memory of its own that does not grow. Who puts one
// waits for nobody but who copies some of them.
type ring struct {
	mu      sync.Mutex // guards all below
	slots   []packed
	next    uint64                     // number of the next record; they count from 0
	waiting map[chan struct{}]struct{} // who is woken by a record; each has room for one signal
}

func newRing(records int) *ring {
	return &ring{slots: make([]packed, max(records, 1)), waiting: make(map[chan struct{}]struct{})}
}

// put adds a record in the place of the oldest one.
func (r *ring) put(p *packed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.slots[r.next%uint64(len(r.slots))] = *p
	r.next++
	for wake := range r.waiting {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

// read copies records into buf from number at on, or from the oldest that is left, and
// returns how many, and the number of the first.
func (r *ring) read(buf []packed, at uint64) (n int, first uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	size := uint64(len(r.slots))
	if r.next > size {
		at = max(at, r.next-size)
	}
	for n < len(buf) && at+uint64(n) < r.next {
		buf[n] = r.slots[(at+uint64(n))%size]
		n++
	}
	return n, at
}

// end returns the number of the next record.
func (r *ring) end() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next
}

// wait makes put signal wake, until done is called. Records from number at on are put
// after that.
func (r *ring) wait(wake chan struct{}) (at uint64, done func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting[wake] = struct{}{}
	return r.next, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.waiting, wake)
	}
}
