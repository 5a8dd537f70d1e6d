package netstack

import (
	"net/netip"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// udpQueue holds the datagrams of a socket that nobody has read yet. Each costs
// what it takes in memory, of its peer's share of the stack's. Of a socket that
// hears several peers, one peer fills at most three quarters of what the others
// leave free.
type udpQueue struct {
	memory   *memory
	counters *counters
	reader   *half

	filling sync.Mutex // one fill at a time, so that datagrams stay in order
	arrived datagram   // that fill has in hand

	mu      sync.Mutex // guards all below
	waiting []datagram // from first on
	first   int
	bytes   int
	limit   int
	alone   bool             // there is one peer: the socket is connected
	held    map[*account]int // bytes; nil if alone
	closed  bool
	read    bool // since lags said so, or ever

	last     *account // that of lastAddr
	lastAddr netip.Addr
}

// datagram is one that waits.
type datagram struct {
	data    []byte // of a pool
	from    netip.AddrPort
	account *account
}

// datagramCost is what a datagram takes beside its buffer: its place in the
// queue, which may have grown to twice its length.
const datagramCost = 128

func (d *datagram) cost() int { return cap(d.data) + datagramCost }

// Write implements io.Writer for the stack, which hands over a datagram in one
// or more pieces.
func (d *datagram) Write(b []byte) (int, error) {
	if d.data == nil {
		d.data = getBuffer(len(b))
	}
	if len(d.data)+len(b) > cap(d.data) {
		larger := getBuffer(len(d.data) + len(b))
		larger = append(larger, d.data...)
		putBuffer(d.data)
		d.data = larger
	}
	d.data = append(d.data, b...)
	return len(b), nil
}

func (q *udpQueue) init(s *Stack, reader *half) {
	q.memory, q.counters, q.reader = s.memory, &s.counters, reader
	q.limit = defaultUDPBuffer
}

// fill moves all that ep holds to the queue. It returns an ICMP error, or nil.
func (q *udpQueue) fill(ep tcpip.Endpoint) tcpip.Error {
	q.filling.Lock()
	defer q.filling.Unlock()
	var failed tcpip.Error
	for {
		d := &q.arrived
		*d = datagram{}
		r, err := ep.Read(d, tcpip.ReadOptions{NeedRemoteAddr: true})
		switch err.(type) {
		case nil:
			d.from = addrPort(r.RemoteAddr)
			q.put(d)
		case *tcpip.ErrWouldBlock, *tcpip.ErrClosedForReceive:
			return failed
		default:
			failed = err
		}
	}
}

// copyIn adds a copy of payload, or drops and counts it. It reports whether the
// caller had better let the reader run.
func (q *udpQueue) copyIn(payload []byte, from netip.AddrPort) (lags bool) {
	d := datagram{data: append(getBuffer(len(payload)), payload...), from: from}
	return q.put(&d)
}

// put adds d, or drops and counts it. It reports what lags does.
func (q *udpQueue) put(d *datagram) (lags bool) {
	why, lags := q.tryPut(d)
	if why == noReason {
		q.reader.poke()
		return lags
	}
	q.counters.drop(why, 1)
	putBuffer(d.data)
	return lags
}

func (q *udpQueue) tryPut(d *datagram) (why Reason, lags bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	d.account = q.accountOf(d.from.Addr())
	why = q.tryPutLocked(d)
	return why, q.lags()
}

// accountOf returns the account of the peer behind a, which is often the last
// one's. q.mu is held.
func (q *udpQueue) accountOf(a netip.Addr) *account {
	if q.last == nil || q.lastAddr != a || q.last.forgotten.Load() {
		q.last, q.lastAddr = q.memory.of(a), a
	}
	return q.last
}

// lags reports whether half of the queue is full and the reader has read since
// lags last said so. The reader is ready then, or about to be, and waits for a
// processor that those who fill the queue keep busy: without a pause for it,
// they would work on for the scheduler's time slice of 10 ms, in which thousands
// of datagrams come to be dropped. A program that does not read is waited for
// once. q.mu is held.
func (q *udpQueue) lags() bool {
	if !q.read || q.bytes < q.limit/2 {
		return false
	}
	q.read = false
	return true
}

func (q *udpQueue) tryPutLocked(d *datagram) Reason {
	n := d.cost()
	if q.closed || !q.hasRoom(d.account, n) {
		return ReasonSocketBuffer
	}
	if !d.account.hold(n) {
		return ReasonMemory
	}
	if q.first > 0 && q.first == len(q.waiting) {
		q.waiting, q.first = q.waiting[:0], 0
	}
	q.waiting = append(q.waiting, *d)
	q.bytes += n
	if !q.alone {
		if q.held == nil {
			q.held = make(map[*account]int)
		}
		q.held[d.account] += n
	}
	return noReason
}

func (q *udpQueue) hasRoom(a *account, n int) bool {
	free := q.limit - q.bytes
	if q.alone || q.bytes == 0 {
		return free >= 0
	}
	return free >= n && q.held[a] <= 3*free
}

// take copies the first datagram to b, and returns its own length and source. It
// reports false if there is none.
func (q *udpQueue) take(b []byte) (int, netip.AddrPort, bool) {
	d, ok := q.pop()
	if !ok {
		return 0, netip.AddrPort{}, false
	}
	defer putBuffer(d.data)
	copy(b, d.data)
	return len(d.data), d.from, true
}

// pop returns the first datagram, whose buffer is the caller's.
func (q *udpQueue) pop() (datagram, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.first == len(q.waiting) {
		return datagram{}, false
	}
	d := q.waiting[q.first]
	q.waiting[q.first] = datagram{}
	q.first++
	q.read = true
	q.forget(&d)
	return d, true
}

// forget gives back what d took, but for its buffer. q.mu is held.
func (q *udpQueue) forget(d *datagram) {
	n := d.cost()
	q.bytes -= n
	if !q.alone {
		if q.held[d.account] -= n; q.held[d.account] == 0 {
			delete(q.held, d.account)
		}
	}
	d.account.release(n)
}

func (q *udpQueue) setLimit(bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.limit = bufferSize(bytes, maxUDPBuffer)
}

// close drops what waits, and what still comes.
func (q *udpQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for i := range q.waiting[q.first:] {
		q.forget(&q.waiting[q.first+i])
		putBuffer(q.waiting[q.first+i].data)
	}
	q.waiting, q.first = nil, 0
}
