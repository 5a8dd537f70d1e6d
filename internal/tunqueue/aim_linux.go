package tunqueue

// maxPieces is how many pieces a packet is read in: what a system call takes
// (linux/uio.h, UIO_MAXIOV), but for the header in front and the overflow.
const maxPieces = 1022

// aim says where the bytes of a packet are read to. Its first ones go to the caller's
// next buffer. If the packet before was a super-packet, then the payloads of as many
// segments of the same length as there are buffers go where these segments will be; so
// the kernel cuts the packet while it copies it. All others go to the overflow, to the
// places where they are in the packet.
type aim struct {
	header int // length of all headers of the last super-packet
	size   int // of the payload of its segments, or 0 if the last packet was none
	first  int // bytes that go to the next buffer
	pieces int // buffers that the packet is read to
}

// takeAim appends the memory for the next packet to the vector.
func (r *reader) takeAim() {
	a := &r.aim
	all := r.space(0)
	if a.size == 0 || a.header+a.size > len(all) {
		a.size, a.first = 0, min(len(all), directLen)
	} else {
		a.first = a.header + a.size
	}
	r.iov = append(r.iov, iovec(all[:a.first]))
	a.pieces = 1
	for ; a.size > 0 && a.pieces < min(len(r.call.bufs)-r.call.n, maxPieces) && a.end()+a.size <= maxSuper; a.pieces++ {
		b := r.space(a.pieces)
		if a.header+a.size > len(b) {
			break
		}
		r.iov = append(r.iov, iovec(b[a.header:a.header+a.size]))
	}
	r.iov = append(r.iov, iovec(r.overflow[a.end():]))
}

// end returns the place in the packet of the first byte that goes to the overflow.
func (a *aim) end() int { return a.first + (a.pieces-1)*a.size }

// gather copies what of a packet of n bytes is not in the caller's next buffer to dst, to
// the places where it is in the packet, as far as dst goes.
func (r *reader) gather(dst []byte, n int) {
	a := &r.aim
	n = min(n, len(dst))
	at := a.first
	for i := 1; i < a.pieces && at < n; i++ {
		at += copy(dst[at:n], r.space(i)[a.header:a.header+a.size])
	}
	if at < n {
		copy(dst[at:n], r.overflow[at:])
	}
}
