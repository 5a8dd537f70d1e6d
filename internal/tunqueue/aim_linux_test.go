//go:build !android

package tunqueue_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"tstun/internal/gso"
)

// Packets come as they were sent, whatever came before: what is read to where the
// segments of a super-packet like the last one would be may be another, or none, with
// room for all of it or not.
func TestPacketsAfterSuperPackets(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	sizes := []int{1, 99, 100, 1000, 1372, 20_000}
	for range 300 {
		q, far := newQueue(t, true, t.Logf)
		var want [][]byte
		for range 1 + random.IntN(4) {
			size := sizes[random.IntN(len(sizes))]
			for range random.IntN(5) {
				super, segments := superUDP(1+random.IntN(min(130, 65_000/size)), size, 1+random.IntN(size))
				send(t, far, super)
				want = append(want, segments...)
			}
			for range random.IntN(3) {
				one := udp(random.Uint32(), 4+random.IntN(min(3*size, 60_000)))
				send(t, far, withVirtio(gso.Virtio{}, one))
				want = append(want, one)
			}
		}
		space := 28 + sizes[random.IntN(len(sizes))]
		bufs, got := buffers(1+random.IntN(130), room+space)
		for len(want) > 0 {
			n, err := q.ReadReady(bufs, got, room, true)
			if n == 0 || err != nil {
				t.Fatalf("%d packets missing: %d, %v", len(want), n, err)
			}
			for i := range n {
				w := want[i]
				if got[i] != len(w) || len(w) <= space && !bytes.Equal(bufs[i][room:room+got[i]], w) {
					t.Fatalf("%d packets missing, room for %d bytes in each of %d buffers: got %d bytes, want %d, or other ones", len(want)-i, space, len(bufs), got[i], len(w))
				}
			}
			want = want[n:]
		}
	}
}
