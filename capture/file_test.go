package capture_test

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"tstun/capture"
)

// buffer is an io.Writer that may be read while it is written to.
type buffer struct {
	mu sync.Mutex // guards b
	b  []byte
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.b = append(b.b, p...)
	return len(p), nil
}

// bytes returns a copy of what was written so far.
func (b *buffer) bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.b)
}

// start returns a capture into a buffer. The test closes it by file.
func start(t testing.TB, o capture.Options) (*capture.Capture, *buffer) {
	t.Helper()
	b := new(buffer)
	c, err := capture.New(b, o)
	if err != nil {
		t.Fatal(err)
	}
	return c, b
}

// finish closes a capture and returns its file.
func finish(t testing.TB, c *capture.Capture, b *buffer) file {
	t.Helper()
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return parse(t, b.bytes())
}

// entry is a packet of a file.
type entry struct {
	data    string
	length  int
	time    time.Time
	inbound bool
	comment string
	note    capture.Note
	dropped uint64 // before it
}

type file struct {
	packets []entry
	snapLen uint32
	name    string
	stats   []pcapgo.NgInterfaceStatistics
}

// parse reads a file with gopacket's reader, to the end.
func parse(t testing.TB, b []byte) (f file) {
	t.Helper()
	stats := func(_ int, s pcapgo.NgInterfaceStatistics) { f.stats = append(f.stats, s) }
	r, err := pcapgo.NewNgReader(bytes.NewReader(b), pcapgo.NgReaderOptions{ErrorOnMismatchingLinkType: true, StatisticsCallback: stats})
	if err != nil {
		t.Fatal(err)
	}
	if r.LinkType() != layers.LinkTypeRaw || r.NInterfaces() != 1 {
		t.Fatalf("link type %v, %d interfaces", r.LinkType(), r.NInterfaces())
	}
	intf, _ := r.Interface(0)
	f.snapLen, f.name = intf.SnapLength, intf.Name
	for {
		data, ci, opts, err := r.ReadPacketDataWithOptions()
		if errors.Is(err, io.EOF) {
			return f
		}
		if err != nil {
			t.Fatalf("packet %d: %v", len(f.packets)+1, err)
		}
		if len(opts.Comments) != 1 || opts.Flags == nil || len(opts.Verdicts) != 0 {
			t.Fatalf("packet %d has the options %+v", len(f.packets)+1, opts)
		}
		e := entry{data: string(data), length: ci.Length, time: ci.Timestamp, comment: opts.Comments[0]}
		e.inbound = opts.Flags.Direction == pcapgo.NgEpbFlagDirectionInbound
		if !e.inbound && opts.Flags.Direction != pcapgo.NgEpbFlagDirectionOutbound {
			t.Fatalf("packet %d has no direction", len(f.packets)+1)
		}
		if e.note, err = capture.ParseNote(e.comment); err != nil {
			t.Fatal(err)
		}
		if opts.DropCount != nil {
			if e.dropped = *opts.DropCount; e.dropped == 0 {
				t.Errorf("packet %d says that none are missing before it", len(f.packets)+1)
			}
		}
		f.packets = append(f.packets, e)
	}
}
