package packets

import (
	"fmt"
	"net/netip"

	"tstun/packet"
)

// The two ends of all traffic. The host is where the TUN is.
var (
	host = netip.MustParseAddr("100.64.0.1")
	peer = netip.MustParseAddr("100.64.0.2")
)

const (
	hostPort = 80   // of the host, in all flows
	peerPort = 1024 // of the peer, in the first flow
)

// Lengths of whole packets in bytes.
const (
	tcpLength = 1240
	udpLength = 200
)

// headerBytes is how much of a packet a run writes anew before each Write: all
// headers of either protocol. The payload is zeros and stays.
const headerBytes = 40

// traffic returns packets of so many flows in turn, at least a batch, as the
// peer sends them, or as the host does. TCP segments are data of connections
// that go on.
func traffic(c Case, fromPeer bool) [][]byte {
	n := max(c.Flows, 128)
	packets := make([][]byte, n)
	for i := range packets {
		from := netip.AddrPortFrom(peer, uint16(peerPort+i%c.Flows))
		to := netip.AddrPortFrom(host, hostPort)
		if !fromPeer {
			from, to = to, from
		}
		packets[i] = generate(c.Proto, from, to, i/c.Flows)
		if packets[i] == nil {
			panic(fmt.Sprintf("no %s packet from %v to %v", c.Proto, from, to))
		}
	}
	return packets
}

// generate makes the packet number nth of a flow.
func generate(proto string, from, to netip.AddrPort, nth int) []byte {
	if proto == "UDP" {
		return packet.Generate(packet.UDPHeader{Src: from, Dst: to}, make([]byte, udpLength-28))
	}
	const data = tcpLength - 40
	return packet.Generate(packet.TCPHeader{
		Src: from, Dst: to, Flags: packet.TCPAck,
		Seq: uint32(1 + nth*data), Ack: 1, Window: 1000,
	}, make([]byte, data))
}
