package rig

import (
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// PacketBuffer returns a PacketBuffer of gVisor's, whose end released counts.
func PacketBuffer(b []byte, released *int) *stack.PacketBuffer {
	return GSOBuffer(b, stack.GSO{}, func() { *released++ })
}

// GSOBuffer returns a PacketBuffer of gVisor's that is to be cut as g says;
// released is called at its end.
func GSOBuffer(b []byte, g stack.GSO, released func()) *stack.PacketBuffer {
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(b), OnRelease: released})
	pkt.GSOOptions = g
	return pkt
}
