package queuetest

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"tstun/internal/gso"
	"tstun/packet"
)

// Room is how many bytes are in front of the packets of Batch.
const Room = 32

var (
	hostPort = netip.MustParseAddrPort("10.7.0.1:1000")
	peerPort = netip.MustParseAddrPort("10.7.0.2:2000")
)

// Buffers returns n buffers of size bytes each, and their sizes.
func Buffers(n, size int) (bufs [][]byte, sizes []int) {
	bufs = make([][]byte, n)
	for i := range bufs {
		bufs[i] = make([]byte, size)
	}
	return bufs, make([]int, n)
}

// Batch returns copies of pkts behind Room bytes.
func Batch(pkts ...[]byte) [][]byte {
	bufs := make([][]byte, len(pkts))
	for i, p := range pkts {
		bufs[i] = append(make([]byte, Room), p...)
	}
	return bufs
}

// UDP returns a packet of the host's with a payload of n bytes, at least 4, that
// tell which it is.
func UDP(which uint32, n int) []byte {
	payload := make([]byte, n)
	for i := range payload {
		payload[i] = byte(uint32(i) + which)
	}
	binary.BigEndian.PutUint32(payload, which)
	return packet.Generate(packet.UDPHeader{Src: hostPort, Dst: peerPort, ID: uint16(which%0xffff + 1)}, payload)
}

// TCP returns segment i of one of the peer's flows, with size bytes.
func TCP(flow uint16, i, size int) []byte {
	return packet.Generate(packet.TCPHeader{
		Src: peerPort, Dst: netip.AddrPortFrom(hostPort.Addr(), flow),
		Seq: uint32(size * i), Ack: 7, Flags: packet.TCPAck, Window: 99, ID: uint16(i + 1),
	}, bytes.Repeat([]byte{byte(i)}, size))
}

// WithVirtio puts a virtio header in front of a packet.
func WithVirtio(v gso.Virtio, pkt []byte) []byte {
	b := make([]byte, gso.VirtioLen, gso.VirtioLen+len(pkt))
	v.Encode(b)
	return append(b, pkt...)
}

// SuperUDP returns a super-packet with its virtio header, and the packets that
// it must be cut into: each has a payload of size bytes, the last one of last.
func SuperUDP(segments, size, last int) (super []byte, want [][]byte) {
	h := packet.UDPHeader{Src: hostPort, Dst: peerPort, ID: 7}
	payload := make([]byte, (segments-1)*size+last)
	for i := range payload {
		payload[i] = byte(i * 7)
	}
	whole := packet.Generate(h, payload)
	for i := range segments {
		one := h
		one.ID += uint16(i)
		want = append(want, packet.Generate(one, payload[i*size:min(len(payload), (i+1)*size)]))
	}
	LeaveChecksum(whole)
	v := gso.Virtio{Flags: 1, Type: 5, Size: uint16(size), ChecksumStart: 20, ChecksumOffset: 6}
	return WithVirtio(v, whole), want
}

// LeaveChecksum puts the sum of the pseudo-header into a packet of UDP, as a
// stack does that leaves the checksum to others.
func LeaveChecksum(udp []byte) {
	binary.BigEndian.PutUint16(udp[26:], packet.PseudoHeaderSum(17, hostPort.Addr(), peerPort.Addr(), len(udp)-20))
}

// SuperTCP returns a super-packet with its virtio header.
func SuperTCP(segments, size int) []byte {
	h := packet.TCPHeader{Src: hostPort, Dst: peerPort, Seq: 1, Ack: 7, Flags: packet.TCPAck, Window: 99, ID: 7}
	whole := packet.Generate(h, make([]byte, segments*size))
	binary.BigEndian.PutUint16(whole[36:], packet.PseudoHeaderSum(6, hostPort.Addr(), peerPort.Addr(), len(whole)-20))
	v := gso.Virtio{Flags: 1, Type: 1, HeaderLen: 40, Size: uint16(size), ChecksumStart: 20, ChecksumOffset: 16}
	return WithVirtio(v, whole)
}
