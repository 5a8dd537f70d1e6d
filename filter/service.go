package filter

import (
	"cmp"
	"encoding/binary"
	"slices"

	"tstun/ipproto"
)

// service is what may be reached: protocols as a whole, and ports of others.
type service struct {
	whole protoSet // allowed on every port, or without ports
	spans []span   // sorted and disjoint; of protocols not in whole
}

// span is some ports of one protocol.
type span struct {
	proto       ipproto.Proto
	first, last uint16
}

func (s *service) covers(proto ipproto.Proto, port uint16) bool {
	if s.whole.has(proto) {
		return true
	}
	// The last span that does not begin behind the port.
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

// portsOf returns the ports of proto that s allows, if s is of one range.
func (s *service) portsOf(proto ipproto.Proto) (first, last uint16, ok bool) {
	if s.whole.has(proto) {
		return 0, 65535, true
	}
	for _, sp := range s.spans {
		if sp.proto == proto {
			return sp.first, sp.last, true
		}
	}
	return 0, 0, false
}

// add allows the ports of the protocols. Those without ports are allowed as a
// whole.
func (s *service) add(protos protoSet, ports PortRange) {
	all := ports.First == 0 && ports.Last == 65535
	for p := range protos.all() {
		if all || !p.HasPorts() {
			s.whole.add(p)
		} else {
			s.spans = append(s.spans, span{p, ports.First, ports.Last})
		}
	}
}

// normalize brings a service that was added to into the form that covers
// needs.
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

// serviceTable numbers services, equal ones alike.
type serviceTable struct {
	services []service
	plain    map[plainService]uint32
	byKey    map[string]uint32
}

// plainService is a service of one port range.
type plainService struct {
	protos protoSet
	ports  PortRange
}

func newServiceTable() *serviceTable {
	return &serviceTable{plain: make(map[plainService]uint32), byKey: make(map[string]uint32)}
}

// number returns the number of a service of one port range.
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

// sum returns the number of the service that is all of what is wanted.
func (t *serviceTable) union(wanted []ruleDst) uint32 {
	first := wanted[0].service
	if wanted[len(wanted)-1].service == first { // they are sorted
		return first
	}
	var s service
	for _, w := range wanted {
		part := &t.services[w.service]
		for i, word := range part.whole {
			s.whole[i] |= word
		}
		s.spans = append(s.spans, part.spans...)
	}
	return t.add(s)
}

// keep returns the number of s, which it gives it if need be.
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
