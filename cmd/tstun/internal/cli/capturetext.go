package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"tstun/capture"
	"tstun/filter"
	"tstun/ipproto"
	"tstun/packet"
)

// printPacket prints a packet in a line: time, direction, protocol, both ends, TCP's
// flags, length, and what becomes of it.
func printPacket(out io.Writer, p *capture.Recorded, at *packet.Parsed) error {
	var line strings.Builder
	if p.Lost > 0 {
		fmt.Fprintf(&line, "%s lost\n", packets(p.Lost))
	}
	fmt.Fprintf(&line, "%s %-3v", p.Time.Local().Format("15:04:05.000000"), directionOf(p))
	if at.IPVersion == 0 {
		line.WriteString(" no IP packet")
	} else {
		fmt.Fprintf(&line, " %v %s > %s", at.IPProto, end(at, at.Src), end(at, at.Dst))
		if at.IPProto == ipproto.TCP {
			fmt.Fprintf(&line, " %v", at.TCPFlags)
		}
	}
	fmt.Fprintf(&line, " length %d: %s\n", p.Length, noteText(&p.Note))
	_, err := io.WriteString(out, line.String())
	return err
}

func directionOf(p *capture.Recorded) filter.Direction {
	if p.Inbound {
		return filter.Inbound
	}
	return filter.Outbound
}

// end returns an end of a packet, with the port if the protocol has ports.
func end(p *packet.Parsed, a netip.AddrPort) string {
	if p.IPProto.HasPorts() {
		return a.String()
	}
	return a.Addr().String()
}

// noteText says what became of a packet.
func noteText(n *capture.Note) string {
	words := []string{n.Verdict.Response.String()}
	if n.Verdict.Reason != filter.ReasonNone {
		words[0] += " " + n.Verdict.Reason.String()
	}
	if n.Rule != "" {
		words = append(words, "rule "+oneLine(n.Rule))
	}
	if n.Peer != "" {
		words = append(words, "peer "+oneLine(n.Peer))
	}
	if n.Injected {
		words = append(words, "injected")
	}
	return strings.Join(words, ", ")
}

// packetLine is a packet in JSON.
type packetLine struct {
	Time      time.Time        `json:"time"`
	Direction filter.Direction `json:"direction"`
	Proto     string           `json:"proto,omitempty"` // and no Src and Dst: it is no IP packet
	Src       string           `json:"src,omitempty"`   // with its port, if the protocol has ports
	Dst       string           `json:"dst,omitempty"`
	Length    int              `json:"length"` // of the IP packet, in bytes
	TCPFlags  string           `json:"tcpFlags,omitempty"`
	Verdict   filter.Response  `json:"verdict"`
	Reason    filter.Reason    `json:"reason,omitzero"`
	Rule      string           `json:"rule,omitempty"`
	Policy    uint32           `json:"policy,omitempty"` // serial of the filter
	Peer      string           `json:"peer,omitempty"`
	Injected  bool             `json:"injected,omitempty"`
	Lost      uint64           `json:"lost,omitempty"` // before it
}

// encodePacket writes a packet as a line of JSON.
func encodePacket(out io.Writer, p *capture.Recorded, at *packet.Parsed) error {
	n := &p.Note
	line := packetLine{
		Time: p.Time, Direction: directionOf(p), Length: p.Length, Lost: p.Lost,
		Verdict: n.Verdict.Response, Reason: n.Verdict.Reason, Rule: n.Rule, Policy: n.Policy, Peer: n.Peer, Injected: n.Injected,
	}
	if at.IPVersion != 0 {
		line.Proto, line.Src, line.Dst = at.IPProto.String(), end(at, at.Src), end(at, at.Dst)
		if at.IPProto == ipproto.TCP {
			line.TCPFlags = at.TCPFlags.String()
		}
	}
	return json.NewEncoder(out).Encode(line)
}
