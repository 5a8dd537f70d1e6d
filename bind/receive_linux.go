package bind

import (
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

// receiveFuncs returns a receive function for each socket. std are wireguard-go's own.
func (b *bind) receiveFuncs(std []conn.ReceiveFunc) []conn.ReceiveFunc {
	open := openSockets(b.StdNetBind)
	if len(open) != len(std) {
		return std
	}
	own := make([]conn.ReceiveFunc, len(open))
	for i, socket := range open {
		raw, err := socket.SyscallConn()
		if err != nil {
			return std
		}
		own[i] = newReceiver(raw).receive
	}
	return own
}

const (
	maxBuffers = 128 // of a call; wireguard-go's batch
	// wide and narrow are how many messages a call asks for: few of many datagrams
	// each, or many of few.
	wide   = 2
	narrow = 32
	// maxDatagram is more than a message has (RFC 768: the length has 16 bits).
	maxDatagram = 1 << 16
)

// receiver receives from one socket. It is used by one goroutine.
//
// A message is one datagram, or, with UDP_GRO, as many of one sender and one length as
// the kernel had, one behind the other. Each message has a number of buffers, of which
// every one but the last takes as many bytes as the datagrams before were long. So the
// kernel puts each datagram of a message where it belongs. Where they have another
// length, they are put there by copying.
type receiver struct {
	socket   syscall.RawConn
	messages int  // that the next call asks for
	length   int  // of the datagrams, as far as can be guessed, in bytes
	busy     bool // the last call received more than a single datagram

	headers [narrow]header
	beside  [narrow]beside
	vector  [maxBuffers]unix.Iovec
	senders senders

	call  func(fd uintptr) bool // the system call, made once
	count int                   // of messages, of the last call
	errno syscall.Errno

	rests   []rest // what had no room, in order
	scratch []byte // where it is
}

// rest is a message, or the end of one, that is not in its buffers.
type rest struct {
	data   []byte
	length int // of each datagram but the last
	from   conn.Endpoint
}

func newReceiver(socket syscall.RawConn) *receiver {
	r := &receiver{socket: socket, messages: wide, length: maxDatagram}
	r.call = func(fd uintptr) bool {
		for r.errno = unix.EINTR; r.errno == unix.EINTR; {
			r.count, r.errno = receiveMessages(fd, r.headers[:r.messages])
		}
		return r.errno != unix.EAGAIN
	}
	return r
}

// receive is a conn.ReceiveFunc. It waits for datagrams. Buffers between them may stay
// empty: they have the size 0.
func (r *receiver) receive(bufs [][]byte, sizes []int, from []conn.Endpoint) (n int, err error) {
	if len(r.rests) > 0 {
		return r.takeRests(bufs, sizes, from), nil
	}
	r.scratch = r.scratch[:0]
	if r.busy {
		// The goroutine that decrypts what came last is runnable now. Here it finds
		// that in the processor's cache. Another idle processor takes over this one.
		runtime.Gosched()
	}
	per, length := r.aim(bufs)
	if err := r.socket.Read(r.call); err != nil {
		return 0, err
	}
	if r.errno != 0 {
		return 0, os.NewSyscallError("recvmmsg", r.errno)
	}
	r.senders.forget()
	most := 0
	for i := range r.count {
		at := i * per
		most = max(most, r.split(&r.headers[i], length, bufs[at:at+per], sizes[at:at+per], from[at:at+per]))
	}
	r.busy = most > 1 || r.count > 1
	r.reshape(most)
	return r.count * per, nil
}

// aim points the messages of the next call at bufs, and returns how many each has, and how
// many bytes all of these but the last take.
func (r *receiver) aim(bufs [][]byte) (per, length int) {
	bufs = bufs[:min(len(bufs), maxBuffers)]
	r.messages = min(r.messages, len(bufs))
	per, length = len(bufs)/r.messages, r.length
	for _, buf := range bufs {
		length = min(length, len(buf))
	}
	for i := range r.messages {
		vector := r.vector[i*per : (i+1)*per]
		for j, buf := range bufs[i*per : (i+1)*per] {
			if j < per-1 {
				buf = buf[:length]
			}
			vector[j].Base = &buf[0]
			vector[j].SetLen(len(buf))
		}
		r.headers[i].aim(vector, &r.beside[i])
	}
	return per, length
}

// split says where the datagrams of a message are, which was aimed at bufs for datagrams
// of the given length, and returns their number.
func (r *receiver) split(h *header, aimed int, bufs [][]byte, sizes []int, from []conn.Endpoint) int {
	clear(sizes)
	total := int(h.length)
	if total == 0 {
		return 0
	}
	length, to := h.ancillary()
	if length == 0 || length > total {
		length = total
	}
	sender := r.senders.endpoint(h.sender(), to)
	count := (total + length - 1) / length
	inPlace := count == 1 && (length <= aimed || len(bufs) == 1) || length == aimed && count <= len(bufs)
	if len(r.rests) == 0 && inPlace {
		for j := range count {
			sizes[j], from[j] = min(length, total-j*length), sender
		}
	} else {
		r.putApart(rest{r.gather(bufs, aimed, total), length, sender}, bufs, sizes, from)
	}
	if count > 1 || length > r.length {
		r.length = length
	}
	return count
}

// gather returns a copy of a message of total bytes that was aimed at bufs, in one piece.
func (r *receiver) gather(bufs [][]byte, aimed, total int) []byte {
	begin := len(r.scratch)
	for i, buf := range bufs {
		left := total - (len(r.scratch) - begin)
		if i < len(bufs)-1 {
			left = min(left, aimed)
		}
		r.scratch = append(r.scratch, buf[:left]...)
	}
	return r.scratch[begin:]
}

// putApart puts as much of m into bufs as fits, and what does not behind the rests. It all
// goes there if there are any: datagrams stay in their order.
func (r *receiver) putApart(m rest, bufs [][]byte, sizes []int, from []conn.Endpoint) {
	if len(r.rests) == 0 {
		m.take(bufs, sizes, from)
	}
	if len(m.data) > 0 {
		r.rests = append(r.rests, m)
	}
}

// takeRests puts rests into bufs, and returns how many of these it filled.
func (r *receiver) takeRests(bufs [][]byte, sizes []int, from []conn.Endpoint) (n int) {
	for len(r.rests) > 0 && n < len(bufs) {
		n += r.rests[0].take(bufs[n:], sizes[n:], from[n:])
		if len(r.rests[0].data) > 0 {
			return n
		}
		r.rests = r.rests[1:]
	}
	if len(r.rests) == 0 {
		r.rests = nil
	}
	return n
}

// take puts as many datagrams into bufs as there are, and returns their number.
func (m *rest) take(bufs [][]byte, sizes []int, from []conn.Endpoint) (n int) {
	for len(m.data) > 0 && n < len(bufs) {
		length := min(m.length, len(m.data))
		sizes[n], from[n] = copy(bufs[n], m.data[:length]), m.from
		m.data = m.data[length:]
		n++
	}
	return n
}

// reshape chooses how many messages the next call asks for, when those of the last had
// at most that many datagrams each.
func (r *receiver) reshape(most int) {
	switch {
	case most > maxBuffers/narrow:
		r.messages = wide
	case most == 1 && r.count >= wide:
		r.messages = narrow
	}
}
