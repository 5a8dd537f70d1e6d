package tstun_test

import (
	"errors"
	"math"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/internal/rig/testdev"
)

// TestLesson15DeviceFaultsOnRead: what devices do wrong on Read ends neither
// the reader nor the program, and loses no good packet.
func TestLesson15DeviceFaultsOnRead(t *testing.T) {
	good, second := craft.UDP(host4, 1, peer4, 2, "good"), craft.UDP(host4, 1, peer4, 2, "second")
	odd := errors.New("odd")
	tests := []struct {
		name    string
		steps   []testdev.Step
		want    [][]byte
		wantErr error // before the first packet
	}{
		{name: "empty reads", steps: []testdev.Step{{}, {}, {Packets: [][]byte{good}}}, want: [][]byte{good}},
		{name: "empty packet", steps: []testdev.Step{{Packets: [][]byte{{}, good, {}}}}, want: [][]byte{good}},
		{name: "ENOBUFS", steps: []testdev.Step{{Err: syscall.ENOBUFS}, {Err: syscall.ENOBUFS}, {Packets: [][]byte{good}}}, want: [][]byte{good}},
		{name: "packets and ENOBUFS", steps: []testdev.Step{{Packets: [][]byte{good}, Err: syscall.ENOBUFS}}, want: [][]byte{good}},
		{name: "EIO", steps: []testdev.Step{{Err: syscall.EIO}, {Packets: [][]byte{good}}}, want: [][]byte{good}, wantErr: syscall.EIO},
		{name: "unknown error", steps: []testdev.Step{{Err: odd}, {Packets: [][]byte{good}}}, want: [][]byte{good}, wantErr: odd},
		{name: "larger than its buffer", steps: []testdev.Step{{Packets: [][]byte{good, good}, Sizes: []int{1 << 20, len(good)}}}, want: [][]byte{good}},
		{name: "negative size", steps: []testdev.Step{{Packets: [][]byte{good, good}, Sizes: []int{-5, len(good)}}}, want: [][]byte{good}},
		{name: "more packets than buffers", steps: []testdev.Step{{Packets: [][]byte{good, second, good, second}, N: 1000}}, want: [][]byte{good, second, good, second}},
		{name: "negative count", steps: []testdev.Step{{N: -1}, {Packets: [][]byte{good}}}, want: [][]byte{good}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := rig.New(t, 4)
			r.W.SetFilter(filter.NewAllowAll(nil))
			r.Dev.Script(tt.steps...)
			var got [][]byte
			var firstErr error
			for len(got) < len(tt.want) {
				n, err := r.W.Read(r.Bufs, r.Sizes, offset)
				if err != nil && len(got) == 0 && firstErr == nil {
					firstErr = err
				}
				for i := range n {
					if r.Sizes[i] > 0 {
						got = append(got, append([]byte(nil), r.Bufs[i][offset:offset+r.Sizes[i]]...))
					}
				}
			}
			rig.WantPackets(t, "Read", got, tt.want...)
			if !errors.Is(firstErr, tt.wantErr) {
				t.Errorf("error %v, want %v", firstErr, tt.wantErr)
			}
		})
	}
}

// TestStaleBytesAreNotSentAgain: a size that the device cannot mean leaves the
// previous packet in the buffer, whatever the buffer's length is.
func TestStaleBytesAreNotSentAgain(t *testing.T) {
	for _, length := range []int{2000, offset + 65535, 1 << 18} {
		r := rig.New(t, 1)
		r.W.SetFilter(filter.NewAllowAll(nil))
		r.Bufs[0] = make([]byte, length)
		old := craft.UDP(host4, 1, peer4, 2, "old")
		rig.WantPackets(t, "first", r.FromHost(old), old)
		for _, size := range []int{-1, 1 << 17, math.MaxInt} {
			r.Dev.Script(testdev.Step{Packets: [][]byte{old}, Sizes: []int{size}})
			rig.WantPackets(t, "impossible size", r.Read(1))
		}
		drops := r.W.Counters().Out.Drops
		if drops[filter.ReasonTooLarge] != 2 || drops[filter.ReasonMalformed] != 1 {
			t.Errorf("drops %v, want 2 too large and 1 malformed", drops)
		}
	}
}

func TestArgumentsThatCannotBe(t *testing.T) {
	r := rig.New(t, 1)
	r.W.SetFilter(filter.NewAllowAll(nil))
	pkt := craft.UDP(host4, 1, peer4, 2, "x")
	r.Dev.Send(pkt)
	rig.Soon(t, "Read without buffers", func() {
		if n, err := r.W.Read(nil, nil, offset); n != 0 || err != nil {
			t.Errorf("Read without buffers = %d, %v", n, err)
		}
	})
	if _, err := r.W.Read(r.Bufs, r.Sizes, -1); err == nil {
		t.Error("Read at offset -1: no error")
	}
	if _, err := r.W.Read(r.Bufs, nil, offset); err == nil {
		t.Error("Read without sizes: no error")
	}
	if _, err := r.W.Write([][]byte{pkt}, -1); err == nil {
		t.Error("Write at offset -1: no error")
	}
	r.WantDrop(true, filter.ReasonMalformed, func() { _, _ = r.W.Write([][]byte{pkt}, len(pkt)+1) })
	rig.WantPackets(t, "after all that", r.Read(1), pkt)
}

func TestPacketsThenError(t *testing.T) {
	r := rig.New(t, 4)
	r.W.SetFilter(filter.NewAllowAll(nil))
	odd := errors.New("odd")
	r.Dev.Script(testdev.Step{Packets: [][]byte{craft.UDP(host4, 1, peer4, 2, "x")}, Err: odd})
	if n, err := r.W.Read(r.Bufs, r.Sizes, offset); n != 1 || r.Sizes[0] == 0 || err != odd {
		t.Errorf("Read = %d (size %d), %v; want the packet and the error", n, r.Sizes[0], err)
	}
}

func TestLesson15PacketLargerThanTheCallersBuffer(t *testing.T) {
	r := rig.New(t, 2)
	r.W.SetFilter(filter.NewAllowAll(nil))
	small, large := craft.UDP(host4, 1, peer4, 2, "x"), craft.UDP(host4, 1, peer4, 2, strings.Repeat("x", 1000))
	r.Bufs = [][]byte{make([]byte, offset+100), make([]byte, offset+100)}
	r.WantDropWithPass(filter.ReasonTooLarge, func() {
		rig.WantPackets(t, "from the host", r.FromHost(large, small), small)
	})
	r.WantDropWithPass(filter.ReasonTooLarge, func() {
		for _, p := range [][]byte{large, small} {
			if err := r.W.InjectOutbound(p); err != nil {
				t.Fatal(err)
			}
		}
		rig.WantPackets(t, "injected", r.Read(1), small)
	})
}

// TestLesson15DeviceFaultsOnWrite: packets that the device refuses are drops,
// not deliveries, in counters and statistics alike.
func TestLesson15DeviceFaultsOnWrite(t *testing.T) {
	tests := []struct {
		name    string
		n       int
		err     error
		wantErr error
		passed  uint64
	}{
		{"all refused", 0, syscall.ENOBUFS, syscall.ENOBUFS, 0},
		{"some refused", 2, syscall.ENOBUFS, syscall.ENOBUFS, 2},
		{"negative count", -1, syscall.ENOBUFS, syscall.ENOBUFS, 0},
		{"link down", 0, syscall.EIO, nil, 0},
		{"device closed", 0, os.ErrClosed, tstun.ErrClosed, 0},
		{"fine", 3, nil, nil, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := rig.New(t, 4)
			r.W.SetFilter(filter.NewAllowAll(nil))
			r.W.SetStatisticsEnabled(true)
			r.Dev.OnWrite(func([][]byte, int) (int, error) { return tt.n, tt.err })
			pkts := [][]byte{craft.UDP(peer4, 1, host4, 2, "a"), craft.UDP(peer4, 1, host4, 2, "bb"), craft.UDP(peer4, 3, host4, 2, "ccc")}
			if _, err := r.W.Write(rig.Wire(pkts...), offset); !errors.Is(err, tt.wantErr) {
				t.Errorf("Write: %v, want %v", err, tt.wantErr)
			}
			var bytes, statPackets, statBytes uint64
			for _, p := range pkts[:tt.passed] {
				bytes += uint64(len(p))
			}
			c := r.W.Counters().In
			if c.Packets != tt.passed || c.Bytes != bytes || c.Drops[filter.ReasonDevice] != 3-tt.passed {
				t.Errorf("counted %+v, want %d packets of %d bytes and the rest as device drops", c, tt.passed, bytes)
			}
			for _, n := range r.W.ExtractStatistics() {
				statPackets += n.RxPackets
				statBytes += n.RxBytes
			}
			if statPackets != tt.passed || statBytes != bytes {
				t.Errorf("statistics hold %d packets of %d bytes, want %d and %d", statPackets, statBytes, tt.passed, bytes)
			}
		})
	}
}

func TestLinkDownIsSaidOnce(t *testing.T) {
	var mu sync.Mutex
	var lines []string
	dev := testdev.New(1)
	w := tstun.Wrap(func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, format)
	}, dev)
	defer w.Close()
	w.SetFilter(filter.NewAllowAll(nil))
	write := func() {
		t.Helper()
		if _, err := w.Unbatched().Write(append(make([]byte, offset), craft.UDP(peer4, 1, host4, 2, "x")...), offset); err != nil && !errors.Is(err, tstun.ErrFiltered) {
			t.Errorf("Write: %v", err)
		}
	}
	down := func([][]byte, int) (int, error) { return 0, syscall.EIO }
	for range 2 {
		dev.OnWrite(down)
		for range 5 {
			write()
		}
		dev.OnWrite(nil)
		write()
	}
	if len(lines) != 2 {
		t.Errorf("logged %d lines, want one for each time the link went down: %q", len(lines), lines)
	}
}

// TestLesson16CallersBuffersStayDistinct: drops leave a size of 0 and never
// move or alias a buffer.
func TestLesson16CallersBuffersStayDistinct(t *testing.T) {
	r := rig.New(t, 8)
	r.W.SetFilter(filter.NewAllowAll(nil))
	first := make([]*byte, len(r.Bufs))
	for i, b := range r.Bufs {
		first[i] = &b[0]
	}
	pkts := make([][]byte, 8)
	for i := range pkts {
		pkts[i] = craft.UDP(host4, uint16(i), peer4, 2, "x")
		if i%3 == 0 {
			pkts[i] = []byte("not an IP packet")
		}
	}
	r.Dev.Send(pkts...)
	n, err := r.W.Read(r.Bufs, r.Sizes, offset)
	if n != 8 || err != nil {
		t.Fatalf("Read = %d, %v", n, err)
	}
	for i, b := range r.Bufs {
		if &b[0] != first[i] {
			t.Errorf("buffer %d moved", i)
		}
		want := len(pkts[i])
		if i%3 == 0 {
			want = 0
		}
		if r.Sizes[i] != want {
			t.Errorf("size %d is %d, want %d", i, r.Sizes[i], want)
		}
	}

	in := make([][]byte, 8)
	for i := range in {
		in[i] = append(make([]byte, offset), craft.UDP(peer4, uint16(i), host4, 2, "x")...)
		if i%3 == 0 {
			in[i] = append(make([]byte, offset), "not an IP packet"...)
		}
		first[i] = &in[i][0]
	}
	lengths := make([]int, len(in))
	for i := range in {
		lengths[i] = len(in[i])
	}
	r.Dev.OnWrite(func(bufs [][]byte, offset int) (int, error) {
		clear(bufs) // a device may do to its slice what it likes
		return len(bufs), nil
	})
	if _, err := r.W.Write(in, offset); err != nil {
		t.Fatal(err)
	}
	for i, b := range in {
		if &b[0] != first[i] || len(b) != lengths[i] {
			t.Errorf("Write changed buffer %d of the caller's slice", i)
		}
	}
}

// failing is a device that is read directly and has nothing but errors, for a
// number of reads.
type failing struct {
	rig.EndlessDirect
	left  atomic.Int32
	reads atomic.Int32
	err   error
}

func newFailing(t *testing.T, times int32, err error) *failing {
	d := &failing{EndlessDirect: rig.EndlessDirect{Endless: rig.NewEndless(t, 1, rig.Loads(1, 1)["udp"])}, err: err}
	d.left.Store(times)
	return d
}

func (d *failing) ReadReady(bufs [][]byte, sizes []int, offset int, wait bool) (int, error) {
	d.reads.Add(1)
	if d.left.Add(-1) >= 0 {
		return 0, d.err
	}
	return d.EndlessDirect.ReadReady(bufs, sizes, offset, wait)
}

// TestLesson15DirectDeviceThatFails: what passes by itself is waited for,
// patiently, with one line in the log; what does not is the reader's.
func TestLesson15DirectDeviceThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines []string
		logf := func(format string, _ ...any) { lines = append(lines, format) }
		dev := newFailing(t, 30, os.NewSyscallError("readv", syscall.ENOBUFS))
		w := tstun.Wrap(logf, dev)
		w.SetFilter(filter.NewAllowAll(nil))
		began := time.Now()
		n, err := w.Read(rig.Buffers(1), make([]int, 1), offset)
		if n != 1 || err != nil || len(lines) != 1 || !strings.Contains(lines[0], "going on") {
			t.Errorf("Read = %d, %v, logged %q; want a packet and one line", n, err, lines)
		}
		if waited := time.Since(began); waited < time.Second || waited > 3*time.Second {
			t.Errorf("waited %v for 30 failures", waited)
		}
		w.Close()
		wantErrClosed(t, w)
	})
	dev := newFailing(t, 1, syscall.EINVAL)
	w := tstun.Wrap(nil, dev)
	defer w.Close()
	if _, err := w.Read(rig.Buffers(1), make([]int, 1), offset); err != syscall.EINVAL {
		t.Errorf("Read: %v, want the device's error", err)
	}
}

// TestCloseEndsAPatientRead: a device that fails for ever does not hold up
// Close.
func TestCloseEndsAPatientRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dev := newFailing(t, 1<<30, syscall.ENOMEM)
		w := tstun.Wrap(nil, dev)
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.Read(rig.Buffers(1), make([]int, 1), offset)
		}()
		time.Sleep(10 * time.Second)
		if n := dev.reads.Load(); n > 200 {
			t.Errorf("asked %d times in 10 s", n)
		}
		w.Close()
		<-done
	})
}

func wantErrClosed(t *testing.T, w *tstun.Wrapper) {
	t.Helper()
	if _, err := w.Read(rig.Buffers(1), make([]int, 1), offset); err != tstun.ErrClosed {
		t.Errorf("Read after Close: %v", err)
	}
}
