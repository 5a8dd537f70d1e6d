package filter

import (
	"cmp"
	"encoding/binary"
	"slices"

	"tstun/ipproto"
)

// service is a set of protocols and ports that may be reached.
type service struct {
	whole protoSet // protocols that are allowed on every port, or have no ports
	spans []span   // of protocols that are not in whole; sorted and disjoint
}

// span is a range of ports of one protocol.
type span struct {
	proto       ipproto.Proto
	first, last uint16
}

func (s *service) covers(proto ipproto.Proto, port uint16) bool {
	if s.whole.has(proto) {
		return true
	}
	// Find the last span that does not begin after the port.
	lo, hi := 0, len(s.spans)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if sp := &s.spans[mid]; sp.proto < proto || sp.proto == proto && sp.first <= port {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo > 0 && s.spans[lo-1].proto == proto && port <= s.spans[lo-1].last
}

// protos returns the protocols of which s allows anything.
func (s *service) protos() protoSet {
	set := s.whole
	for _, sp := range s.spans {
		set.add(sp.proto)
	}
	return set
}

// portsOf returns the ports of proto that s allows. ok is false if s allows none. s
// has one range for each protocol.
func (s *service) portsOf(proto ipproto.Proto) (first, last uint16, ok bool) {
	if s.whole.has(proto) {
		return 0, maxPort, true
	}
	for _, sp := range s.spans {
		if sp.proto == proto {
			return sp.first, sp.last, true
		}
	}
	return 0, 0, false
}

// add makes s allow the ports of the protocols, and those without ports as a whole.
// normalize must follow.
func (s *service) add(protos protoSet, ports PortRange) {
	for p := range protos.all() {
		if ports.isAll() || !p.HasPorts() {
			s.whole.add(p)
		} else {
			s.spans = append(s.spans, span{p, ports.First, ports.Last})
		}
	}
}

// normalize sorts and merges the spans of s, as covers needs them.
func (s *service) normalize() {
	s.spans = slices.DeleteFunc(s.spans, func(sp span) bool { return s.whole.has(sp.proto) })
	slices.SortFunc(s.spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.proto, b.proto), cmp.Compare(a.first, b.first))
	})
	merged := s.spans[:0]
	for _, sp := range s.spans {
		if n := len(merged); n > 0 && merged[n-1].proto == sp.proto && int(sp.first) <= int(merged[n-1].last)+1 {
			merged[n-1].last = max(merged[n-1].last, sp.last)
		} else {
			merged = append(merged, sp)
		}
	}
	s.spans = slices.Clip(merged)
}

// serviceTable numbers services. Equal services have one number.
type serviceTable struct {
	services []service
	plain    map[plainService]uint32
	byKey    map[string]uint32
}

// plainService is a service with one port range for all its protocols.
type plainService struct {
	protos protoSet
	ports  PortRange
}

func newServiceTable() *serviceTable {
	return &serviceTable{plain: make(map[plainService]uint32), byKey: make(map[string]uint32)}
}

// number returns the number of p.
func (t *serviceTable) number(p plainService) uint32 {
	n, ok := t.plain[p]
	if !ok {
		var s service
		s.add(p.protos, p.ports)
		n = t.add(s)
		t.plain[p] = n
	}
	return n
}

// union returns the number of the service that allows what any of the destinations
// does. They are sorted by service.
func (t *serviceTable) union(dsts []ruleDst) uint32 {
	first := dsts[0].service
	if dsts[len(dsts)-1].service == first {
		return first
	}
	var s service
	for _, d := range dsts {
		part := &t.services[d.service]
		for i, word := range part.whole {
			s.whole[i] |= word
		}
		s.spans = append(s.spans, part.spans...)
	}
	return t.add(s)
}

// add returns the number of s. If s has none, add gives it one.
func (t *serviceTable) add(s service) uint32 {
	s.normalize()
	k := s.key()
	n, ok := t.byKey[k]
	if !ok {
		n = uint32(len(t.services))
		t.services = append(t.services, s)
		t.byKey[k] = n
	}
	return n
}

// key returns a string that equal services share.
func (s *service) key() string {
	b := make([]byte, 0, 32+5*len(s.spans))
	for _, w := range s.whole {
		b = binary.BigEndian.AppendUint64(b, w)
	}
	for _, sp := range s.spans {
		b = append(b, byte(sp.proto))
		b = binary.BigEndian.AppendUint16(b, sp.first)
		b = binary.BigEndian.AppendUint16(b, sp.last)
	}
	return string(b)
}
