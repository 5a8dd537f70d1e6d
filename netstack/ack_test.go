package netstack

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"tstun/packet"
)

// leaving is a TCP segment as gVisor hands it to the link.
type leaving struct {
	flow, id int
	ack      uint32
	flags    packet.TCPFlag
	payload  int
	options  []byte
}

var timestampOption = []byte{1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0}

func (s leaving) packet(released *int) *stack.PacketBuffer {
	src, dst := netip.MustParseAddr("100.64.0.1"), netip.MustParseAddr("100.64.0.2")
	if s.flow%2 == 1 {
		src, dst = netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")
	}
	b := packet.Generate(packet.TCPHeader{
		Src: netip.AddrPortFrom(src, uint16(s.flow)), Dst: netip.AddrPortFrom(dst, 80),
		Seq: uint32(s.id), Ack: s.ack, Flags: s.flags,
	}, make([]byte, len(s.options)+s.payload))
	ip := ipv4HeaderLen
	if src.Is6() {
		ip = ipv6HeaderLen
	}
	tcp := b[ip:]
	copy(tcp[20:], s.options)
	n := 20 + len(s.options)
	tcp[12] = byte(n/4) << 4
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{
		ReserveHeaderBytes: ip + n, Payload: buffer.MakeWithData(tcp[n:]), OnRelease: func() { *released++ },
	})
	copy(pkt.TransportHeader().Push(n), tcp)
	copy(pkt.NetworkHeader().Push(ip), b)
	pkt.TransportProtocolNumber = header.TCPProtocolNumber
	return pkt
}

// ackRig has acks whose time goes on when it says so.
type ackRig struct {
	acks
	sent           []int // ids
	made, released int
}

func newAckRig() *ackRig {
	r := new(ackRig)
	r.acks.inject, r.every = r.inject, time.Hour
	return r
}

func (r *ackRig) inject(pkt *stack.PacketBuffer) {
	r.sent = append(r.sent, int(binary.BigEndian.Uint32(pkt.TransportHeader().Slice()[4:])))
}

func (r *ackRig) write(s leaving) {
	r.made++
	pkt := s.packet(&r.released)
	defer pkt.DecRef()
	held, before := r.hold(pkt, 1000)
	if before != nil {
		r.inject(before)
		before.DecRef()
	}
	if !held {
		r.inject(pkt)
	}
}

// Which segments leave, and when.
func TestAcknowledgementsWait(t *testing.T) {
	const ack, psh, fin = packet.TCPAck, packet.TCPAck | packet.TCPPsh, packet.TCPAck | packet.TCPFin
	const tick = -1
	sack := []byte{1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2}
	tests := []struct {
		name string
		in   []leaving // of flow tick: two ticks
		want []int
	}{
		{"the first is not held back", []leaving{{0, 1, 10, ack, 0, nil}}, []int{1}},
		{"data takes it along", []leaving{{0, 1, 10, ack, 0, nil}, {0, 2, 15, ack, 0, nil}, {0, 3, 15, psh, 5, nil}}, []int{1, 3}},
		{"with timestamps", []leaving{{0, 1, 10, ack, 0, nil}, {0, 2, 15, ack, 0, timestampOption}, {0, 3, 15, psh, 5, nil}}, []int{1, 3}},
		{"over IPv6", []leaving{{1, 1, 10, ack, 0, nil}, {1, 2, 15, ack, 0, nil}, {1, 3, 15, psh, 5, nil}}, []int{1, 3}},
		{"so does a FIN", []leaving{{0, 1, 10, ack, 0, nil}, {0, 2, 15, ack, 0, nil}, {0, 3, 15, fin, 0, nil}}, []int{1, 3}},
		{"the second goes at once, for both", []leaving{{0, 1, 10, ack, 0, nil}, {0, 2, 15, ack, 0, nil}, {0, 3, 20, ack, 0, nil}}, []int{1, 3}},
		{"and the third waits", []leaving{{0, 1, 10, ack, 0, nil}, {0, 2, 15, ack, 0, nil}, {0, 3, 20, ack, 0, nil}, {0, 4, 25, ack, 0, nil}}, []int{1, 3}},
		{"numbers wrap", []leaving{{0, 1, 0xffff_ffff, ack, 0, nil}, {0, 2, 5, ack, 0, nil}, {0, 3, 5, psh, 5, nil}}, []int{1, 3}},
		{"a full segment is acknowledged at once", []leaving{{0, 1, 10, ack, 0, nil}, {0, 2, 1010, ack, 0, nil}}, []int{1, 2}},
		{"a window update", []leaving{{0, 1, 10, ack, 0, nil}, {0, 2, 10, ack, 0, nil}}, []int{1, 2}},
		{"a gap", []leaving{{0, 1, 10, ack, 0, nil}, {0, 2, 15, ack, 0, sack}}, []int{1, 2}},
		{"time", []leaving{{0, 1, 10, ack, 0, nil}, {0, 2, 15, ack, 0, nil}, {flow: tick}}, []int{1, 2}},
		{"time does so once", []leaving{{0, 1, 10, ack, 0, nil}, {0, 2, 15, ack, 0, nil}, {flow: tick}, {0, 3, 15, psh, 5, nil}}, []int{1, 2, 3}},
		{"an older number does not take its place", []leaving{{0, 1, 10, ack, 0, nil}, {0, 2, 15, ack, 0, nil}, {0, 3, 14, psh, 5, nil}}, []int{1, 2, 3}},
	}
	for _, test := range tests {
		r := newAckRig()
		for _, s := range test.in {
			if s.flow == tick {
				r.tick()
				r.tick()
				continue
			}
			r.write(s)
		}
		if !slices.Equal(r.sent, test.want) {
			t.Errorf("%s: sent %v, want %v", test.name, r.sent, test.want)
		}
		r.close()
		if r.released != r.made {
			t.Errorf("%s: released %d of %d packets", test.name, r.released, r.made)
		}
	}
}

// Whatever leaves, and however connections share places: what is more than an
// acknowledgement is never lost and keeps its order, of two acknowledgements in
// a row at most one is, and the last number gets through.
func FuzzAcknowledgements(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0, 2, 1, 0, 9, 0, 3, 7, 0, 64, 3, 1, 64, 5, 0, 0, 5, 2})
	f.Add([]byte{1, 200, 0, 1, 200, 0, 1, 1, 0, 1, 1, 0, 1, 1, 0, 255, 0, 0, 1, 0, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		r := newAckRig()
		want := make(map[int]uint32) // the newest number of each flow
		newest, skipped := make(map[int]uint32), make(map[int]int)
		all := make(map[int]leaving)
		for id := 1; len(script) >= 3; script, id = script[3:], id+1 {
			if script[0] == 255 {
				r.tick()
				continue
			}
			s := leaving{flow: int(script[0]), id: id, flags: packet.TCPAck, payload: int(script[2] % 3)}
			want[s.flow] += uint32(script[1]) * 8
			s.ack = want[s.flow]
			all[id] = s
			r.write(s)
		}
		r.tick()
		r.tick()
		r.close()
		gone := make(map[int]bool)
		for _, id := range r.sent {
			s := all[id]
			if gone[id] || s.ack < newest[s.flow] {
				t.Fatalf("%+v left twice, or after a later one", s)
			}
			gone[id], newest[s.flow] = true, s.ack
		}
		for id := range len(all) * 2 {
			s, ok := all[id]
			switch {
			case !ok:
			case gone[id]:
				skipped[s.flow] = 0
			case s.payload > 0 || skipped[s.flow] > 0:
				t.Fatalf("%+v was lost", s)
			default:
				skipped[s.flow]++
			}
		}
		for flow, ack := range want {
			if newest[flow] != ack {
				t.Fatalf("flow %d: %d was acknowledged, want %d", flow, newest[flow], ack)
			}
		}
		if r.released != r.made {
			t.Fatalf("released %d of %d packets", r.released, r.made)
		}
	})
}
