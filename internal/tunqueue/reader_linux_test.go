//go:build !android

package tunqueue_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tstun/internal/gso"
	"tstun/internal/tunqueue"
	"tstun/internal/tunqueue/queuetest"
)

// One call takes all that is ready, whatever it is, in its order.
func TestReadReadyTakesAll(t *testing.T) {
	for _, virtio := range []bool{false, true} {
		t.Run(fmt.Sprintf("virtio %v", virtio), func(t *testing.T) {
			q, far := newQueue(t, virtio, t.Logf)
			var want [][]byte
			for i := range 50 {
				pkt := udp(uint32(i), 4+i*170) // also longer than what is read straight into the buffer
				want = append(want, pkt)
				if !virtio {
					send(t, far, pkt)
					continue
				}
				send(t, far, withVirtio(gso.Virtio{}, pkt))
				if i%10 == 9 {
					super, segments := superUDP(5, 100, 1)
					send(t, far, super)
					want = append(want, segments...)
				}
			}
			bufs, sizes := buffers(128, room+9000)
			n, err := q.ReadReady(bufs, sizes, room, true)
			if err != nil || n != len(want) {
				t.Fatalf("%d packets, %v; want %d", n, err, len(want))
			}
			for i, w := range want {
				if !bytes.Equal(bufs[i][room:room+sizes[i]], w) {
					t.Fatalf("packet %d: %d bytes, want %d, or other ones", i, sizes[i], len(w))
				}
				if !bytes.Equal(bufs[i][:room], make([]byte, room)) {
					t.Fatalf("packet %d: the bytes in front were changed", i)
				}
			}
			if n, err := q.ReadReady(bufs, sizes, room, false); n != 0 || err != nil {
				t.Errorf("then %d, %v", n, err)
			}
		})
	}
}

// A packet that a call waited for comes at once: the call does not look for another one,
// and the next one has all that are there.
func TestLonePacket(t *testing.T) {
	q, far := newQueue(t, true, t.Logf)
	calls, empty := 0, true
	queuetest.FailReads(q, func() syscall.Errno {
		calls++
		if !empty {
			return 0
		}
		empty = false
		for i := range 3 {
			send(t, far, withVirtio(gso.Virtio{}, udp(uint32(i), 100)))
		}
		return unix.EAGAIN // as if they had come a little later
	})
	bufs, sizes := buffers(8, 200)
	for i, want := range []struct{ packets, calls int }{{1, 2}, {2, 3}} {
		calls = 0
		if n, err := q.ReadReady(bufs, sizes, 0, true); n != want.packets || err != nil || calls != want.calls {
			t.Errorf("call %d: %d packets, %v, %d system calls; want %v", i, n, err, calls, want)
		}
	}
}

// Segments that do not fit stay for the next call: every number of segments
// around every number of buffers.
func TestLeftovers(t *testing.T) {
	for _, count := range []int{1, 2, 3, 7, 43, 64, 127, 128, 129, 130} {
		q, far := newQueue(t, true, t.Logf)
		bufs, sizes := buffers(count, 300)
		segments := []int{1, 2, count - 1, count, count + 1, 2*count - 1, 2 * count, 2*count + 1, 200}
		for _, n := range segments {
			if n < 1 {
				continue
			}
			super, want := superUDP(n, 100, 99)
			send(t, far, super)
			one := udp(5, 10)
			send(t, far, withVirtio(gso.Virtio{}, one))
			want = append(want, one)
			got := 0
			for got < len(want) {
				k, err := q.ReadReady(bufs, sizes, 0, true)
				// A call that has a long super-packet leaves what is behind it.
				rest := len(want) - got
				if err != nil || k != min(count, rest) && !(n >= 32 && k == min(count, rest-1)) {
					t.Fatalf("%d segments, %d buffers: %d packets after %d, %v", n, count, k, got, err)
				}
				for i := range k {
					if !bytes.Equal(bufs[i][:sizes[i]], want[got]) {
						t.Fatalf("%d segments, %d buffers: packet %d differs", n, count, got)
					}
					got++
				}
			}
		}
	}
}

// Every number of buffers, for one number of segments: what is left is told by
// Discard, and is gone.
func TestDiscard(t *testing.T) {
	q, far := newQueue(t, true, t.Logf)
	for count := 1; count <= 130; count++ {
		super, _ := superUDP(65, 100, 100)
		send(t, far, super)
		bufs, sizes := buffers(count, 300)
		n, err := q.ReadReady(bufs, sizes, 0, true)
		if err != nil || n != min(count, 65) {
			t.Fatalf("%d buffers: %d, %v", count, n, err)
		}
		if got := q.Discard(); got != 65-n {
			t.Errorf("%d buffers: discarded %d", count, got)
		}
		if n, err := q.ReadReady(bufs, sizes, 0, false); n != 0 || err != nil {
			t.Errorf("%d buffers: then %d, %v", count, n, err)
		}
	}
}

// A packet that is longer than the buffer is cut, and its size tells.
func TestShortBuffers(t *testing.T) {
	for _, virtio := range []bool{false, true} {
		for _, space := range []int{0, 1, 20, 99, 100, 101, 2047, 2048, 2049, 5000} {
			for _, length := range []int{100, 2048, 2100, 4999, 5000, 5001, 60_000} {
				q, far := newQueue(t, virtio, t.Logf)
				pkt := udp(1, length-28)
				if virtio {
					send(t, far, withVirtio(gso.Virtio{}, pkt))
				} else {
					send(t, far, pkt)
				}
				bufs, sizes := buffers(2, room+space)
				n, err := q.ReadReady(bufs, sizes, room, true)
				if n != 1 || err != nil || sizes[0] != length {
					t.Fatalf("space %d, length %d: %d packets, %v, size %d", space, length, n, err, sizes[0])
				}
				if fits := min(space, length); !bytes.Equal(bufs[0][room:room+fits], pkt[:fits]) {
					t.Errorf("space %d, length %d: the bytes differ", space, length)
				}
			}
		}
	}
	q, far := newQueue(t, true, t.Logf)
	super, want := superUDP(4, 100, 10)
	send(t, far, super)
	bufs, sizes := buffers(4, 100)
	if n, err := q.ReadReady(bufs, sizes, 0, true); n != 4 || err != nil || !slices.Equal(sizes, []int{128, 128, 128, 38}) ||
		!bytes.Equal(bufs[3][:38], want[3]) {
		t.Errorf("segments: %d, %v, sizes %v", n, err, sizes)
	}
	send(t, far, withVirtio(gso.Virtio{}, want[0]))
	if n, err := q.ReadReady(bufs, sizes, 1000, true); n != 1 || err != nil || sizes[0] != 128 {
		t.Errorf("offset behind the buffer: %d, %v, size %d", n, err, sizes[0])
	}
}

// A checksum that is left to the reader is computed wherever the packet is read
// to, up to one that fills its buffer.
func TestChecksumIsCompleted(t *testing.T) {
	for _, length := range []int{32, 100, 2047, 2048, 2049, 5000} {
		q, far := newQueue(t, true, t.Logf)
		want := udp(7, length-28)
		pkt := bytes.Clone(want)
		queuetest.LeaveChecksum(pkt)
		v := gso.Virtio{Flags: 1, ChecksumStart: 20, ChecksumOffset: 6}
		for _, more := range []int{0, 1, 3000} {
			send(t, far, withVirtio(v, pkt))
			bufs, sizes := buffers(1, room+len(pkt)+more)
			if n, err := q.ReadReady(bufs, sizes, room, true); n != 1 || err != nil || !bytes.Equal(bufs[0][room:room+sizes[0]], want) {
				t.Errorf("%d bytes, room for %d more: %d, %v, size %d, or another checksum", len(pkt), more, n, err, sizes[0])
			}
		}
	}
}

// What comes with an impossible header is told, in its place, and nothing else
// suffers.
func TestMalformed(t *testing.T) {
	good := udp(1, 100)
	super, segments := superUDP(3, 100, 100)
	for name, v := range map[string]gso.Virtio{
		"type":            {Type: 77},
		"size":            {Flags: 1, Type: 5, ChecksumStart: 20, ChecksumOffset: 6},
		"version":         {Flags: 1, Type: 4, Size: 10, ChecksumStart: 20, ChecksumOffset: 16},
		"checksum field":  {Flags: 1, ChecksumStart: 20, ChecksumOffset: 60_000},
		"checksum start":  {Flags: 1, ChecksumStart: 60_000, ChecksumOffset: 6},
		"super, checksum": {Flags: 1, Type: 5, Size: 100, ChecksumStart: 60_000, ChecksumOffset: 6},
	} {
		q, far := newQueue(t, true, t.Logf)
		send(t, far, withVirtio(gso.Virtio{}, good))
		send(t, far, withVirtio(v, good))
		send(t, far, super)
		bufs, sizes := buffers(10, 200)
		n, err := q.ReadReady(bufs, sizes, 0, true)
		if n != 5 || err != nil || !slices.Equal(sizes[:n], []int{128, tunqueue.Malformed, 128, 128, 128}) {
			t.Errorf("%s: %d, %v, sizes %v", name, n, err, sizes[:n])
			continue
		}
		if !bytes.Equal(bufs[0][:128], good) || !bytes.Equal(bufs[4][:128], segments[2]) {
			t.Errorf("%s: the others differ", name)
		}
	}
	// Read, which wireguard-go may call, has no negative sizes.
	q, far := newQueue(t, true, t.Logf)
	send(t, far, withVirtio(gso.Virtio{Type: 77}, good))
	bufs, sizes := buffers(1, 200)
	if n, err := q.Read(bufs, sizes, 0); n != 1 || err != nil || sizes[0] != 0 {
		t.Errorf("Read: %d, %v, sizes %v", n, err, sizes)
	}
	// Nothing can be read without sizes.
	soon(t, "Read", func() {
		if n, err := q.Read(bufs, nil, 0); n != 0 || err != nil {
			t.Errorf("Read without sizes: %d, %v", n, err)
		}
	})
	// Nor is a packet told that was cut: wireguard-go slices its buffers by the
	// sizes that it gets.
	for _, offset := range []int{0, 100, 1000} {
		super, _ := superUDP(2, 100, 60)
		send(t, far, withVirtio(gso.Virtio{}, udp(1, 173)))
		send(t, far, super)
		bufs, sizes := buffers(3, offset+127)
		bufs[0] = bufs[0][:min(offset, 200)]
		if n, err := q.Read(bufs, sizes, offset); n != 3 || err != nil || !slices.Equal(sizes, []int{0, 0, 88}) {
			t.Errorf("Read at %d of what does not fit: %d, %v, sizes %v", offset, n, err, sizes)
		}
	}
	// Neither is a bare header a packet, nor less than one.
	for _, runt := range [][]byte{make([]byte, gso.VirtioLen), {1}} {
		send(t, far, runt)
		if n, err := q.ReadReady(bufs, sizes, 0, true); n != 1 || err != nil || sizes[0] != 0 {
			t.Errorf("runt of %d: %d, %v, sizes %v", len(runt), n, err, sizes)
		}
	}
}

// docs/lessons.md row 15, for reading: errors end the call, not what it has.
func TestReadErrors(t *testing.T) {
	for _, tt := range []struct {
		errno syscall.Errno
		is    error
	}{
		{unix.EINTR, nil}, {unix.ENOBUFS, unix.ENOBUFS}, {unix.EIO, unix.EIO}, {unix.EBADFD, os.ErrClosed},
	} {
		q, far := newQueue(t, true, t.Logf)
		script := []syscall.Errno{0, tt.errno}
		queuetest.FailReads(q, func() syscall.Errno {
			if len(script) == 0 {
				return 0
			}
			next := script[0]
			script = script[1:]
			return next
		})
		for range 2 {
			send(t, far, withVirtio(gso.Virtio{}, udp(1, 100)))
		}
		bufs, sizes := buffers(4, 200)
		n, err := q.ReadReady(bufs, sizes, 0, true)
		if want := 1; tt.is != nil && (n != want || err != nil) || tt.is == nil && (n != 2 || err != nil) {
			t.Errorf("%v: %d, %v", tt.errno, n, err)
		}
		script = []syscall.Errno{tt.errno}
		if n, err := q.ReadReady(bufs, sizes, 0, false); tt.is != nil && (n != 0 || !errors.Is(err, tt.is)) {
			t.Errorf("%v: %d, %v; want %v", tt.errno, n, err, tt.is)
		}
	}
}

func FuzzReadReady(f *testing.F) {
	super, _ := superUDP(3, 100, 7)
	f.Add(super, uint8(4), uint16(200))
	f.Add(withVirtio(gso.Virtio{Flags: 1, ChecksumStart: 20, ChecksumOffset: 6}, udp(1, 50)), uint8(1), uint16(60))
	f.Fuzz(func(t *testing.T, in []byte, count uint8, size uint16) {
		if len(in) == 0 || count == 0 {
			return
		}
		q, far := newQueue(t, true, t.Logf)
		for _, p := range [][]byte{super, in, super} { // the next one is read to where its segments would be
			send(t, far, p)
		}
		bufs, sizes := buffers(int(count), int(size))
		for range 70_000 {
			n, err := q.ReadReady(bufs, sizes, 0, false)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range sizes[:n] {
				if s < tunqueue.Malformed || s > 65535 {
					t.Fatalf("size %d", s)
				}
			}
			if n < len(bufs) {
				return
			}
		}
		t.Fatal("more packets than bytes")
	})
}
