package tstun

import (
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/tun"

	"tstun/logger"
)

const (
	// pumpAhead is how many packets the pump reads ahead, in at least
	// pumpBatches batches: what one goroutine does while the other is being
	// woken.
	pumpAhead   = 64
	pumpBatches = 2
	// maxIPPacket is the longest packet that a device can hand over
	// (RFC 791 §3.1: a 16-bit total length).
	maxIPPacket = 65535
)

// pump is the source for devices whose Read cannot be interrupted: its
// goroutine reads ahead into buffers of its own, from the first read to the
// end of the Wrapper or of the device.
//
// The batches between the two are a ring, without a lock: fill alone changes
// filled, read alone changes taken, and a batch is fill's while it is not
// between them. Either waits only when it can do nothing else.
type pump struct {
	dev  tun.Device
	logf logger.Logf
	done <-chan struct{} // the Wrapper's

	start sync.Once
	ended chan struct{} // closed when the goroutine has ended
	lost  atomic.Int64  // packets that the goroutine had in hand when it ended
	dead  error         // what ended the goroutine; owned by read's caller

	ring  []pumpBatch
	woken alarm // for read: by wake, and by fill when there is a batch
	room  alarm // for fill: by read, when half of the ring is free

	_      [cacheLine]byte // what the two change is apart
	filled atomic.Uint32   // batches so far; wraps
	_      [cacheLine]byte
	taken  atomic.Uint32 // batches so far; wraps
}

// pumpBatch is the result of one Read of the device.
type pumpBatch struct {
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

func newPump(dev tun.Device, done <-chan struct{}, logf logger.Logf) *pump {
	return &pump{
		dev:   dev,
		logf:  logf,
		done:  done,
		ended: make(chan struct{}),
		woken: newAlarm(),
		room:  newAlarm(),
	}
}

func (p *pump) run() {
	size := p.dev.BatchSize()
	p.ring = make([]pumpBatch, ringLen(size))
	for i := range p.ring {
		b := &p.ring[i]
		b.bufs, b.sizes = make([][]byte, size), make([]int, size)
		for i := range b.bufs {
			b.bufs[i] = make([]byte, PacketStartOffset+maxIPPacket)
		}
	}
	go p.fill()
}

// ringLen is how many batches of so many packets the pump reads ahead: a power
// of two, for the numbers of batches wrap.
func ringLen(batch int) int {
	n := pumpBatches
	for 2*n*max(batch, 1) <= pumpAhead {
		n *= 2
	}
	return n
}

// at is the batch of that number.
func (p *pump) at(number uint32) *pumpBatch { return &p.ring[number&uint32(len(p.ring)-1)] }

// held is how many batches wait for read.
func (p *pump) held() int { return int(p.filled.Load() - p.taken.Load()) }

// fill is the pump's goroutine.
func (p *pump) fill() {
	defer close(p.ended)
	for p.awaitRoom() {
		b := p.at(p.filled.Load())
		if !p.readDevice(b) {
			p.lost.Add(int64(b.left()))
			return
		}
		final := errors.Is(b.err, os.ErrClosed)
		p.filled.Add(1)
		p.woken.ring()
		if final {
			return
		}
	}
}

// awaitRoom waits for a free batch, and if there is none until half of them
// are, so that the two goroutines do not wake each other for every batch. It
// reports false when the Wrapper was closed meanwhile.
func (p *pump) awaitRoom() bool {
	for limit := len(p.ring) - 1; p.held() > limit; {
		limit = len(p.ring) / 2
		p.room.set()
		if p.held() <= limit {
			break
		}
		select {
		case <-p.done:
			return false
		case <-p.room.c:
		}
	}
	return true
}

// readDevice reads until there is a packet or an error that matters. It
// reports false when the Wrapper was closed meanwhile.
func (p *pump) readDevice(b *pumpBatch) bool {
	complained := false
	for attempt := 0; ; attempt++ {
		b.n, b.next, b.err = 0, 0, nil
		if attempt > 0 && !pause(p.done, attempt) {
			return false
		}
		n, err := p.dev.Read(b.bufs, b.sizes, PacketStartOffset)
		b.n, b.err = max(0, min(n, len(b.bufs))), err
		select {
		case <-p.done:
			return false
		default:
		}
		if isTransient(err) {
			if !complained {
				p.logf("tstun: read: %v; going on", err)
				complained = true
			}
			b.err = nil
		}
		if b.n > 0 || b.err != nil {
			return true
		}
	}
}

func (p *pump) read(bufs [][]byte, sizes []int, offset int, wait bool) (n int, err error) {
	p.start.Do(p.run)
	for n < len(bufs) && p.dead == nil && p.await(wait && n == 0) {
		b := p.at(p.taken.Load())
		for ; n < len(bufs) && b.next < b.n; n++ {
			sizes[n] = b.take(bufs[n], offset)
		}
		if b.next < b.n {
			break
		}
		if err = p.giveBack(b); err != nil {
			return n, err
		}
	}
	if n == 0 {
		err = p.dead
	}
	return n, err
}

// giveBack makes room of the batch in hand and returns its error.
func (p *pump) giveBack(b *pumpBatch) error {
	err := b.err
	if errors.Is(err, os.ErrClosed) {
		p.dead = err
	}
	p.taken.Add(1)
	if p.held() <= len(p.ring)/2 {
		p.room.ring()
	}
	return err
}

// take copies the next packet and returns its size, which may exceed what fits
// behind offset.
func (b *pumpBatch) take(dst []byte, offset int) int {
	src := b.bufs[b.next][PacketStartOffset:]
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

// left is how many packets read has not taken. A size of 0 is none.
func (b *pumpBatch) left() (n int) {
	for _, size := range b.sizes[b.next:b.n] {
		if size != 0 {
			n++
		}
	}
	return n
}

// await reports whether there is a batch to be read, and waits for one if it
// may: until there is, wake is called or the Wrapper is closed.
func (p *pump) await(wait bool) bool {
	if p.held() > 0 || !wait {
		return p.held() > 0
	}
	p.woken.set()
	if p.held() > 0 {
		return true
	}
	select {
	case <-p.woken.c:
	case <-p.done:
	}
	return p.held() > 0
}

func (p *pump) wake() { p.woken.force() }

func (p *pump) abandon() int {
	n := int(p.lost.Swap(0))
	for ; p.held() > 0; p.taken.Add(1) {
		b := p.at(p.taken.Load())
		n += b.left()
	}
	return n
}

func (p *pump) close(atMost time.Duration) error {
	p.start.Do(func() { close(p.ended) })
	timeout := time.NewTimer(atMost)
	defer timeout.Stop()
	select {
	case <-p.ended:
		return nil
	case <-timeout.C:
		return fmt.Errorf("tstun: close: the device's Read did not return within %v", atMost)
	}
}
