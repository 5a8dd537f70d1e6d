package tstun

import (
	"fmt"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"tstun/filter"
	"tstun/internal/accounting"
	"tstun/internal/inject"
)

// InjectInboundDirect writes the packet in buf from offset on to the device,
// as if a peer had sent it, past all filters and hooks. offset must be at
// least PacketStartOffset; the bytes before it may be overwritten. The caller
// keeps buf. The packet is counted, an empty one is a no-op. It blocks as long
// as the device does. A link that is down loses the packet without an error.
func (w *Wrapper) InjectInboundDirect(buf []byte, offset int) error {
	if w.isClosed() {
		return ErrClosed
	}
	switch {
	case offset < PacketStartOffset:
		return fmt.Errorf("tstun: inject inbound: offset %d, want at least %d", offset, PacketStartOffset)
	case offset > len(buf):
		return fmt.Errorf("tstun: inject inbound: offset %d in a buffer of %d bytes", offset, len(buf))
	case len(buf)-offset > MaxPacketSize:
		return tooLarge("inbound", len(buf)-offset)
	case len(buf) == offset:
		return nil
	}
	b := w.pool.acquire()
	b.begin(w, accounting.In)
	defer b.release()
	b.injectedIn(buf, offset)
	_, err := w.deliver(&b.batch, offset)
	return err
}

func tooLarge(way string, size int) error {
	return fmt.Errorf("tstun: inject %s: packet of %d bytes, the longest is %d", way, size, MaxPacketSize)
}

// InjectInboundCopy is InjectInboundDirect for a packet without space before
// it, which it copies.
func (w *Wrapper) InjectInboundCopy(packet []byte) error {
	switch {
	case w.isClosed():
		return ErrClosed
	case len(packet) > MaxPacketSize:
		return tooLarge("inbound", len(packet))
	}
	buf := make([]byte, PacketStartOffset+len(packet))
	copy(buf[PacketStartOffset:], packet)
	return w.InjectInboundDirect(buf, PacketStartOffset)
}

// InjectInboundPacketBuffer is InjectInboundDirect for a packet of gVisor's,
// which may be a GSO super-packet; that is cut into segments. It takes over
// one reference to pkt, also on an error.
func (w *Wrapper) InjectInboundPacketBuffer(pkt *stack.PacketBuffer) error {
	p := inject.Packet{Buffer: pkt}
	if err := w.checkPacketBuffer("inbound", pkt); err != nil {
		p.Release()
		return err
	}
	var segs inject.Segments
	if err := segs.Load(p); err != nil {
		return fmt.Errorf("tstun: inject inbound: %w", err)
	}
	b := w.pool.acquire()
	b.begin(w, accounting.In)
	defer b.release()
	for segs.More() {
		buf := make([]byte, PacketStartOffset+segs.Size())
		if _, err := segs.Next(buf[PacketStartOffset:]); err != nil {
			return fmt.Errorf("tstun: inject inbound: %w", err)
		}
		b.injectedIn(buf, PacketStartOffset)
	}
	_, err := w.deliver(&b.batch, PacketStartOffset)
	return err
}

// injectedIn puts a packet, which is in buf from offset on, among those for the
// device.
func (b *batch) injectedIn(buf []byte, offset int) {
	b.Packet.Decode(buf[offset:])
	b.InjectedIn()
	b.observeInjected()
	size := len(b.Packet.Buffer())
	b.send(buf, offset, size, b.count(size))
}

// InjectOutbound sends packet to WireGuard as if the host had sent it, past
// all filters and hooks; replies to it are let in. It owns packet from then
// on. It does not block: a full queue is ErrQueueFull. An empty packet is a
// no-op.
func (w *Wrapper) InjectOutbound(packet []byte) error {
	switch {
	case w.isClosed():
		return ErrClosed
	case len(packet) > MaxPacketSize:
		return tooLarge("outbound", len(packet))
	case len(packet) == 0:
		return nil
	}
	return w.inject(inject.Packet{Data: packet})
}

// InjectOutboundPacketBuffer is InjectOutbound for a packet of gVisor's,
// which may be a GSO super-packet; that is cut into segments. It takes over
// one reference to pkt, also on an error, and drops it once the packet was
// read, or the Wrapper is closed.
func (w *Wrapper) InjectOutboundPacketBuffer(pkt *stack.PacketBuffer) error {
	p := inject.Packet{Buffer: pkt}
	if err := w.checkPacketBuffer("outbound", pkt); err != nil {
		p.Release()
		return err
	}
	if pkt.Size() == 0 {
		p.Release()
		return nil
	}
	return w.inject(p)
}

// checkPacketBuffer refuses what cannot be injected. A super-packet may be
// longer than a packet; its segments may not.
func (w *Wrapper) checkPacketBuffer(way string, pkt *stack.PacketBuffer) error {
	if w.isClosed() {
		return ErrClosed
	}
	size, err := inject.LongestSegment(pkt)
	if err != nil {
		return fmt.Errorf("tstun: inject %s: %w", way, err)
	}
	if size > MaxPacketSize {
		return tooLarge(way, size)
	}
	return nil
}

// inject queues p for Read, or counts it if there is no room.
func (w *Wrapper) inject(p inject.Packet) error {
	switch w.queue.Push(p) {
	case nil:
		return nil
	case inject.ErrClosed:
		p.Release()
		return ErrClosed
	default:
		w.refuseInjected(filter.ReasonQueueFull, p)
		p.Release()
		w.noteQueueFull()
		return ErrQueueFull
	}
}
