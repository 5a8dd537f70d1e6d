package capture_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tstun"
	"tstun/capture"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
)

// stuck is an io.Writer that keeps what it is given, and whose Writes wait until it is
// opened.
type stuck struct {
	buffer
	opened chan struct{}
	waits  chan struct{} // is sent on before a Write waits, if somebody receives
}

func newStuck() *stuck { return &stuck{opened: make(chan struct{}), waits: make(chan struct{})} }

func (s *stuck) Write(b []byte) (int, error) {
	select {
	case <-s.opened:
	case s.waits <- struct{}{}:
		<-s.opened
	}
	return s.buffer.Write(b)
}

// obs returns the observation of an outbound packet that passes.
func obs(pkt []byte) *tstun.Observation {
	return &tstun.Observation{Packet: pkt, Wire: pkt, Verdict: filter.Verdict{Response: filter.Accept}}
}

// TestStalledWriterCostsNoPacket: with a reader that takes nothing, all packets go on, and
// each one that the capture has lost is counted.
func TestStalledWriterCostsNoPacket(t *testing.T) {
	const rounds = 200
	play := func(sink func(*tstun.Observation)) tstun.Counters {
		traffic := rig.Loads(32, 10)["udp"]
		l := rig.NewDirectLoad(t, 32, traffic, true)
		other := rig.NewLoadOf(t, l.W, 32, traffic)
		l.W.SetCapture(sink)
		var wg sync.WaitGroup
		wg.Go(func() {
			for range rounds {
				l.Write()
			}
		})
		wg.Go(func() {
			for range rounds {
				other.Read()
			}
		})
		wg.Wait()
		return l.W.Counters()
	}
	want := play(nil)
	w := newStuck()
	c, err := capture.New(w, capture.Options{Ring: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	if got := play(c.Sink); !reflect.DeepEqual(got, want) {
		t.Errorf("with a stalled capture %+v, without %+v", got, want)
	}
	s := c.Stats()
	if s.Seen != 2*32*rounds || s.Seen != s.Lost+s.Waiting || s.Lost == 0 || s.Waiting == 0 {
		t.Errorf("%+v, of %d packets", s, 2*32*rounds)
	}
	expired, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Close(expired); !errors.Is(err, context.Canceled) {
		t.Errorf("Close: %v", err)
	}
	close(w.opened)
	<-c.Done()
	s = c.Stats()
	if s.Seen != 2*32*rounds || s.Seen != s.Lost+s.Written || c.Err() == nil || c.Close(t.Context()) != c.Err() {
		t.Errorf("at the end %+v, %v", s, c.Err())
	}
	if got := parse(t, w.bytes()).packets; uint64(len(got)) != s.Written {
		t.Errorf("%d packets in the file, %d written", len(got), s.Written)
	}
}

// TestLossesAreTold: the first packet behind a gap says how many are missing, and the
// statistics say it of all.
func TestLossesAreTold(t *testing.T) {
	w := newStuck()
	c, err := capture.New(w, capture.Options{Ring: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	pkt := craft.UDP(peer4, 5, host4, 80, strings.Repeat("x", 1000))
	lose := func(n uint64) {
		for before := c.Stats().Lost; c.Stats().Lost < before+n; {
			c.Sink(obs(pkt))
		}
	}
	<-w.waits // with the file's head
	lose(5)
	close(w.opened)
	settle(c)
	c.Sink(obs(pkt))
	c.Sink(obs(pkt))
	f := finish(t, c, &w.buffer)
	for i, e := range f.packets {
		if want := map[bool]uint64{true: 5}[i == len(f.packets)-2]; e.dropped != want {
			t.Errorf("packet %d of %d: %d lost before it, want %d", i+1, len(f.packets), e.dropped, want)
		}
	}
	s := c.Stats()
	if s.Lost != 5 || len(f.stats) != 1 || f.stats[0].PacketsDropped != 5 || f.stats[0].PacketsReceived != s.Seen || uint64(len(f.packets)) != s.Written {
		t.Errorf("%+v, %d packets; the file says %+v", s, len(f.packets), f.stats)
	}
}

// TestManyProducers: several goroutines, packets of all lengths, a ring that is often
// full: each packet is in the file once and whole, in its goroutine's order, or lost and
// counted.
func TestManyProducers(t *testing.T) {
	const producers, each = 4, 20000
	c, b := start(t, capture.Options{Ring: 256 << 10})
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			pkt := make([]byte, 1500)
			for i := range each {
				n := 8 + (i*7+p)%1400
				binary.BigEndian.PutUint32(pkt, uint32(p))
				binary.BigEndian.PutUint32(pkt[4:], uint32(i))
				fill(pkt[8:n], byte(i+p))
				c.Sink(obs(pkt[:n]))
				if s := c.Stats(); s.Seen != s.Written+s.Lost+s.Waiting {
					t.Errorf("%+v", s)
				}
			}
		})
	}
	wg.Wait()
	f := finish(t, c, b)
	var next [producers]uint32
	told := uint64(0)
	for n, e := range f.packets {
		pkt := []byte(e.data)
		p, i := binary.BigEndian.Uint32(pkt), binary.BigEndian.Uint32(pkt[4:])
		if p >= producers || i < next[p] || i >= each || len(pkt) != 8+(int(i)*7+int(p))%1400 {
			t.Fatalf("packet %d: number %d of producer %d, of %d bytes, behind number %d", n+1, i, p, len(pkt), next[p])
		}
		next[p] = i + 1
		for _, x := range pkt[8:] {
			if x != byte(i+p) {
				t.Fatalf("packet %d: the bytes are another's", n+1)
			}
		}
		told += e.dropped
	}
	s := c.Stats()
	if s.Seen != producers*each || s.Seen != s.Written+s.Lost || uint64(len(f.packets)) != s.Written || told > s.Lost {
		t.Errorf("%+v; %d packets in the file, which tell of %d lost ones", s, len(f.packets), told)
	}
}

func fill(b []byte, x byte) {
	for i := range b {
		b[i] = x
	}
}

// failing takes n bytes and then fails.
type failing struct {
	buffer
	n int
}

var errPipe = errors.New("the pipe is broken")

func (f *failing) Write(b []byte) (int, error) {
	n := min(len(b), f.n)
	f.n -= n
	_, _ = f.buffer.Write(b[:n])
	if n < len(b) {
		return n, errPipe
	}
	return n, nil
}

// TestWriteError: the packets that were written wholly are counted as written, all
// others as lost, those that come later too.
func TestWriteError(t *testing.T) {
	for _, n := range []int{0, 100, 1000, 5000, 300000} {
		w := &failing{n: n}
		c, err := capture.New(w, capture.Options{})
		if err != nil {
			t.Fatal(err)
		}
		pkt := craft.UDP(peer4, 5, host4, 80, strings.Repeat("x", 500))
		sunk := uint64(0)
		for ended := false; !ended || sunk < 1000; sunk++ {
			c.Sink(obs(pkt))
			select {
			case <-c.Done():
				ended = true
			default:
			}
		}
		if !errors.Is(c.Err(), errPipe) || !errors.Is(c.Close(t.Context()), errPipe) {
			t.Errorf("after %d bytes: %v", n, c.Err())
		}
		s := c.Stats()
		if s.Seen != sunk || s.Seen != s.Written+s.Lost || s.Written != wholePackets(w.bytes()) {
			t.Errorf("after %d bytes: %+v of %d packets, %d in the file", n, s, sunk, wholePackets(w.bytes()))
		}
	}
}

// wholePackets counts the packet blocks that are in b wholly.
func wholePackets(b []byte) (n uint64) {
	for len(b) >= 12 {
		size := binary.LittleEndian.Uint32(b[4:])
		if uint64(size) > uint64(len(b)) {
			return n
		}
		if binary.LittleEndian.Uint32(b) == 6 { // an enhanced packet block
			n++
		}
		b = b[size:]
	}
	return n
}

// TestReaderSeesPacketsSoon: the file's head at once, the first packet after a pause at
// once, and each further one within 20 ms, without Close. And while nothing comes, the
// writer sleeps.
func TestReaderSeesPacketsSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &countedBuffer{}
		c, err := capture.New(b, capture.Options{})
		if err != nil {
			t.Fatal(err)
		}
		pkt := craft.UDP(peer4, 5, host4, 80, "x")
		want := func(n int) {
			t.Helper()
			if got := len(parse(t, b.bytes()).packets); got != n {
				t.Errorf("%d packets in the file, want %d", got, n)
			}
		}
		synctest.Wait()
		want(0)
		c.Sink(obs(pkt))
		synctest.Wait()
		want(1)
		c.Sink(obs(pkt))
		synctest.Wait()
		want(1) // no packet but the first wakes the writer
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()
		want(2)
		time.Sleep(time.Hour)
		c.Sink(obs(pkt))
		synctest.Wait()
		want(3)
		if n := b.writes.Load(); n != 4 {
			t.Errorf("%d writes, want 4", n)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// TestBurstWakesTheWriter before the ring is full, also while it sleeps by the clock.
func TestBurstWakesTheWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, b := start(t, capture.Options{Ring: 256 << 10})
		pkt := craft.UDP(peer4, 5, host4, 80, strings.Repeat("x", 1000))
		c.Sink(obs(pkt))
		synctest.Wait()
		for range 100 {
			for range 70 { // a bit more than a quarter
				c.Sink(obs(pkt))
			}
			synctest.Wait()
		}
		f := finish(t, c, b)
		if s := c.Stats(); s.Lost != 0 || len(f.packets) != 100*70+1 {
			t.Errorf("%+v", s)
		}
	})
}

// countedBuffer counts its Writes.
type countedBuffer struct {
	buffer
	writes atomic.Int32
}

func (c *countedBuffer) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.buffer.Write(b)
}

// TestWritesAreWholeBlocks: who reads from a pipe never waits for the rest of a packet.
func TestWritesAreWholeBlocks(t *testing.T) {
	pr, pw := io.Pipe()
	c, err := capture.New(pw, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan int)
	go func() {
		writes, b := 0, make([]byte, 1<<20)
		for {
			n, err := pr.Read(b) // of one Write, since b has room
			if err != nil {
				done <- writes
				return
			}
			writes++
			for rest := b[:n]; len(rest) > 0; {
				if size := binary.LittleEndian.Uint32(rest[4:]); int(size) <= len(rest) {
					rest = rest[size:]
				} else {
					t.Errorf("a write of %d bytes ends within a block", n)
					break
				}
			}
		}
	}()
	pkt := craft.UDP(peer4, 5, host4, 80, strings.Repeat("x", 1301))
	for range 3000 {
		c.Sink(obs(pkt))
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	pw.Close()
	if n := <-done; n < 10 {
		t.Errorf("only %d writes", n)
	}
}
