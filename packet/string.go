package packet

import (
	"fmt"
	"strings"

	"tstun/ipproto"
)

// String returns p in one line for logs and people, such as
// "TCP{192.0.2.1:4000 > 192.0.2.9:80 SYN}". Its form may change.
func (p *Parsed) String() string {
	if p.IPVersion == 0 {
		return fmt.Sprintf("malformed{%d bytes}", len(p.b))
	}
	var s strings.Builder
	s.WriteString(protoName(p.proto))
	if p.proto.HasPorts() && p.transOff != 0 {
		fmt.Fprintf(&s, "{%v > %v", p.Src, p.Dst)
	} else {
		fmt.Fprintf(&s, "{%v > %v", p.Src.Addr(), p.Dst.Addr())
	}
	if p.IPProto == ipproto.TCP {
		fmt.Fprintf(&s, " %v", p.TCPFlags)
	}
	if m := p.icmp(); m != nil {
		fmt.Fprintf(&s, " type %d code %d", m[0], m[1])
	}
	if f, ok := p.Fragment(); ok {
		fmt.Fprintf(&s, " fragment %#x at %d", f.ID, f.Offset)
	}
	if p.problem != ProblemNone {
		fmt.Fprintf(&s, " %v", p.problem)
	}
	s.WriteByte('}')
	return s.String()
}

// protoName returns the name of a protocol, as packet dumps write it.
func protoName(p ipproto.Proto) string {
	switch p {
	case ipproto.ICMPv4:
		return "ICMPv4"
	case ipproto.ICMPv6:
		return "ICMPv6"
	case ipproto.Unknown:
		return "unknown"
	}
	return strings.ToUpper(p.String())
}
