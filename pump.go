package tstun

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.zx2c4.com/wireguard/tun"

	"tstun/logger"
)

const (
	// pumpBatches is how many batches the pump reads ahead.
	pumpBatches = 2
	// maxIPPacket is the longest packet that a device can hand over
	// (RFC 791 §3.1: a 16-bit total length).
	maxIPPacket = 65535
)

// pump is the source for devices whose Read cannot be interrupted: its
// goroutine reads ahead into buffers of its own, from the first read to the
// end of the Wrapper or of the device.
type pump struct {
	dev  tun.Device
	logf logger.Logf
	done <-chan struct{} // the Wrapper's

	start   sync.Once
	ended   chan struct{}   // closed when the goroutine has ended
	full    chan *pumpBatch // from the goroutine to read; never closed
	free    chan *pumpBatch // back again; never closed
	woken   chan struct{}   // holds one wake
	lost    atomic.Int64    // packets that the goroutine had in hand when it ended
	current *pumpBatch      // partly read; owned by read's caller
	dead    error           // what ended the goroutine; owned by read's caller
}

// pumpBatch is the result of one Read of the device.
type pumpBatch struct {
	bufs  [][]byte
	sizes []int
	n     int // packets in bufs
	next  int // first that read has not taken
	err   error
}

func newPump(dev tun.Device, done <-chan struct{}, logf logger.Logf) *pump {
	return &pump{
		dev:   dev,
		logf:  logf,
		done:  done,
		ended: make(chan struct{}),
		full:  make(chan *pumpBatch),
		free:  make(chan *pumpBatch, pumpBatches),
		woken: make(chan struct{}, 1),
	}
}

func (p *pump) run() {
	size := p.dev.BatchSize()
	for range pumpBatches {
		b := &pumpBatch{bufs: make([][]byte, size), sizes: make([]int, size)}
		for i := range b.bufs {
			b.bufs[i] = make([]byte, PacketStartOffset+maxIPPacket)
		}
		p.free <- b
	}
	go p.fill()
}

// fill is the pump's goroutine.
func (p *pump) fill() {
	defer close(p.ended)
	for {
		var b *pumpBatch
		select {
		case <-p.done:
			return
		case b = <-p.free:
		}
		if !p.readDevice(b) {
			p.lost.Add(int64(b.n))
			return
		}
		final := errors.Is(b.err, os.ErrClosed)
		select {
		case <-p.done:
			p.lost.Add(int64(b.n))
			return
		case p.full <- b:
		}
		if final {
			return
		}
	}
}

// readDevice reads until there is a packet or an error that matters. It
// reports false when the Wrapper was closed meanwhile.
func (p *pump) readDevice(b *pumpBatch) bool {
	complained := false
	for attempt := 0; ; attempt++ {
		b.n, b.next, b.err = 0, 0, nil
		if attempt > 0 && !p.pause(attempt) {
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

// pause waits a little before a device that had nothing to say is asked again:
// not at all at first, then longer and longer, up to a tenth of a second. It
// reports false when the Wrapper was closed meanwhile.
func (p *pump) pause(attempt int) bool {
	const quick, longest = 10, 100 * time.Millisecond
	if attempt < quick {
		runtime.Gosched()
		return true
	}
	timer := time.NewTimer(min(time.Millisecond<<min(attempt-quick, 10), longest))
	defer timer.Stop()
	select {
	case <-p.done:
		return false
	case <-timer.C:
		return true
	}
}

// isTransient reports whether a device that failed with err can be expected
// to work at the next attempt.
func isTransient(err error) bool {
	return errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM) ||
		errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR)
}

func (p *pump) read(bufs [][]byte, sizes []int, offset int, wait bool) (int, error) {
	p.start.Do(p.run)
	if p.current == nil && !p.fetch(wait) {
		return 0, p.dead
	}
	b := p.current
	n := 0
	for ; n < len(bufs) && b.next < b.n; n++ {
		sizes[n] = b.take(bufs[n], offset)
	}
	if b.next < b.n {
		return n, nil
	}
	err := b.err
	if errors.Is(err, os.ErrClosed) {
		p.dead = err
	}
	p.current = nil
	p.free <- b // has room for every batch
	return n, err
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

// fetch makes the next full batch the current one, if there is one or wait
// allows to wait for it.
func (p *pump) fetch(wait bool) bool {
	if p.dead != nil {
		return false
	}
	if !wait {
		select {
		case p.current = <-p.full:
			return true
		default:
			return false
		}
	}
	select {
	case p.current = <-p.full:
		return true
	case <-p.woken:
	case <-p.done:
	}
	return false
}

func (p *pump) wake() {
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

func (p *pump) abandon() int {
	n := int(p.lost.Swap(0))
	if p.current != nil {
		n += p.current.n - p.current.next
		p.current = nil
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
