package netstack

import (
	"sync"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"tstun/packet"
)

// inboxBytes bounds the packets that wait for the stack. It is what one TCP
// connection can have on the way; beyond it packets are dropped, which tells
// TCP to slow down.
const inboxBytes = maxTCPBuffer

// inbox holds the packets that the hooks took until the stack's goroutine
// fetches them. The hooks run on WireGuard's goroutines, which can go on
// decrypting meanwhile, and packets that wait can be merged.
type inbox struct {
	mu      sync.Mutex // guards all below
	filled  sync.Cond  // signalled when waiting gets its first item, and by close
	waiting []item
	spare   []item // what fetch gave out last, empty
	bytes   int
	closed  bool
}

// item is one packet, or TCP segments merged into one.
type item struct {
	proto tcpip.NetworkProtocolNumber
	data  buffer.Buffer
	run   tcpRun
}

func (b *inbox) init() { b.filled.L = &b.mu }

// put copies the packet in. It reports false when there is no room, or nobody
// to fetch it.
func (b *inbox) put(p *packet.Parsed) bool {
	pkt := p.Buffer()
	seg, mergeable := segmentOf(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.bytes+len(pkt) > inboxBytes {
		return false
	}
	b.bytes += len(pkt)
	if last := len(b.waiting) - 1; mergeable && last >= 0 && b.waiting[last].run.absorb(seg) {
		b.waiting[last].data.Append(buffer.NewViewWithData(seg.payload))
		return true
	}
	b.waiting = append(b.waiting, newItem(p, seg, mergeable))
	if len(b.waiting) == 1 {
		b.filled.Signal()
	}
	return true
}

func newItem(p *packet.Parsed, seg segment, mergeable bool) item {
	v := buffer.NewViewWithData(p.Buffer())
	it := item{proto: header.IPv4ProtocolNumber, data: buffer.MakeWithView(v)}
	if p.IPVersion == 6 {
		it.proto = header.IPv6ProtocolNumber
	}
	if mergeable {
		it.run.start(seg, v.AsSlice())
	}
	return it
}

// fetch waits for packets and hands all of them over, until the next call. It
// returns nil once the inbox is closed.
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
	return out
}

// close ends fetch and drops what waits.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for i := range b.waiting {
		b.waiting[i].data.Release()
	}
	b.waiting = nil
	b.filled.Signal()
}

// deliverLoop is the stack's goroutine: it hands over what the inbox holds,
// until that is closed.
func (l *link) deliverLoop() {
	defer close(l.delivered)
	for items := l.inbox.fetch(); items != nil; items = l.inbox.fetch() {
		for i := range items {
			l.deliver(&items[i])
			items[i] = item{}
		}
	}
}

func (l *link) deliver(it *item) {
	it.run.finish()
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: it.data})
	if d := l.dispatcher.Load(); d != nil {
		(*d).DeliverNetworkPacket(it.proto, pkt)
	}
	pkt.DecRef()
}
