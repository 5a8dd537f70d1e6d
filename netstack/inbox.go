package netstack

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"tstun/ipproto"
	"tstun/packet"
)

// inboxBytes bounds the packets that wait for the stack. It is what one TCP
// connection can have on the way; beyond it packets are dropped, which tells
// TCP to slow down.
const inboxBytes = maxTCPBuffer

// inbox holds the packets that the hooks took until they are handed to the
// stack. The hooks run on WireGuard's goroutines. A packet that nothing can join
// is handed over there and then, with what waits before it; while more may join
// a TCP segment, the goroutine of the stack is told, which has it if no more
// come. One of them hands over at a time: what comes meanwhile waits.
type inbox struct {
	datagrams atomic.Int32 // how many of the packets are of UDP

	mu      sync.Mutex // guards all below
	changed sync.Cond  // something waits that nobody hands over, or closed is set
	waiting []item
	spare   []item // what was taken last, empty
	bytes   int
	busy    bool // somebody hands over
	inline  bool // put's caller may
	closed  bool

	memory   *memory
	which    int      // of an account's waiting
	round    uint64   // of take: what an account has waiting is of one
	last     *account // that of lastAddr
	lastAddr netip.Addr
}

// item is one packet, or TCP segments merged into one.
type item struct {
	proto tcpip.NetworkProtocolNumber
	data  buffer.Buffer
	tail  *buffer.View // what follows data, and may have room; nil: nothing follows
	run   tcpRun
	isUDP bool // a datagram, or a piece of one
}

// maxTail is the largest view that gVisor pools.
const maxTail = buffer.MaxChunkSize

// add appends a payload. Views double, so that a run is in few of them and no more
// than half of what it holds is empty.
func (it *item) add(payload []byte) {
	n := min(len(payload), it.tail.AvailableSize())
	_, _ = it.tail.Write(payload[:n])
	if n == len(payload) {
		return
	}
	it.closeTail()
	it.tail = buffer.NewView(min(max(len(payload)-n, int(it.data.Size())), maxTail))
	_, _ = it.tail.Write(payload[n:])
}

// closeTail makes tail part of data.
func (it *item) closeTail() {
	_ = it.data.Append(it.tail) // which passes over nil
	it.tail = nil
}

// finish makes data all of the packet.
func (it *item) finish() {
	it.run.finish()
	it.closeTail()
}

// release gives the memory back.
func (it *item) release() {
	it.closeTail()
	it.data.Release()
}

// The inboxes of a Stack.
const (
	ownInbox = iota
	forwardInbox
	numInboxes
)

func (b *inbox) init(m *memory, which int) { b.changed.L, b.memory, b.which = &b.mu, m, which }

// put copies the packet in, or returns why it does not. If it returns items, the
// caller is to hand them over, and then to call done.
func (b *inbox) put(p *packet.Parsed) (Reason, []item) {
	pkt := p.Buffer()
	seg, mergeable := segmentOf(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	acct := b.accountOf(p.Src.Addr())
	if b.closed || !b.hasRoom(acct, len(pkt)) {
		return ReasonInbox, nil
	}
	last := len(b.waiting) - 1
	joins := mergeable && last >= 0 && b.waiting[last].run.continuedBy(seg)
	whole, ok := b.memory.admit(acct, p, joins)
	if !ok {
		return ReasonMemory, nil
	}
	b.bytes += len(pkt)
	acct.waiting[b.which].bytes += len(pkt)
	if joins && whole {
		b.waiting[last].run.absorb(seg)
		b.waiting[last].add(seg.payload)
		return noReason, b.turn()
	}
	it := newItem(p, seg, mergeable && whole)
	if it.isUDP {
		b.datagrams.Add(1)
	}
	b.waiting = append(b.waiting, it)
	return noReason, b.turn()
}

// turn returns what the caller of put is to hand over, if it is. b.mu is held.
func (b *inbox) turn() []item {
	switch {
	case b.busy: // who hands over looks again
		return nil
	case !b.inline || b.waiting[len(b.waiting)-1].run.open:
		b.changed.Signal()
		return nil
	}
	return b.take()
}

// take returns what waits, until the next call. b.mu is held.
func (b *inbox) take() []item {
	out := b.waiting
	b.waiting, b.spare = b.spare[:0], out
	b.bytes = 0
	b.round++
	b.busy = true
	return out
}

// done is told once all was handed over that put or fetch returned.
func (b *inbox) done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.busy = false
	if len(b.waiting) > 0 || b.closed {
		b.changed.Broadcast()
	}
}

// accountOf returns the account of the peer behind a, which is often the last
// one's.
func (b *inbox) accountOf(a netip.Addr) *account {
	if b.last == nil || b.lastAddr != a || b.last.forgotten.Load() {
		b.last, b.lastAddr = b.memory.of(a), a
	}
	if w := &b.last.waiting[b.which]; w.round != b.round {
		*w = waiting{round: b.round}
	}
	return b.last
}

// hasRoom leaves other peers a quarter of what is free.
func (b *inbox) hasRoom(a *account, n int) bool {
	free := inboxBytes - b.bytes
	return n <= free && a.waiting[b.which].bytes <= 3*free
}

func newItem(p *packet.Parsed, seg segment, mergeable bool) item {
	v := buffer.NewViewWithData(p.Buffer())
	it := item{proto: header.IPv4ProtocolNumber, tail: v, isUDP: p.Proto() == ipproto.UDP}
	if p.IPVersion == 6 {
		it.proto = header.IPv6ProtocolNumber
	}
	if mergeable {
		it.run.start(seg, v.AsSlice())
	}
	return it
}

// fetch waits for packets that nobody hands over, and returns all of them, for
// the caller to do so and then to call done. It returns nil once the inbox is
// closed.
func (b *inbox) fetch() []item {
	b.mu.Lock()
	defer b.mu.Unlock()
	for (len(b.waiting) == 0 || b.busy) && !b.closed {
		b.changed.Wait()
	}
	if b.closed {
		return nil
	}
	return b.take()
}

// close ends fetch, drops what waits, and returns when nobody hands over any
// more.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for i := range b.waiting {
		b.waiting[i].release()
	}
	b.waiting = nil
	b.changed.Broadcast()
	for b.busy {
		b.changed.Wait()
	}
}

// deliverLoop is the stack's goroutine: it hands over what the inbox holds and
// no hook does, until that is closed.
func (l *link) deliverLoop() {
	defer close(l.delivered)
	for items := l.inbox.fetch(); items != nil; items = l.inbox.fetch() {
		l.handOver(items)
	}
}

// handOver gives the stack what the inbox gave out.
func (l *link) handOver(items []item) {
	for i := range items {
		l.deliver(&items[i])
		if items[i].isUDP {
			l.inbox.datagrams.Add(-1)
		}
		items[i] = item{}
	}
	l.inbox.done()
	l.memory.sweepIfWanted()
}

func (l *link) deliver(it *item) {
	it.finish()
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: it.data})
	if d := l.dispatcher.Load(); d != nil {
		(*d).DeliverNetworkPacket(it.proto, pkt)
	}
	pkt.DecRef()
}
