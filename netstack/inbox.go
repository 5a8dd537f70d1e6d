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

// inbox holds the packets that the hooks took until the stack's goroutine has
// handed them to the stack. The hooks run on WireGuard's goroutines, which can go
// on decrypting meanwhile, and packets that wait can be merged. To hand over a
// packet that nothing can join on the hook's own goroutine saves a switch, and no
// time that was seen (docs/netstack.md).
type inbox struct {
	datagrams atomic.Int32 // how many of the packets are of UDP

	mu      sync.Mutex // guards all below
	filled  sync.Cond  // signalled when waiting gets its first item, and by close
	waiting []item
	spare   []item // what fetch gave out last, empty
	bytes   int
	busy    bool // what fetch returned is being handed over
	closed  bool

	memory   *memory
	which    int      // of an account's waiting
	round    uint64   // of fetch: what an account has waiting is of one
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

func (b *inbox) init(m *memory, which int) { b.filled.L, b.memory, b.which = &b.mu, m, which }

// put copies the packet in, or returns why it does not.
func (b *inbox) put(p *packet.Parsed) Reason {
	pkt := p.Buffer()
	seg, mergeable := segmentOf(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	acct := b.accountOf(p.Src.Addr())
	if b.closed || !b.hasRoom(acct, len(pkt)) {
		return ReasonInbox
	}
	last := len(b.waiting) - 1
	joins := mergeable && last >= 0 && b.waiting[last].run.continuedBy(seg)
	whole, ok := b.memory.admit(acct, p, joins)
	if !ok {
		return ReasonMemory
	}
	b.bytes += len(pkt)
	acct.waiting[b.which].bytes += len(pkt)
	if joins && whole {
		b.waiting[last].run.absorb(seg)
		b.waiting[last].add(seg.payload)
		return noReason
	}
	it := newItem(p, seg, mergeable && whole)
	if it.isUDP {
		b.datagrams.Add(1)
	}
	b.waiting = append(b.waiting, it)
	if len(b.waiting) == 1 {
		b.filled.Signal()
	}
	return noReason
}

// done is told once all was handed over that fetch returned.
func (b *inbox) done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.busy = false
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

// fetch waits for packets and returns all of them, for the caller to hand over and
// then to call done. It returns nil once the inbox is closed.
func (b *inbox) fetch() []item {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.waiting) == 0 && !b.closed {
		b.filled.Wait()
	}
	if b.closed {
		return nil
	}
	out := b.waiting
	b.waiting, b.spare = b.spare[:0], out
	b.bytes = 0
	b.round++
	b.busy = true
	return out
}

// close ends fetch and drops what waits.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for i := range b.waiting {
		b.waiting[i].release()
	}
	b.waiting = nil
	b.filled.Signal()
}

// deliverLoop is the stack's goroutine: it hands over what the inbox holds, until
// that is closed.
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
