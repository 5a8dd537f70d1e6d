package capture

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"tstun/internal/clock"
)

const (
	// flushDelay bounds how long a packet waits for the writer to look, so that who reads
	// along sees it soon. While nothing comes, the writer sleeps on.
	flushDelay = 20 * time.Millisecond
	// bufferLen is how much one Write of the io.Writer is given at most: whole records.
	bufferLen = 256 << 10
	// blockLen is what a packet's block has besides packet and comment, at most: 32 bytes
	// of block, 8 of flags, 12 of the drop count, 4 of the comment's head, 4 at the end of
	// options, and padding.
	blockLen = 72
)

// writer takes records from the ring and writes them. One goroutine runs it.
type writer struct {
	c     *Capture
	out   *countingWriter
	buf   *bufio.Writer // ng's
	ng    *pcapgo.NgWriter
	notes *notes

	pos  uint32  // in the ring, of the next record
	ends []int64 // in out's bytes, of the records in buf

	record    record
	wrapped   []byte // a packet that wraps in the ring
	lost      uint64 // as the last record said
	dropCount uint64
	options   pcapgo.NgPacketOptions
	began     time.Time
}

var errAbandoned = errors.New("capture: closed before all was written")

var (
	flagsIn  = pcapgo.NgEpbFlags{Direction: pcapgo.NgEpbFlagDirectionInbound}
	flagsOut = pcapgo.NgEpbFlags{Direction: pcapgo.NgEpbFlagDirectionOutbound}
)

// newWriter returns a writer that has the file's head in its buffer.
func newWriter(c *Capture, w io.Writer) (*writer, error) {
	out := &countingWriter{w: w}
	buf := bufio.NewWriterSize(out, bufferLen)
	intf := pcapgo.NgInterface{
		Name: c.options.Interface, OS: runtime.GOOS, LinkType: layers.LinkTypeRaw,
		SnapLength: uint32(c.options.SnapLen), TimestampResolution: 9,
	}
	section := pcapgo.NgSectionInfo{Hardware: runtime.GOARCH, OS: runtime.GOOS, Application: "tstun"}
	ng, err := pcapgo.NewNgWriterInterface(buf, intf, pcapgo.NgWriterOptions{SectionInfo: section})
	if err != nil {
		return nil, err
	}
	return &writer{
		c: c, out: out, buf: buf, ng: ng, notes: newNotes(c), began: clock.Time(clock.Now()),
		options: pcapgo.NgPacketOptions{Comments: make([]string, 1)},
		wrapped: make([]byte, 0, longest),
	}, nil
}

// run writes until the ring is closed and empty, or until an error.
func (w *writer) run() {
	c := w.c
	if err := w.copy(); err != nil {
		c.err = err
		c.failed.Store(true)
		c.ring.close()
		w.discard()
	}
	close(c.done)
}

// copy copies records from the ring until it is closed and empty, then ends the file.
func (w *writer) copy() error {
	for {
		n, err := w.drain()
		if err == nil {
			err = w.flush()
		}
		if err != nil {
			return err
		}
		if w.c.ring.isClosed() && w.isEmpty() {
			return w.finish()
		}
		w.sleep(n > 0)
	}
}

// isEmpty reports whether nothing is reserved that was not taken.
func (w *writer) isEmpty() bool { return w.c.ring.end() == w.pos }

// next returns the cells of the next record, or 0 if it is not there yet.
func (w *writer) next() uint32 { return w.c.ring.commits[w.pos&w.c.ring.mask].Load() }

// take takes the next record, of n cells, from the ring. Its memory is the producers'
// after the next free.
func (w *writer) take(n uint32) {
	w.c.ring.commits[w.pos&w.c.ring.mask].Store(0)
	w.pos += n
}

// free gives what was taken back to the producers.
func (w *writer) free() { w.c.ring.tail.Store(w.pos) }

// drain encodes the records that are there, and returns how many.
func (w *writer) drain() (n int, err error) {
	ring := w.c.ring
	often := (ring.mask + 1) / 16 // a store to tail costs every producer a cache miss
	freed := w.pos
	for cells := w.next(); cells != 0; cells = w.next() {
		if err := w.encode(); err != nil {
			return n, err
		}
		n++
		w.take(cells)
		if w.pos-freed >= often {
			w.free()
			freed = w.pos
		}
	}
	w.free()
	return n, nil
}

// encode writes the next record to the buffer, which it flushes before if that is full.
func (w *writer) encode() error {
	ring, r := w.c.ring, &w.record
	r.decode(ring.first(w.pos, recordLen))
	skip := recordLen
	var src, dst netip.Addr
	if r.wire {
		src, dst = addrs(ring.get(w.pos, skip, natLen, w.wrapped))
		skip += natLen
	}
	pkt := ring.get(w.pos, skip, int(r.kept), w.wrapped)
	comment := w.notes.of(r, src, dst, pkt)
	pkt = pkt[:min(len(pkt), w.c.options.SnapLen)]
	if w.buf.Available() < len(pkt)+len(comment)+blockLen {
		if err := w.flush(); err != nil {
			return err
		}
	}
	info := gopacket.CaptureInfo{Timestamp: clock.Time(r.now), CaptureLength: len(pkt), Length: int(r.length)}
	w.setOptions(r, comment)
	if err := w.ng.WritePacketWithOptions(info, pkt, w.options); err != nil {
		return err
	}
	w.ends = append(w.ends, w.out.n+int64(w.buf.Buffered()))
	return nil
}

// setOptions makes options those of a record. Drops are told once: records that
// producers reserved at the same time may tell of them out of order.
func (w *writer) setOptions(r *record, comment string) {
	w.options.Comments[0] = comment
	w.options.Flags = &flagsOut
	if r.inbound {
		w.options.Flags = &flagsIn
	}
	w.options.DropCount = nil
	if r.lost > w.lost {
		w.dropCount = r.lost - w.lost
		w.lost = r.lost
		w.options.DropCount = &w.dropCount
	}
}

// flush gives the io.Writer what is in the buffer, and counts what it took.
func (w *writer) flush() error {
	if w.buf.Buffered() == 0 {
		return nil
	}
	err := w.buf.Flush()
	if err != nil {
		err = fmt.Errorf("capture: write: %w", err)
	}
	took := uint64(0)
	for _, end := range w.ends {
		if end <= w.out.n {
			took++
		}
	}
	w.c.written.Add(took)
	w.c.spoilt.Add(uint64(len(w.ends)) - took)
	w.ends = w.ends[:0]
	if err == nil && w.c.abandoned.Load() {
		return errAbandoned
	}
	return err
}

// finish writes the interface statistics block, in which are also the losses that no
// record told of.
func (w *writer) finish() error {
	s := w.c.Stats()
	now := clock.Time(clock.Now())
	err := w.ng.WriteInterfaceStats(0, pcapgo.NgInterfaceStatistics{
		LastUpdate: now, StartTime: w.began, EndTime: now, PacketsReceived: s.Seen, PacketsDropped: s.Lost,
	})
	if err != nil {
		return err
	}
	return w.flush()
}

// discard counts as lost what is in the ring, which is closed, until it is empty.
func (w *writer) discard() {
	w.c.spoilt.Add(uint64(len(w.ends)))
	w.ends = nil
	for !w.isEmpty() {
		if cells := w.next(); cells != 0 {
			w.take(cells)
			w.free()
			w.c.spoilt.Add(1)
		} else {
			runtime.Gosched() // its producer is copying it
		}
	}
}

// sleep waits for records: if some came just now, for a quarter of the ring or
// flushDelay, so that producers need not wake the writer for each; else for the first.
func (w *writer) sleep(busy bool) {
	ring := w.c.ring
	least := uint32(1)
	var timeout <-chan time.Time
	if busy || !w.isEmpty() {
		least = (ring.mask + 1) / 4
		timeout = time.After(flushDelay)
	}
	ring.wakeAt.Store(w.pos + least)
	if ring.end()-w.pos < least {
		select {
		case <-ring.wake:
		case <-timeout:
		}
	}
	ring.wakeAt.Store(w.pos + asleepNot)
}

// countingWriter counts the bytes that w takes.
type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
