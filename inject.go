package tstun

import (
	"fmt"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"tstun/filter"
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
	l := w.begin()
	defer l.leave()
	w.receiveInjected(&l.batch, buf, offset)
	_, err := w.deliver(&l.batch, offset)
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
	i := injection{pkt: pkt}
	if err := w.checkPacketBuffer("inbound", pkt); err != nil {
		i.release()
		return err
	}
	var segs segments
	if err := segs.load(i); err != nil {
		return fmt.Errorf("tstun: inject inbound: %w", err)
	}
	l := w.begin()
	defer l.leave()
	for segs.more() {
		buf := make([]byte, PacketStartOffset+segs.size())
		if _, err := segs.next(buf[PacketStartOffset:]); err != nil {
			return fmt.Errorf("tstun: inject inbound: %w", err)
		}
		w.receiveInjected(&l.batch, buf, PacketStartOffset)
	}
	_, err := w.deliver(&l.batch, PacketStartOffset)
	return err
}

// receiveInjected puts a packet among those for the device. Bytes that are no
// IP packet pass: they are the injector's affair.
func (w *Wrapper) receiveInjected(b *batch, buf []byte, offset int) {
	b.p.Decode(buf[offset:])
	b.id.SetIn(&b.p)
	size := len(b.p.Buffer())
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
	return w.inject(injection{data: packet})
}

// InjectOutboundPacketBuffer is InjectOutbound for a packet of gVisor's,
// which may be a GSO super-packet; that is cut into segments. It takes over
// one reference to pkt, also on an error, and drops it once the packet was
// read, or the Wrapper is closed.
func (w *Wrapper) InjectOutboundPacketBuffer(pkt *stack.PacketBuffer) error {
	i := injection{pkt: pkt}
	if err := w.checkPacketBuffer("outbound", pkt); err != nil {
		i.release()
		return err
	}
	if pkt.Size() == 0 {
		i.release()
		return nil
	}
	return w.inject(i)
}

// checkPacketBuffer refuses what cannot be injected. A super-packet may be
// longer than a packet; its segments may not.
func (w *Wrapper) checkPacketBuffer(way string, pkt *stack.PacketBuffer) error {
	if w.isClosed() {
		return ErrClosed
	}
	opts, cut, err := gsoOptions(pkt)
	if err != nil {
		return fmt.Errorf("tstun: inject %s: %w", way, err)
	}
	size := pkt.Size()
	if cut {
		size = min(size, opts.Transport+maxTCPHeader+opts.Size)
	}
	if size > MaxPacketSize {
		return tooLarge(way, size)
	}
	return nil
}

// maxTCPHeader is the longest TCP header, with options. RFC 9293 §3.1
const maxTCPHeader = 60

// inject queues i for Read, or counts it if there is no room.
func (w *Wrapper) inject(i injection) error {
	err := w.queue.push(i)
	if err == ErrQueueFull {
		w.tally.dropOut(filter.ReasonQueueFull, 1)
		w.noteQueueFull()
	}
	return err
}
