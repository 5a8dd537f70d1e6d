//go:build !android

package tunqueue_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"testing"

	"tstun/internal/gso"
	"tstun/internal/tunqueue"
)

// Packets come as they were sent, whatever came before: what is read to where the
// segments of a super-packet like the last one would be may be another, or none, with
// room for all of it or not.
func TestPacketsAfterSuperPackets(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	sizes := []int{1, 99, 100, 1000, 1372, 20_000}
	for range 200 {
		q, far := newQueue(t, true, t.Logf)
		l := line{t: t, q: q, far: far, space: 28 + sizes[random.IntN(len(sizes))]}
		l.bufs, l.sizes = buffers(1+random.IntN(130), room+l.space)
		for range 1 + random.IntN(4) {
			size := sizes[random.IntN(len(sizes))]
			for range random.IntN(5) {
				super, segments := superUDP(1+random.IntN(min(130, 65_000/size)), size, 1+random.IntN(size))
				l.send(super, segments...)
			}
			for range random.IntN(3) {
				one := udp(random.Uint32(), 4+random.IntN(min(3*size, 60_000)))
				l.send(withVirtio(gso.Virtio{}, one), one)
			}
		}
		l.receiveAll()
	}
}

// line is a queue, and what it has not handed out yet.
type line struct {
	t     *testing.T
	q     *tunqueue.Queue
	far   *os.File
	bufs  [][]byte
	sizes []int
	space int // bytes in a buffer for a packet
	want  [][]byte
	sent  int // bytes since the last receiveAll
}

// send sends a packet, which comes as others, and receives first what would not fit in a
// socket's buffer with it.
func (l *line) send(pkt []byte, comes ...[]byte) {
	l.t.Helper()
	if l.sent += len(pkt); l.sent > 150_000 {
		l.receiveAll()
		l.sent = len(pkt)
	}
	send(l.t, l.far, pkt)
	l.want = append(l.want, comes...)
}

func (l *line) receiveAll() {
	l.t.Helper()
	for len(l.want) > 0 {
		n, err := l.q.ReadReady(l.bufs, l.sizes, room, true)
		if n == 0 || err != nil {
			l.t.Fatalf("%d packets missing: %d, %v", len(l.want), n, err)
		}
		for i, want := range l.want[:n] {
			size := l.sizes[i]
			if size != len(want) || len(want) <= l.space && !bytes.Equal(l.bufs[i][room:room+size], want) {
				l.t.Fatalf("%d packets missing, room for %d bytes in each of %d buffers: got %d bytes, want %d, or other ones",
					len(l.want)-i, l.space, len(l.bufs), size, len(want))
			}
		}
		l.want = l.want[n:]
	}
}
