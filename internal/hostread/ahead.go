package hostread

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/cpu"
	"golang.zx2c4.com/wireguard/tun"

	"tstun/internal/deverr"
	"tstun/logger"
)

const (
	// packetsAhead is how many packets are read ahead, in at least minBatches
	// batches: what one goroutine does while the other is being woken.
	packetsAhead = 64
	minBatches   = 2
	// maxIPPacket is the longest packet that a device can hand over
	// (RFC 791 §3.1: a 16-bit total length).
	maxIPPacket = 65535
)

// ahead reads a device whose Read cannot be interrupted: its goroutine reads
// ahead into buffers of its own, from the first Read until done is closed or
// the device ends.
//
// The batches between the two are a ring, without a lock: fill alone changes
// filled, Read alone changes taken, and a batch is fill's while it is not
// between them. Either waits only when it can do nothing else.
type ahead struct {
	dev      tun.Device
	headroom int // in front of each packet in the buffers for the device
	done     <-chan struct{}
	logf     logger.Logf

	start sync.Once
	ended chan struct{} // closed when the goroutine has ended
	lost  atomic.Int64  // packets that the goroutine had in hand when it ended
	dead  error         // what ended the goroutine; owned by Read's caller

	ring  []readBatch
	woken alarm // for Read: by Wake, and by fill when there is a batch
	room  alarm // for fill: by Read, when half of the ring is free

	_      cpu.CacheLinePad // what the two change is apart
	filled atomic.Uint32    // batches so far; wraps
	_      cpu.CacheLinePad
	taken  atomic.Uint32 // batches so far; wraps
}

// readBatch is the result of one Read of the device.
type readBatch struct {
	bufs  [][]byte
	sizes []int
	n     int // packets in bufs
	next  int // first that read has not taken
	err   error
}

// alarm wakes one goroutine that waits. Who waits looks once more after set,
// and then at c; who has news for it rings after they are there to be seen.
type alarm struct {
	c       chan struct{} // holds one ring; never closed
	waiting atomic.Bool
}

func newAlarm() alarm { return alarm{c: make(chan struct{}, 1)} }

func (a *alarm) set() { a.waiting.Store(true) }

// ring wakes the goroutine if it waits.
func (a *alarm) ring() {
	if a.waiting.Load() && a.waiting.Swap(false) {
		a.force()
	}
}

// force wakes the goroutine, or makes its next wait short.
func (a *alarm) force() {
	select {
	case a.c <- struct{}{}:
	default:
	}
}

// NewAhead returns a Reader of dev, until done is closed. dev gets buffers with
// so many bytes of headroom in front of each packet.
func NewAhead(dev tun.Device, headroom int, done <-chan struct{}, logf logger.Logf) Reader {
	return &ahead{
		dev:      dev,
		headroom: headroom,
		done:     done,
		logf:     logf,
		ended:    make(chan struct{}),
		woken:    newAlarm(),
		room:     newAlarm(),
	}
}

// run makes the buffers and starts the goroutine.
func (a *ahead) run() {
	size := a.dev.BatchSize()
	a.ring = make([]readBatch, ringLen(size))
	for i := range a.ring {
		b := &a.ring[i]
		b.bufs, b.sizes = make([][]byte, size), make([]int, size)
		for i := range b.bufs {
			b.bufs[i] = make([]byte, a.headroom+maxIPPacket)
		}
	}
	go a.fill()
}

// ringLen returns how many batches of so many packets are read ahead: a power of
// two, since the numbers of batches wrap.
func ringLen(batch int) int {
	n := minBatches
	for 2*n*max(batch, 1) <= packetsAhead {
		n *= 2
	}
	return n
}

// at returns the batch of that number.
func (a *ahead) at(number uint32) *readBatch { return &a.ring[number&uint32(len(a.ring)-1)] }

// waiting returns how many batches wait for Read.
func (a *ahead) waiting() int { return int(a.filled.Load() - a.taken.Load()) }

// fill is the goroutine.
func (a *ahead) fill() {
	defer close(a.ended)
	for a.awaitRoom() {
		b := a.at(a.filled.Load())
		if !a.readDevice(b) {
			a.lost.Add(int64(b.left()))
			return
		}
		final := deverr.Closed(b.err)
		a.filled.Add(1)
		a.woken.ring()
		if final {
			return
		}
	}
}

// awaitRoom waits for a free batch. If there is none it waits until half of them
// are free, so that the two goroutines do not wake each other for every batch. It
// reports false if done was closed meanwhile.
func (a *ahead) awaitRoom() bool {
	for limit := len(a.ring) - 1; a.waiting() > limit; {
		limit = len(a.ring) / 2
		a.room.set()
		if a.waiting() <= limit {
			break
		}
		select {
		case <-a.done:
			return false
		case <-a.room.c:
		}
	}
	return true
}

// readDevice reads until there is a packet or an error that matters. It reports
// false if done was closed meanwhile.
func (a *ahead) readDevice(b *readBatch) bool {
	complained := false
	for attempt := 0; ; attempt++ {
		b.n, b.next, b.err = 0, 0, nil
		if attempt > 0 && !pause(a.done, attempt) {
			return false
		}
		n, err := a.dev.Read(b.bufs, b.sizes, a.headroom)
		b.n, b.err = max(0, min(n, len(b.bufs))), err
		select {
		case <-a.done:
			return false
		default:
		}
		if deverr.Transient(err) {
			if !complained {
				a.logf("tstun: read: %v; going on", err)
				complained = true
			}
			b.err = nil
		}
		if b.n > 0 || b.err != nil {
			return true
		}
	}
}

func (a *ahead) Read(bufs [][]byte, sizes []int, offset int, wait bool) (n int, err error) {
	a.start.Do(a.run)
	for n < len(bufs) && a.dead == nil && a.await(wait && n == 0) {
		b := a.at(a.taken.Load())
		for ; n < len(bufs) && b.next < b.n; n++ {
			sizes[n] = b.take(a.headroom, bufs[n], offset)
		}
		if b.next < b.n {
			break
		}
		if err = a.giveBack(b); err != nil {
			return n, err
		}
	}
	if n == 0 {
		err = a.dead
	}
	return n, err
}

// giveBack frees the batch in hand and returns its error.
func (a *ahead) giveBack(b *readBatch) error {
	err := b.err
	if deverr.Closed(err) {
		a.dead = err
	}
	a.taken.Add(1)
	if a.waiting() <= len(a.ring)/2 {
		a.room.ring()
	}
	return err
}

// take copies the next packet and returns its size, which may exceed what fits
// behind offset.
func (b *readBatch) take(headroom int, dst []byte, offset int) int {
	src := b.bufs[b.next][headroom:]
	size := b.sizes[b.next]
	b.next++
	if size > len(src) {
		return math.MaxInt // fits nowhere, whatever it is
	}
	if size <= 0 {
		return size
	}
	if offset <= len(dst) {
		copy(dst[offset:], src[:size])
	}
	return size
}

// left returns how many packets Read has not taken. A size of 0 is none.
func (b *readBatch) left() (n int) {
	for _, size := range b.sizes[b.next:b.n] {
		if size != 0 {
			n++
		}
	}
	return n
}

// await reports whether there is a batch to be read. If it may wait, it waits for
// one until Wake is called or done is closed.
func (a *ahead) await(wait bool) bool {
	if a.waiting() > 0 || !wait {
		return a.waiting() > 0
	}
	a.woken.set()
	if a.waiting() > 0 {
		return true
	}
	select {
	case <-a.woken.c:
	case <-a.done:
	}
	return a.waiting() > 0
}

func (a *ahead) Wake() { a.woken.force() }

func (a *ahead) Discard() int {
	n := int(a.lost.Swap(0))
	for ; a.waiting() > 0; a.taken.Add(1) {
		b := a.at(a.taken.Load())
		n += b.left()
	}
	return n
}

func (a *ahead) Close(atMost time.Duration) error {
	a.start.Do(func() { close(a.ended) })
	timeout := time.NewTimer(atMost)
	defer timeout.Stop()
	select {
	case <-a.ended:
		return nil
	case <-timeout.C:
		return fmt.Errorf("tstun: close: the device's Read did not return within %v", atMost)
	}
}
